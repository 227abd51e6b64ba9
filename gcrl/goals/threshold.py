"""What a task's success test amounts to, found by asking it: the figure and the threshold that a goal file states."""

from __future__ import annotations

import numpy as np

from envs.api import Floats, TaskEnv

PAIRS, CHECKS, HALVINGS = 12, 200, 40


def success_test(env: TaskEnv, achieved: Floats) -> tuple[str, float, str]:
    """Return (metric, threshold, words) of the task's success test, tried on points between the goals (n, g).

    Where success is not ``distance`` below some number on all that was tried, the threshold is NaN and the words say so.
    """
    goals = np.unique(np.asarray(achieved, np.float64), axis=0)
    goals = goals[np.isfinite(goals).all(axis=1)]
    generator = np.random.default_rng(0)
    unsure = ("", float("nan"), "success(achieved, desired) of the environment")
    pairs = [generator.choice(len(goals), 2, replace=False) for _ in range(PAIRS)] if len(goals) > 1 else []
    lines = [(goals[first], end) for first, second in pairs for end in _ends(goals[first], goals[second])]
    edges = [edge for goal, end in lines if (edge := _edge(env, goal, end)) is not None]
    if not edges:
        return unsure
    inside, outside = max(edge[0] for edge in edges), min(edge[1] for edge in edges)
    if inside > outside * (1 + 1e-5):
        return unsure
    continuous = outside - inside <= 1e-4 * outside
    threshold = float(f"{outside if continuous else inside:.4g}")
    for _ in range(CHECKS):
        goal, other = goals[generator.integers(len(goals), size=2)]
        point = goal + generator.random() ** 2 * (other - goal)
        distance = _distance(env, point, goal)
        near_edge = abs(distance - threshold) <= 1e-3 * max(threshold, outside)
        if not near_edge and bool(env.success(point, goal)) != (distance <= threshold):
            return unsure
    chosen = goals[generator.integers(len(goals), size=CHECKS)]
    name = _name(env, chosen + 0.1 * generator.standard_normal(chosen.shape), chosen)
    return name, threshold, f"{name} {'<' if continuous else '<='} {threshold:g}"


def _ends(goal: Floats, other: Floats) -> list[Floats]:
    """Return `other`, and `goal` with one factor of it at a time: where goals name scenes, a line to another scene meets no threshold."""
    return [other, *np.where(np.eye(len(goal), dtype=bool), other, goal)[goal != other]]


def _edge(env: TaskEnv, goal: Floats, other: Floats) -> tuple[float, float] | None:
    """Return the largest distance from `goal` toward `other` that is a success and the smallest that is none, or None."""
    if env.success(other, goal) or not env.success(goal, goal):
        return None
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if env.success(goal + middle * (other - goal), goal) else (low, middle)
    return _distance(env, goal + low * (other - goal), goal), _distance(env, goal + high * (other - goal), goal)


def _distance(env: TaskEnv, achieved: Floats, desired: Floats) -> float:
    return float(env.metrics(achieved, desired)["distance"])


def _name(env: TaskEnv, achieved: Floats, desired: Floats) -> str:
    """Return the metric's own name, with its unit, where ``distance`` repeats one on all of n points (n, g) about goals (n, g)."""
    metrics = env.metrics(achieved, desired)
    same = (name for name, values in metrics.items() if name != "distance" and np.array_equal(values, metrics["distance"]))
    return next(same, "distance")
