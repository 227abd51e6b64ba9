"""Tabletop: scenes differ per episode, goals name them and the skill they need, held-out objects and layouts stay held out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grasping import DEPTH, success_at_the_end

from envs.errors import UserError
from envs.furniture import BUTTON_TRAVEL
from envs.quiet import bullet
from envs.tabletop import TabletopEnv
from envs.tabletop_goals import DEPTH as BUTTON_DEPTH
from envs.tabletop_goals import OPENING, PLACE, SCENE, SKILLS, layout_of, skill
from envs.tabletop_layout import ARRANGEMENTS, HELD_OUT_ARRANGEMENTS, NOTHING, SCENES, Layout
from envs.tabletop_objects import HELD_OUT_HUES, HELD_OUT_SHAPES, HUES, SETS, SHAPES, SIZES, boxes, object_kind, object_look
from gcrl.goals import GoalFile, make_goals

FULL = Layout(0, HUES.index("red"), 4 * len(HUES) + HUES.index("blue"), HUES.index("yellow"), object_kind("ell", "large", "green"))


def goal_of(layout: Layout, opening: float = 0.0, depth: float = 0.0, place: Any = (0.39, -0.07)) -> np.ndarray[Any, Any]:
    side, drawer, button, tray, thing = layout.numbers()
    where = [0.0] * 3 if thing == NOTHING else [*place, layout.rest(*place)]
    return np.array([0.38, 0.0, 0.22, side, drawer, opening, button, depth, tray, thing, *where])


def goals(env: TabletopEnv, count: int, seed: int = 0) -> Any:
    return env.sample_goals(count, np.random.default_rng(seed)).achieved


@pytest.mark.parametrize("sets", [{}, {"objects": "held_out"}, {"layouts": "held_out"}])
def test_the_expert_solves_the_goals(sets: dict[str, str]) -> None:
    env = TabletopEnv(**sets)
    rate, deepest = success_at_the_end(env, goals(env, 30, 11))
    assert rate >= 0.95
    assert deepest < DEPTH
    env.close()


def test_the_expert_shuts_a_drawer_with_its_fingers_behind_the_edge_and_goes_on_to_the_second_skill() -> None:
    """From these starts it once pushed before its fingers were down, came to stand on the drawer's front and stayed there."""
    env = TabletopEnv()
    goal = goal_of(Layout(0, 4, 10, 27, 24), opening=0.0146, place=(0.3855, 0.2068))
    for seed in (13, 28, 35, 42):
        observation, _ = env.reset(seed=seed, options={"goal": goal})
        assert skill(observation["achieved_goal"], observation["desired_goal"]) == "close_drawer+place_in_tray"
        truncated, info = False, {}
        while not truncated:
            observation, _, _, truncated, info = env.step(env.expert_action(observation))
        assert info["is_success"]
    env.close()


