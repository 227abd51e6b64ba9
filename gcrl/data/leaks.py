"""Splits of a dataset: what they are called, what must not be in two of them, and what is."""

from __future__ import annotations

import hashlib
import itertools
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.data.check_values import batches, readable
from gcrl.data.findings import Report
from gcrl.data.schema import Header
from gcrl.ring import expand
from representations.api import Rows

# A name's beginning says what a split is for. Splits of different kinds must share nothing; those of one kind may (held_out_shapes
# and held_out_colours), as may splits with other names (scripted, first_100).
KINDS = {"train": r"train(ing)?", "validation": r"val(id(ation)?)?", "test": r"test", "held-out": r"held[_-]?out"}


def kind_of(split: str) -> str | None:
    """Return what the split is for ("train", "validation", "test", "held-out"), or None where its name does not say."""
    return next((kind for kind, pattern in KINDS.items() if re.match(rf"{pattern}(?![a-z])", split.lower())), None)


def check_splits(file: Any, header: Header, chosen: Rows, starts: Rows, lengths: Rows, report: Report) -> None:
    """Note masks of a wrong size and splits of different kinds that share episodes, goals or whole trajectories."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for split, item in file["mask"].items():
        if item.shape != (report.episodes,) or item.dtype != np.bool_:
            what = f"has shape {item.shape} {item.dtype}; expected ({report.episodes},) bool, one entry an episode"
            report.add("counter", f"/mask/{split}", what)
        else:
            masks[split] = item[()]
    pairs = [(a, b) for a, b in itertools.combinations(masks, 2) if kind_of(a) and kind_of(b) and kind_of(a) != kind_of(b)]
    if not pairs:
        return
    keys = {
        "the same goal": goal_keys(file, header, report.episodes),
        "the same trajectory": _trajectories(file, header, chosen, starts, lengths, report.episodes),
    }
    for a, b in pairs:
        both = np.flatnonzero(masks[a] & masks[b])
        if len(both):
            what = f"share {len(both)} episode{'s' * (len(both) > 1)}"
            report.add("leak", f"/mask/{a} and /mask/{b}, episode {both[0]}", what, len(both))
        for what, values in keys.items():
            _check_pair(masks, a, b, values, what, report)


def _check_pair(masks: dict[str, NDArray[np.bool_]], a: str, b: str, keys: list[bytes | None], what: str, report: Report) -> None:
    seen = {key: index for index, key in reversed(list(enumerate(keys))) if key is not None and masks[a][index]}
    # An episode in both splits is a finding of its own.
    mine = masks[b] & ~masks[a]
    shared = [(seen[key], index) for index, key in enumerate(keys) if key is not None and key in seen and mine[index]]
    if shared:
        first, second = sorted(shared[0])
        where = f"/mask/{a} and /mask/{b}, episodes {first} and {second}"
        more = f"; so do {len(shared) - 1} more of {b}" if len(shared) > 1 else ""
        report.add("leak", where, f"have {what}{more}", len(shared))


def goal_keys(file: Any, header: Header, episodes: int) -> list[bytes | None]:
    """Return for each episode bytes that are equal for equal goals: the goal in achieved-goal space, else its picture; None if unknown."""
    achieved, _ = readable(file["goals/achieved"], np.arange(episodes))
    keys: list[bytes | None] = [None] * episodes
    if achieved is not None and episodes:
        flat = achieved.reshape(episodes, -1) + np.float32(0)  # -0 becomes 0
        unknown = ~np.isfinite(flat)
        keys = [None if unknown[index].any() else row.tobytes() for index, row in enumerate(flat)]
    if header.image_goal:
        for index in [index for index, key in enumerate(keys) if key is None]:
            picture, _ = readable(file["goals/image"], np.array([index]))
            if picture is not None and picture.any():
                keys[index] = hashlib.sha256(picture.tobytes()).digest()
    return keys


def _trajectories(file: Any, header: Header, chosen: Rows, starts: Rows, lengths: Rows, episodes: int) -> list[bytes | None]:
    """Return for each episode a digest of its actions and achieved goals; None where these cannot be read."""
    keys: list[bytes | None] = [None] * episodes
    for part in batches(chosen, lengths):
        rows = expand(starts[part], lengths[part])
        actions, _ = readable(file["steps/action"], rows)
        achieved, _ = readable(file["steps/observation/achieved_goal"], rows)
        if actions is None or achieved is None:
            continue
        ends = np.cumsum(lengths[part] + 1)
        for index, end, length in zip(part, ends, lengths[part]):
            begin = end - length - 1
            keys[index] = hashlib.sha256(actions[begin : end - 1].tobytes() + achieved[begin:end].tobytes()).digest()
    return keys
