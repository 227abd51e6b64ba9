"""Compare replay with stable-baselines3's HerReplayBuffer: time of a relabelled minibatch, and memory of visual transitions.

    python benchmarks/replay_speed.py [--out results/replay_speed.json]

Minibatch: 256 transitions of equal dict data (observation 18, goals 3, action 3, episodes of 50), 4 of 5 goals relabelled as `future`,
rewards recomputed by the same function, everything returned as tensors. Rounds alternate; a time is the median over the rounds.
Memory: growth of resident memory by 100,000 transitions with a 48-pixel picture, each side in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from gymnasium import Env, spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from gcrl.episodes import Episodes
from gcrl.relabel import Relabel
from gcrl.replay import Replay
from gcrl.rewards import Environment
from goal_samplers.goal_space import LatentGoals

BATCH, EPISODE, SIZE = 256, 50, 48
OBSERVATION, GOAL, ACTION = 18, 3, 3
SIZES = (10_000, 100_000, 1_000_000)  # the last is their default buffer size
STEP = EPISODE * 20  # transitions added at a time
REQUIRED = {"ratio": 0.1, "growth": 2.0, "gigabytes": 0.8}


class Reaching(Env[Any, Any]):
    """Spaces and a reward, which is all that either buffer asks of an environment."""

    def __init__(self, picture: bool = False) -> None:
        vectors = {"observation": OBSERVATION, "achieved_goal": GOAL, "desired_goal": GOAL}
        parts: dict[str, spaces.Space[Any]] = {key: spaces.Box(-10, 10, (width,), np.float32) for key, width in vectors.items()}
        if picture:
            parts["image"] = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict(parts)
        self.action_space = spaces.Box(-1, 1, (ACTION,), np.float32)

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """Return 0 within 5 cm and -1 elsewhere."""
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=-1) > 0.05).astype(np.float32)

    def compute_terminated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """Return False for every row."""
        return np.zeros(len(achieved_goal), dtype=np.bool_)


class SameAsAchieved:
    """The state task's representation: the latent is the achieved goal."""

    keys = ("achieved_goal",)
    latent_dim = GOAL
    cache = "frame"
    needs_fit = False

    def encode(self, observations: Any, context: Any = None) -> Any:
        """Return the achieved goals."""
        return observations["achieved_goal"]


def some_episodes(generator: np.random.Generator, n: int, picture: bool) -> Episodes:
    """Return `n` episodes of random numbers."""
    frames = (n, EPISODE + 1)
    observations: dict[str, Any] = {
        "observation": generator.normal(size=(*frames, OBSERVATION)).astype(np.float32),
        "achieved_goal": generator.normal(size=(*frames, GOAL)).astype(np.float32),
    }
    if picture:
        observations["image"] = generator.integers(0, 255, (*frames, SIZE, SIZE, 3), dtype=np.uint8)
    goals = generator.normal(size=(n, GOAL)).astype(np.float32)
    return Episodes(
        observations=observations,
        actions=generator.uniform(-1, 1, (n, EPISODE, ACTION)).astype(np.float32),
        terminated=np.zeros((n, EPISODE), dtype=np.bool_),
        lengths=np.full(n, EPISODE),
        seeds=np.arange(n),
        goals=goals,
        goal_rows=np.full(n, -1),
        goal_images=observations["image"][:, 0] if picture else None,
        goal_achieved=goals,
    )


