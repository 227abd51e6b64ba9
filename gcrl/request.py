"""What the learner asks of the collector: complete, storable, the same episodes whenever it is sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.settings import Practice
from goal_samplers.api import Goals


@dataclass
class EvaluationOrder:
    """An evaluation to run beside the collection: policy, untrained, random or zero; the split of goals, their number, episodes to film."""

    name: str
    kind: str = "policy"
    split: str = "tune"
    goals: int = 16
    film: int = 0


@dataclass
class Request:
    """What to collect; the episodes depend on nothing else.

    snapshot: the policy's weights. goals: one per episode (None: only evaluate). seeds: (n,).
    explore: ``policy``, ``random`` or ``stay`` (the policy commanded to stay where the episode starts).
    keep: (n,) whether an episode goes on from where its simulator stands. states: the simulators' exact states (reset-free).
    fits: number of the representation's fit that the goals were encoded with.
    """

    epoch: int
    snapshot: dict[str, Any]
    goals: Goals | None
    seeds: NDArray[np.int64]
    explore: str
    keep: NDArray[np.bool_]
    states: list[bytes] | None = None
    evaluations: list[EvaluationOrder] = field(default_factory=list)
    fits: int = 0
    env_steps: int = 0
    updates: int = 0

    def to_tree(self) -> dict[str, Any]:
        """Return the request as nested dicts of arrays and scalars, for a checkpoint."""
        tree = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        tree["goals"] = None if self.goals is None else {entry.name: getattr(self.goals, entry.name) for entry in dataclasses.fields(Goals)}
        tree["evaluations"] = [dataclasses.asdict(order) for order in self.evaluations]
        return tree

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Request:
        """Return the request that `to_tree` stored."""
        values = dict(tree)
        values["goals"] = None if values["goals"] is None else Goals(**values["goals"])
        values["evaluations"] = [EvaluationOrder(**order) for order in values["evaluations"]]
        return cls(**values)


def episode_seeds(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Return (n,) seeds of an epoch's episodes, a function of the run's seed and the epoch alone."""
    return np.array([np.random.SeedSequence([seed, 2, epoch, index]).generate_state(1)[0] >> 1 for index in range(n)], np.int64)


def kept_scenes(practice: Practice, epoch: int) -> NDArray[np.bool_]:
    """Return (n,) whether each of the epoch's episodes goes on from where its simulator stands (``reset_every``)."""
    index = np.arange(practice.episodes_per_epoch)
    waves = -(-practice.episodes_per_epoch // practice.simulators)
    turn = epoch * waves + index // practice.simulators  # how many episodes this simulator has run before
    return np.asarray(turn > 0) if practice.reset_every == 0 else np.asarray(turn % practice.reset_every != 0)
