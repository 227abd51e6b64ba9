"""Does an environment keep the contract of `envs.api`? Run on every environment of ours; meant for yours too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.api import TaskEnv
from envs.errors import UserError

Step = tuple[dict[str, Any], float, bool, bool, dict[str, Any]]
_STEPS = 12  # of the short trajectories that are compared bit for bit


def check_env(env: TaskEnv, seed: int = 0) -> list[str]:
    """Return one line per broken promise of `env` (none: it conforms); `env` is stepped and reset on the way.

    What is checked is listed in `CHECKS`; exact state and pictures only where the capabilities claim them.
    """
    return [problem for check in run_checks(env, seed) for problem in check.problems]


@dataclass
class Check:
    """One promise of the contract: what it says, whether `env` makes it at all, and how it was broken (a line each)."""

    name: str
    promise: str
    claimed: bool
    problems: list[str]


def outcome_of(name: str, promise: str, claimed: bool, problems: Callable[[], Iterable[str]]) -> Check:
    """Return the outcome of a check that yields `problems`; it is run where its promise is claimed."""
    outcome = Check(name.strip("_"), promise, claimed, [])
    if claimed:
        try:
            outcome.problems.extend(problems())
        except Exception as error:  # a check that crashes is a finding, not the end of the report
            outcome.problems.append(f"{outcome.name}: {type(error).__name__}: {error}")
    return outcome


def run_checks(env: TaskEnv, seed: int = 0) -> Iterator[Check]:
    """Yield the outcome of each check in turn, as it ends; those that `env` does not claim come unchecked."""
    if not isinstance(env, TaskEnv):
        yield Check("contract", "it has the attributes of envs.api.TaskEnv", True, ["it lacks attributes of envs.api.TaskEnv"])
        return
    for check, promise, needed in CHECKS:
        claimed = all(getattr(env.capabilities, name) for name in needed)
        yield outcome_of(check.__name__, promise, claimed, functools.partial(check, env, seed))


def _spaces(env: TaskEnv, seed: int) -> Iterator[str]:
    observation, _ = env.reset(seed=seed)
    after = _roll(env, seed, 1)[0][0]
    for name, value in (("reset", observation), ("step", after)):
        if not env.observation_space.contains(value):
            wrong = [key for key, space in env.observation_space.items() if key not in value or not space.contains(value[key])]
            yield f"spaces: what {name}() returns is outside observation_space: {', '.join(wrong) or 'other keys'}"
    for key in ("observation", "achieved_goal", "desired_goal"):
        if np.asarray(observation[key]).dtype != np.float32:
            yield f"spaces: {key} is {np.asarray(observation[key]).dtype}; expected float32"
    if len(env.factors) != len(observation["achieved_goal"]):
        yield f"spaces: {len(env.factors)} factors for {len(observation['achieved_goal'])} entries of achieved_goal"
    if env.capabilities.images and observation.get("image", np.zeros(0)).dtype != np.uint8:
        yield "spaces: image is not uint8"


def _seeding(env: TaskEnv, seed: int) -> Iterator[str]:
    first = _episode(env, seed)
    _episode(env, seed + 1)
    again = _episode(env, seed)
    if not _equal(first, again):
        yield "seeding: reset(seed) and the same actions gave another trajectory after another history"
    starts = [env.reset(seed=seed + offset)[0] for offset in range(4)]
    if all(_equal(starts[0], start) for start in starts[1:]):
        yield "seeding: different seeds gave the same start and goal"


def _formulas(env: TaskEnv, seed: int) -> Iterator[str]:
    env.reset(seed=seed)
    steps = _roll(env, seed, 2 * _STEPS)
    achieved = np.stack([step[0]["achieved_goal"] for step in steps])
    desired = np.stack([step[0]["desired_goal"] for step in steps])
    rewards = np.array([step[1] for step in steps])
    ends = np.array([step[2] for step in steps])
    computed = env.compute_reward(achieved, desired, {})
    if computed.shape != rewards.shape or not np.allclose(computed, rewards, rtol=1e-5, atol=1e-6):
        yield "formulas: compute_reward differs from the reward of step()"
    if not np.array_equal(env.compute_terminated(achieved, desired, {}), ends):
        yield "formulas: compute_terminated differs from step()"
    pairs = (np.stack([achieved, desired]), np.stack([desired, desired]))
    for name in ("compute_reward", "compute_terminated", "compute_truncated"):
        if np.shape(getattr(env, name)(*pairs, {})) != (2, len(steps)):
            yield f"formulas: {name} does not keep two leading axes"
    if not np.all(env.success(desired, desired)):
        yield "formulas: a goal is no success for itself"
    distance = env.metrics(achieved, desired).get("distance")
    if distance is None or np.shape(distance) != rewards.shape or np.any(env.metrics(desired, desired)["distance"]):
        yield "formulas: metrics has no distance per row that is zero at the goal"


def _clock(env: TaskEnv, seed: int) -> Iterator[str]:
    env.reset(seed=seed)
    actions = _actions(env, seed)
    for count in range(1, env.horizon + 1):
        observation, _, terminated, truncated, info = env.step(next(actions))
        if terminated:
            return
        computed = bool(env.compute_truncated(observation["achieved_goal"], observation["desired_goal"], info))
        # At the last step an environment may leave the clock to step(), which alone knows it.
        if (computed and not truncated) or (truncated and not computed and count < env.horizon):
            yield f"clock: compute_truncated is {computed} at step {count} of {env.horizon}, where step() says {truncated}"
            return
        if truncated != (count == env.horizon):
            yield f"clock: truncated={truncated} at step {count} of {env.horizon}"
            return


def _goals(env: TaskEnv, seed: int) -> Iterator[str]:
    sampled = env.sample_goals(3, np.random.default_rng(seed))
    if not np.array_equal(sampled.achieved, env.sample_goals(3, np.random.default_rng(seed)).achieved):
        yield "goals: sample_goals is no function of its generator"
    if sampled.achieved.shape != (3, len(env.factors)) or len(sampled.states) != 3:
        yield f"goals: sample_goals(3) has achieved goals of shape {sampled.achieved.shape}; expected (3, {len(env.factors)})"
    goal = sampled.achieved[1]
    observation, _ = env.reset(seed=seed, options={"goal": goal})
    step = _roll(env, seed, 1)[0]
    for source in (observation, step[0]):
        if not np.allclose(source["desired_goal"], goal, atol=1e-6):
            yield "goals: a commanded goal is not the desired goal"
            break
    test, tune = env.fixed_goals("test"), env.fixed_goals("tune")
    if len(test) != 100 or not np.array_equal(test.achieved, env.fixed_goals("test").achieved):
        yield "goals: fixed_goals('test') is not 100 goals that stay the same"
    if np.array_equal(test.achieved, tune.achieved[: len(test)]):
        yield "goals: the tuning goals are the test goals"
    try:
        env.fixed_goals("no such split")
        yield "goals: an unknown split is accepted"
    except UserError:
        pass


def _options(env: TaskEnv, seed: int) -> Iterator[str]:
    goal = env.sample_goals(1, np.random.default_rng(seed)).achieved[0]
    first = [env.reset(seed=seed, options={"goal": goal})[0], *_roll(env, seed, 3)]
    _episode(env, seed + 1)
    if not _equal(first, [env.reset(seed=seed, options={"goal": goal})[0], *_roll(env, seed, 3)]):
        yield "options: reset with one seed and one goal began two different episodes"


def _keep_state(env: TaskEnv, seed: int) -> Iterator[str]:
    env.reset(seed=seed)
    before = _roll(env, seed, min(5, env.horizon))[-1][0]
    after, _ = env.reset(options={"keep_state": True})
    if not np.allclose(before["achieved_goal"], after["achieved_goal"], atol=1e-4):
        yield "keep_state: the scene moved"


def _state(env: TaskEnv, seed: int) -> Iterator[str]:
    env.reset(seed=seed)
    _roll(env, seed, 3)
    state = env.get_state()
    env.set_state(state)  # a save may round what it saves: the promise is that every load of it goes on alike
    first = _roll(env, seed + 1, _STEPS)
    _episode(env, seed + 2)
    env.set_state(state)
    if not _equal(first, _roll(env, seed + 1, _STEPS)):
        yield "state: two continuations of one state differ"
    try:
        env.set_state(state[: len(state) // 2])
        yield "state: a truncated state is accepted"
    except UserError:
        pass


def _images(env: TaskEnv, seed: int) -> Iterator[str]:
    image = env.reset(seed=seed)[0]["image"].copy()
    _episode(env, seed + 1)
    if not np.array_equal(image, env.reset(seed=seed)[0]["image"]):
        yield "images: one seed, two pictures"


def _render_state(env: TaskEnv, seed: int) -> Iterator[str]:
    goals = env.sample_goals(2, np.random.default_rng(seed)).states
    env.reset(seed=seed)
    plain = _roll(env, seed, _STEPS)
    env.reset(seed=seed)
    pictures = [env.render_state(goals[0]), env.render_state(goals[1]), env.render_state(goals[0])]
    if not _equal(plain, _roll(env, seed, _STEPS)):
        yield "render_state: it disturbs the episode"
    if pictures[0].dtype != np.uint8 or pictures[0].ndim != 3 or not np.array_equal(pictures[0], pictures[2]):
        yield "render_state: a state has no picture (H, W, 3) uint8 of its own"


def _expert(env: TaskEnv, seed: int) -> Iterator[str]:
    observation, _ = env.reset(seed=seed)
    for _ in range(min(_STEPS, env.horizon)):
        action: Any = np.asarray(env.expert_action(observation))  # type: ignore[attr-defined]
        if not env.action_space.contains(action.item() if action.ndim == 0 else action):
            yield f"expert: expert_action returned {action.tolist()} ({action.dtype}), which is not in action_space"
            return
        observation, _, terminated, _, _ = env.step(action)
        if terminated:
            return


# Function, promise, and the capabilities without which it is not made.
CHECKS: list[tuple[Callable[[TaskEnv, int], Iterator[str]], str, tuple[str, ...]]] = [
    (_spaces, "observations lie in observation_space, vectors are float32, pictures uint8", ()),
    (_seeding, "reset(seed) and the same actions give the same trajectory whatever came before", ("reset",)),
    (_formulas, "vectorised compute_reward and compute_terminated equal step(); a goal is a success for itself", ()),
    (_clock, "step() truncates at the horizon and nowhere else; compute_truncated equals it", ()),
    (_goals, "goals are a function of the generator; a commanded goal is the desired goal; 100 fixed test goals", ()),
    (_options, "reset(seed, options={'goal': g}) begins the same episode whatever came before", ("reset",)),
    (_keep_state, "reset(options={'keep_state': True}) leaves the scene as it is", ()),
    (_expert, "expert_action is an action, from the observation alone", ("expert",)),
    (_state, "set_state(get_state()) goes on exactly alike; a truncated state is refused", ("state",)),
    (_images, "one seed, one picture", ("images", "reset")),
    (_render_state, "render_state draws a goal state and does not disturb the episode", ("render_state",)),
]


def _actions(env: TaskEnv, seed: int) -> Iterator[Any]:
    env.action_space.seed(seed)
    while True:
        yield env.action_space.sample()


def _roll(env: TaskEnv, seed: int, steps: int) -> list[Step]:
    """Step with actions that `seed` decides; goes on after an episode's end, so that short horizons are checked as well."""
    actions = _actions(env, seed)
    return [env.step(next(actions)) for _ in range(steps)]


def _episode(env: TaskEnv, seed: int) -> list[Any]:
    return [env.reset(seed=seed)[0], *_roll(env, seed, _STEPS)]


def _equal(a: Any, b: Any) -> bool:
    """Return whether two nested trajectories are equal bit for bit (``info`` aside)."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return all(_equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
    if isinstance(a, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b))
    return bool(np.array_equal(a, b))