def our_buffer(transitions: int, picture: bool = False) -> Replay:
    """Return a replay that holds `transitions`."""
    env = Reaching(picture)
    rows = transitions // EPISODE * (EPISODE + 1) + 20 * EPISODE
    replay = Replay(
        env.observation_space,  # type: ignore[arg-type]
        env.action_space,
        horizon=EPISODE,
        capacity=rows,
        goal_space=LatentGoals(GOAL),
        image_goal=picture,
    )
    generator = np.random.default_rng(0)
    for _ in range(transitions // STEP):
        replay.reencode(SameAsAchieved(), replay.add(some_episodes(generator, STEP // EPISODE, picture)), goals=False)  # type: ignore[arg-type]
    return replay


def their_buffer(transitions: int, picture: bool = False) -> HerReplayBuffer:
    """Return stable-baselines3's buffer with the same transitions."""
    vector = DummyVecEnv([lambda: Reaching(picture)])
    buffer = HerReplayBuffer(
        transitions, vector.observation_space, vector.action_space, vector, device="cpu", n_sampled_goal=4, goal_selection_strategy="future"
    )
    generator = np.random.default_rng(0)
    for _ in range(transitions // STEP):
        some = some_episodes(generator, STEP // EPISODE, picture)
        for index in range(len(some)):
            keys = {"desired_goal": some.goals[index][None]}
            for t in range(EPISODE):
                here = {key: values[index, t][None] for key, values in some.observations.items()} | keys
                there = {key: values[index, t + 1][None] for key, values in some.observations.items()} | keys
                done = np.array([t == EPISODE - 1])
                buffer.add(here, there, some.actions[index, t][None], np.zeros(1), done, [{}])
    return buffer


def our_minibatch(replay: Replay, relabel: Relabel, reward: Environment, generator: np.random.Generator) -> list[torch.Tensor]:
    """Draw a minibatch the way the learner does."""
    rows = replay.sample_transitions(BATCH, generator)
    goals = relabel(replay, rows, generator)
    value, terminated = reward({key: replay.read(key, rows + 1) for key in reward.needs}, goals)
    inputs = ("observation", "achieved_goal")
    arrays = (
        replay.gather(rows, inputs),
        replay.read("action", rows),
        value,
        replay.gather(rows + 1, inputs),
        terminated.astype(np.float32),
        goals.params,
    )
    return [torch.from_numpy(array) for array in arrays]


def seconds(draw: Any, repeats: int) -> float:
    """Return the mean time of `draw()`."""
    begin = time.perf_counter()
    for _ in range(repeats):
        draw()
    return (time.perf_counter() - begin) / repeats


def minibatches(rounds: int, repeats: int) -> dict[str, float]:
    """Return median times in microseconds of both sides at SIZES, their ratios, and how ours grows from the first size to the last."""
    relabel = Relabel(rollout=0.2, future=0.8, sampler=0)
    reward = Environment(env=Reaching(), representation=SameAsAchieved())  # type: ignore[arg-type]
    generator = np.random.default_rng(1)
    ours = {size: our_buffer(size) for size in SIZES}
    theirs = {size: their_buffer(size) for size in SIZES}
    np.random.seed(1)  # noqa: NPY002 (their buffer draws from the global generator)
    draws: dict[str, Any] = {
        f"ours_{size}": (lambda replay=replay: our_minibatch(replay, relabel, reward, generator)) for size, replay in ours.items()
    }
    draws |= {f"theirs_{size}": (lambda buffer=buffer: buffer.sample(BATCH)) for size, buffer in theirs.items()}
    times: dict[str, list[float]] = {name: [] for name in draws}
    for _ in range(rounds):
        for name, draw in draws.items():
            times[name].append(seconds(draw, repeats))
    medians = {f"{name}_us": 1e6 * float(np.median(values)) for name, values in times.items()}
    ratios = {f"ratio_{size}": float(np.median(np.array(times[f"ours_{size}"]) / np.array(times[f"theirs_{size}"]))) for size in SIZES}
    growth = float(np.median(np.array(times[f"ours_{SIZES[-1]}"]) / np.array(times[f"ours_{SIZES[0]}"])))
    return medians | ratios | {"growth": growth}


def memory(side: str) -> dict[str, float]:
    """Return by how many gigabytes (1e9) resident memory grows with 100,000 visual transitions; runs in a process of its own."""
    process = psutil.Process()
    some_episodes(np.random.default_rng(0), STEP // EPISODE, True)  # what making the data itself takes is in the baseline
    before = process.memory_info().rss
    buffer = our_buffer(100_000, True) if side == "ours" else their_buffer(100_000, True)
    grown = (process.memory_info().rss - before) / 1e9
    stored = buffer.transitions if isinstance(buffer, Replay) else buffer.size()
    return {"gigabytes": grown, "transitions": float(stored)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--memory", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(json.dumps(memory(given.memory)))
        return 0
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"minibatch": minibatches(given.rounds, given.repeats)}
    for side in ("ours", "theirs"):
        run = subprocess.run([sys.executable, __file__, "--memory", side], capture_output=True, text=True, check=True)
        figures[f"memory_{side}"] = json.loads(run.stdout)
    batch, ours, theirs = figures["minibatch"], figures["memory_ours"]["gigabytes"], figures["memory_theirs"]["gigabytes"]
    print(f"{'stored transitions':>20}{'ours, us':>12}{'theirs, us':>12}{'ratio':>8}")
    for size in SIZES:
        print(f"{size:>20,}{batch[f'ours_{size}_us']:>12.0f}{batch[f'theirs_{size}_us']:>12.0f}{batch[f'ratio_{size}']:>8.3f}")
    print(f"ratio at {SIZES[-1]:,}, their default size: required at most {REQUIRED['ratio']}")
    print(f"ours, {SIZES[-1]:,} against {SIZES[0]:,}: {batch['growth']:.2f} (required: at most {REQUIRED['growth']:g})")
    print(
        f"memory of 100,000 transitions at {SIZE} px: ours {ours:.3f} GB, theirs {theirs:.3f} (required: at most {REQUIRED['gigabytes']})"
    )
    passed = batch[f"ratio_{SIZES[-1]}"] <= REQUIRED["ratio"] and batch["growth"] <= REQUIRED["growth"] and ours <= REQUIRED["gigabytes"]
    if given.out:
        versions = {name: version(name) for name in ("numpy", "torch", "stable-baselines3")} | {"python": platform.python_version()}
        command = shlex.join(["python", "benchmarks/replay_speed.py", *sys.argv[1:]])
        figures |= {"required": REQUIRED, "passed": passed, "versions": versions, "command": command}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
