"""MultiPush: objects differ per episode, goals name them, held-out shapes and colours stay held out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grasping import DEPTH, success_at_the_end

from envs.errors import UserError
from envs.multi_push import MultiPushEnv, ObjectsScene
from envs.objects import HELD_OUT_HUES, HELD_OUT_SHAPES, HUES, NOTHING, OUTLINES, RADIUS, SETS, SHAPES, kind, shape_and_colour


def kinds(goal: Any) -> list[int]:
    return [round(float(value)) for value in goal[2::3]]


def looks(env: MultiPushEnv, count: int) -> list[list[tuple[str, str]]]:
    """What lies on the table in `count` episodes."""
    episodes = []
    for seed in range(count):
        observation, _ = env.reset(seed=seed)
        episodes.append([shape_and_colour(number) for number in kinds(observation["achieved_goal"]) if number != NOTHING])
    return episodes


@pytest.mark.parametrize(("objects", "least"), [("train", 0.95), ("held_out", 0.95)])
def test_the_expert_solves_the_goals(objects: str, least: float) -> None:
    env = MultiPushEnv(objects=objects)
    rate, deepest = success_at_the_end(env, env.sample_goals(40, np.random.default_rng(11)).achieved)
    assert rate >= least
    assert deepest < DEPTH
    env.close()


def test_number_shape_and_colour_differ_per_episode() -> None:
    env = MultiPushEnv()
    episodes = looks(env, 60)
    assert set(map(len, episodes)) == {1, 2, 3}
    assert all(len({shape for shape, _ in episode}) == len(episode) for episode in episodes)
    seen = Counter(look for episode in episodes for look in episode)
    assert {shape for shape, _ in seen} == set(SHAPES) - set(HELD_OUT_SHAPES)
    assert {colour for _, colour in seen} == set(HUES) - set(HELD_OUT_HUES)
    env.close()


def test_held_out_objects_are_never_met_in_training() -> None:
    assert len(HELD_OUT_SHAPES) >= 3
    assert len(HELD_OUT_HUES) >= 3
    for name, (shapes, colours) in SETS.items():
        env = MultiPushEnv(objects=name)
        for episode in looks(env, 15):
            assert episode
            for shape, colour in episode:
                assert shape in shapes
                assert colour in colours
        env.close()
    assert not set(SETS["train"][0]) & set(SETS["held_out"][0])
    assert not set(SETS["train"][1]) & set(SETS["held_out"][1])


def test_a_goal_lays_the_table_but_does_not_tell_where() -> None:
    env = MultiPushEnv()
    goals = env.sample_goals(20, np.random.default_rng(0)).achieved
    full = next(goal for goal in goals if min(kinds(goal)) >= 0)
    other = full.copy()
    other[3::3] += 0.02
    first, second = (env.reset(seed=4, options={"goal": goal})[0]["achieved_goal"] for goal in (full, other))
    assert kinds(first) == kinds(full)
    np.testing.assert_array_equal(first, second)
    env.close()


def test_reset_free_episodes_keep_their_objects() -> None:
    env = MultiPushEnv()
    for seed in range(6):
        before = kinds(env.reset(seed=seed)[0]["achieved_goal"])
        observation, _ = env.reset(options={"keep_state": True})
        assert kinds(observation["achieved_goal"]) == kinds(observation["desired_goal"]) == before
    env.close()


def test_a_restored_state_brings_back_the_objects_and_their_colours() -> None:
    env, other = MultiPushEnv(image_size=48), MultiPushEnv(image_size=48)
    env.reset(seed=0)
    state, picture = env.get_state(), env.render()
    for seed in range(1, 6):
        other.reset(seed=seed)
        assert (other.render() != picture).any()
        other.set_state(state)
        np.testing.assert_array_equal(other.render(), picture)
    env.close()
    other.close()


def test_unused_objects_are_out_of_sight_and_out_of_the_way() -> None:
    env = MultiPushEnv(image_size=48)
    goal = [0.4, 0.0, NOTHING, 0, 0, kind("disc", "red"), 0.55, 0.0, NOTHING, 0, 0]
    env.reset(seed=0, options={"goal": goal})
    scene = env._scene
    assert isinstance(scene, ObjectsScene)
    for _ in range(10):
        env.step([1.0, 0.0])
    heights = {shape: body.position()[2] for shape, body in scene.bodies.items()}
    assert heights.pop("disc") < 0.03
    assert min(heights.values()) > 40
    env.close()


@pytest.mark.parametrize("colour", HUES)
def test_every_object_is_visible_at_48_pixels(colour: str) -> None:
    env = MultiPushEnv(image_size=48, objects="train" if colour not in HELD_OUT_HUES else "held_out")
    joints = env.sample_goals(1, np.random.default_rng(0)).states[0][:7]
    empty = env.render_state(np.array([*joints, *(NOTHING, 0.0, 0.0, 0.0) * 3]))
    for shape in env.shapes:
        # In the middle lane, and in an outer one as far forward as goals go.
        for lane, place in ((1, (0.52, 0.0)), (2, (0.60, 0.18))):
            slots = [(NOTHING, 0.0, 0.0, 0.0)] * 3
            slots[lane] = (kind(shape, colour), *place, 0.4)
            seen = env.render_state(np.array([*joints, *(value for slot in slots for value in slot)]))
            assert (np.abs(seen.astype(int) - empty).max(axis=-1) > 40).sum() >= 20
    env.close()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(SHAPES) * len(HUES) - 1))
def test_kinds_and_looks_are_one_to_one(number: int) -> None:
    assert kind(*shape_and_colour(number)) == number


def test_outlines_are_convex_and_within_reach_of_their_radius() -> None:
    for outline in OUTLINES.values():
        corners = np.array(outline)
        edges = np.roll(corners, -1, axis=0) - corners
        ahead = np.roll(edges, -1, axis=0)
        assert (edges[:, 0] * ahead[:, 1] - edges[:, 1] * ahead[:, 0] > 0).all()
        assert np.linalg.norm(corners, axis=1).max() <= RADIUS + 1e-4


def test_another_object_is_no_success() -> None:
    env = MultiPushEnv()
    goal = env.sample_goals(1, np.random.default_rng(0)).achieved[0]
    lane = kinds(goal).index(max(kinds(goal)))
    other = goal.copy()
    other[2 + 3 * lane] = kind("disc", "red") if goal[2 + 3 * lane] != kind("disc", "red") else kind("disc", "blue")
    assert env.success(goal, goal)
    assert not env.success(other, goal)
    assert env.metrics(other, goal)["distance"] == 1.0
    env.close()


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'held_out'"):
        MultiPushEnv(objects="heldout")
    env = MultiPushEnv()
    goal = np.array([0.4, 0.0, kind("disc", "red"), 0.5, -0.15, NOTHING, 0.0, 0.0, NOTHING, 0.0, 0.0])
    for number, said in ((kind("diamond", "red"), "objects diamond; expected different ones of: square"), (999, "object kind 999")):
        goal[2] = number
        with pytest.raises(UserError, match=said):
            env.reset(options={"goal": goal})
    goal[2], goal[5] = kind("disc", "red"), kind("disc", "blue")
    with pytest.raises(UserError, match="objects disc, disc; expected different ones"):
        env.reset(options={"goal": goal})
    env.close()