def test_what_is_there_and_where_differs_per_episode_and_no_table_is_empty() -> None:
    env = TabletopEnv()
    layouts = [layout_of(env.reset(seed=seed)[0]["achieved_goal"]) for seed in range(80)]
    for part in ("drawer", "button", "tray", "object"):
        assert {getattr(layout, part) == NOTHING for layout in layouts} == {True, False}
    assert {layout.side for layout in layouts} == {0, 1}
    assert len({layout.button // len(HUES) for layout in layouts if layout.button != NOTHING}) == 6
    assert len({layout.drawer for layout in layouts}) == 6
    for layout in layouts:
        assert max(layout.drawer, layout.button, layout.object) > NOTHING
        colours = [number % len(HUES) for number in layout.numbers()[1:] if number != NOTHING]
        assert len(set(colours)) == len(colours)
    env.close()


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_is_one_held_out_table_with_everything_on_it(scene: str) -> None:
    env = TabletopEnv(objects="held_out", layouts=scene)
    layouts = {tuple(layout_of(env.reset(seed=seed)[0]["achieved_goal"]).numbers()) for seed in range(10)}
    layouts |= {tuple(layout_of(goal).numbers()) for goal in env.fixed_goals("test").achieved}
    (layout,) = layouts
    assert min(layout) > NOTHING
    assert (layout[0], layout[2] // len(HUES), layout[3] // len(HUES)) in HELD_OUT_ARRANGEMENTS
    env.close()


def test_held_out_objects_and_layouts_are_never_met_in_training() -> None:
    assert len(HELD_OUT_SHAPES) * len(SIZES) * len(HELD_OUT_HUES) >= 5
    assert 5 <= len(HELD_OUT_ARRANGEMENTS) < len(ARRANGEMENTS) / 4
    for objects, (shapes, colours) in SETS.items():
        for layouts in ("train", "held_out"):
            env = TabletopEnv(objects=objects, layouts=layouts)
            for layout in map(layout_of, goals(env, 60)):
                if layout.object != NOTHING:
                    shape, _, colour = object_look(layout.object)
                    assert shape in shapes
                    assert colour in colours
                both = layout.button != NOTHING and layout.tray != NOTHING
                arrangement = (layout.side, layout.button // len(HUES), layout.tray // len(HUES))
                assert (both and arrangement in HELD_OUT_ARRANGEMENTS) == (layouts == "held_out")
            env.close()
    assert not set(SETS["train"][0]) & set(SETS["held_out"][0])
    assert not set(SETS["train"][1]) & set(SETS["held_out"][1])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SHAPES) * len(SIZES) * len(HUES) - 1))
def test_kinds_and_looks_are_one_to_one(number: int) -> None:
    assert object_kind(*object_look(number)) == number


def test_every_layout_has_two_places_for_the_object() -> None:
    for side, button, tray in ARRANGEMENTS:
        assert len(Layout(side, 0, button * len(HUES), tray * len(HUES), 0).free()) >= 2


def test_every_object_is_four_centimetres_wide_where_it_is_held() -> None:
    for shape in set(SHAPES) - {"cylinder"}:
        for size in SIZES:
            held = [half[1] for centre, half in boxes(shape, size) if abs(centre[0]) < half[0]]
            assert held == [0.02]


def test_a_goal_lays_its_table_but_for_the_parts_that_its_skills_move() -> None:
    env = TabletopEnv()
    seen: Counter[str] = Counter()
    goal = goal_of(FULL, 0.12, BUTTON_TRAVEL)
    for seed in range(40):
        start = env.reset(seed=seed, options={"goal": goal})[0]["achieved_goal"]
        np.testing.assert_array_equal(start[SCENE], goal[SCENE])
        names = skill(start, goal).split("+")
        assert 1 <= len(names) <= 2
        assert ("open_drawer" in names) == (start[OPENING] < 0.03)
        assert ("press_button" in names) == (start[BUTTON_DEPTH] == 0)
        assert ("move_object" in names) == (np.linalg.norm(start[PLACE:] - goal[PLACE:]) > 0.05)
        seen.update(names)
    assert set(seen) == {"open_drawer", "press_button", "move_object"}
    assert min(seen.values()) > 40 / 3 / 2
    shut = goal_of(Layout(1, 3), 0.01)
    assert skill(env.reset(seed=0, options={"goal": shut})[0]["achieved_goal"], shut) == "close_drawer"
    env.close()


def test_a_goal_that_was_reached_begins_as_the_one_that_was_commanded() -> None:
    """An evaluation on a file of goals thus starts where the expert is known to succeed."""
    env = TabletopEnv()
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        start, truncated = observation["achieved_goal"], False
        while not truncated:
            observation, _, _, truncated, info = env.step(env.expert_action(observation))
        assert info["is_success"]
        again = env.reset(seed=seed, options={"goal": observation["achieved_goal"]})[0]["achieved_goal"]
        np.testing.assert_allclose(again, start, atol=2e-3)
    env.close()


@pytest.mark.parametrize("policy", ["reset-free", "play"])
def test_goals_of_the_same_table_follow_each_other(policy: str) -> None:
    env = TabletopEnv()
    for seed in range(6):
        goal, state = env.reset(seed=seed)[0]["achieved_goal"], env.goal_state()
        for number in range(4):
            if policy == "play":
                goals = env.next_goal(state, np.random.default_rng(number))
                following, state = goals.achieved[0], goals.states[0]
                assert skill(goal, following).count("+") <= 1
            else:
                observation, _ = env.reset(options={"keep_state": True})
                following = observation["desired_goal"]
                assert skill(observation["achieved_goal"], following).count("+") <= 1
            np.testing.assert_array_equal(following[SCENE], goal[SCENE])
            goal = following
    env.close()


def test_a_restored_state_brings_back_the_scene_and_its_colours() -> None:
    env, other = TabletopEnv(image_size=48), TabletopEnv(image_size=48)
    env.reset(seed=0)
    state, picture = env.get_state(), env.render()
    for seed in range(1, 6):
        other.reset(seed=seed)
        assert (other.render() != picture).any()
        other.set_state(state)
        np.testing.assert_array_equal(other.render(), picture)
    env.close()
    other.close()


def test_everything_is_visible_at_48_pixels_and_so_is_each_outcome() -> None:
    env = TabletopEnv(image_size=48)

    def picture(layout: Layout, opening: float = 0.0, depth: float = 0.0, place: Any = (0.39, -0.07)) -> np.ndarray[Any, Any]:
        env.reset(seed=0, options={"goal": goal_of(layout, opening, depth, place)})
        side, drawer, button, tray, thing = layout.numbers()
        pose = [0.0] * 7 if thing == NOTHING else [*place, layout.rest(*place), 0.0, 0.0, 0.0, 1.0]
        state = env.goal_state()
        state[8:] = [side, drawer, opening, button, depth, tray, thing, *pose]
        return env.render_state(state).astype(int)

    _, drawer, button, tray, thing = FULL.numbers()
    empty = picture(Layout(0))
    for layout, least in (
        (Layout(0, drawer), 150),
        (Layout(0, -1, button), 50),
        (Layout(0, -1, -1, tray), 50),
        (Layout(0, object=thing), 6),
    ):
        assert (np.abs(picture(layout) - empty).max(axis=-1) > 40).sum() >= least
    before = picture(FULL)
    after = {"opened": picture(FULL, 0.12), "pressed": picture(FULL, 0.0, BUTTON_TRAVEL), "in tray": picture(FULL, place=FULL.tray_point)}
    for name, least in (("opened", 60), ("pressed", 6), ("in tray", 10)):
        assert (np.abs(after[name] - before).max(axis=-1) > 40).sum() >= least, name
    env.close()


def test_nothing_but_friction_holds_the_object() -> None:
    env = TabletopEnv()
    layout = Layout(0, object=object_kind("block", "large", "red"))
    goal = goal_of(layout)
    observation, _ = env.reset(seed=1, options={"goal": goal})
    for _ in range(25):
        observation = env.step(env.expert_action(observation))[0]
    assert observation["achieved_goal"][PLACE + 2] > 0.12
    scene = env._scene
    client = scene.simulation.client
    assert bullet.getNumConstraints(client) == 1, "the gear of the fingers, nothing more"
    for _ in range(12):
        observation = env.step([0.0, 0.0, 0.0, 1.0])[0]
    assert observation["achieved_goal"][PLACE + 2] < 0.05
    env.close()


def test_another_scene_is_no_success() -> None:
    env = TabletopEnv()
    goal = goal_of(FULL)
    assert env.success(goal, goal)
    for index in SCENE:
        other = goal.copy()
        other[index] += 1
        assert not env.success(other, goal)
        assert env.metrics(other, goal)["distance"] >= 10
    env.close()


def test_goal_files_carry_skills_objects_and_every_outcome(tmp_path: Any) -> None:
    out = tmp_path / "goals.h5"
    made = make_goals(["env=tabletop", "n=24", "env.image_size=16", "rollout=false", f"out={out}"])
    assert made["success"] == "distance < 1"
    outcomes = ("drawer_open", "drawer_shut", "button_pressed", "object_in_tray", "object_on_table")
    assert all(made["coverage"][name] > 0 for name in outcomes)
    assert list(made["goals_per_skill"]) == list(SKILLS)
    assert all(count > 0 for count in made["goals_per_skill"].values())
    with GoalFile(out) as file:
        rows = file.rows()
        tasks = [task.split("+") for task in file.read("task", rows)]
        assert made["goals_per_skill"] == {name: sum(name in task for task in tasks) for name in SKILLS}
        objects = " ".join(file.read("objects", rows))
        assert all(name in objects for name in ("drawer_left_", "drawer_right_", "button_", "tray_", "_large_", "_small_"))
        starts, ends = file.read("starts/achieved", rows), file.read("achieved", rows)
        np.testing.assert_array_equal(starts[:, SCENE], ends[:, SCENE])


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown objects 'heldout' .did you mean 'held_out'"):
        TabletopEnv(objects="heldout")
    with pytest.raises(UserError, match=r"unknown layouts 'trian' .did you mean 'train'"):
        TabletopEnv(layouts="trian")
    env = TabletopEnv()
    tee = goal_of(Layout(0, object=object_kind("tee", "small", "red")))
    bad = {
        "object of shape tee; expected one of: block, cylinder, ell, hat": tee,
        "object kind 999; expected 0 to": np.where(np.arange(13) == 9, 999, goal_of(FULL)),
        "drawer kind 99; expected 0 to 7, or -1 for none": np.where(np.arange(13) == 4, 99, goal_of(FULL)),
        "side 3 of the table; expected 0": np.where(np.arange(13) == 3, 3, goal_of(FULL)),
        "button at place 1 and tray at place 0; expected places that are": np.where(np.arange(13) == 6, 8, goal_of(FULL)),
    }
    for said, goal in bad.items():
        with pytest.raises(UserError, match=said):
            env.reset(options={"goal": goal})
    env.close()
