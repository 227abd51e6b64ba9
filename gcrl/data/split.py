"""Splits a dataset into training, validation, ... episodes by writing masks beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError, unknown
from gcrl.data.leaks import goal_keys
from gcrl.data.reader import Reader
from gcrl.data.writer import Writer

BY = ("goal", "episode")


def split(path: str | Path, fractions: Mapping[str, float], *, seed: int = 0, by: str = "goal", overwrite: bool = False) -> dict[str, int]:
    """Write ``/mask/<name>`` for each of `fractions` to the dataset at `path`; return how many episodes each has.

    Whole episodes are drawn by `seed`, none into two splits; what the fractions leave over belongs to none. With `by` "goal" (the
    default) episodes that were after the same goal stay together, so that no held-out goal is known from training; sizes are then as near
    to the fractions as the goals allow. Raises `UserError` for fractions outside (0, 1] or of more than 1 in all, for a split that would
    be empty, and for one that exists already, unless `overwrite`.
    """
    _check(fractions, by, seed)
    with Reader(path) as reader:
        present = [name for name in fractions if name in reader.file["mask"]]
        if present and not overwrite:
            raise UserError(f"{path} has a split '{present[0]}' already; give another name, or overwrite=true to replace it")
        keys = goal_keys(reader.file, reader.header, len(reader)) if by == "goal" else [None] * len(reader)
        masks = draw(keys, fractions, np.random.default_rng(seed), str(path))
    with Writer(path) as writer:
        for name, mask in masks.items():
            writer.set_mask(name, mask)
    return {name: int(mask.sum()) for name, mask in masks.items()}


def draw(
    keys: Sequence[bytes | None], fractions: Mapping[str, float], generator: np.random.Generator, path: str
) -> dict[str, NDArray[np.bool_]]:
    """Return {split: (episodes,) bool}, disjoint; episodes of equal keys (None equals none) are in the same split or in none."""
    groups: dict[bytes | int, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(index if key is None else key, []).append(index)
    members = list(groups.values())
    shuffled = [members[index] for index in generator.permutation(len(members))]
    masks = {name: np.zeros(len(keys), np.bool_) for name in fractions}
    # Each group goes where most is missing, so that sizes come out as near as whole groups allow.
    rest = 1.0 - math.fsum(fractions.values())
    wanted = {name: fraction * len(keys) for name, fraction in fractions.items()} | ({None: rest * len(keys)} if rest > 1e-9 else {})
    missing: dict[str | None, float] = dict(wanted)
    for group in sorted(shuffled, key=len, reverse=True):
        name = max(missing, key=lambda name: missing[name])
        missing[name] -= len(group)
        if name is not None:
            masks[name][group] = True
    for name, mask in masks.items():
        if not mask.any():
            what = f"{len(keys)} episodes with {len(groups)} different goals" if len(groups) < len(keys) else f"{len(keys)} episodes"
            raise UserError(f"{path}: split '{name}' of {fractions[name]:g} would be empty; the dataset has {what}")
    return masks


def _check(fractions: Mapping[str, float], by: str, seed: int) -> None:
    if seed < 0:
        raise UserError(f"seed={seed}: expected a whole number from 0 on")
    if by not in BY:
        raise unknown("value of by", by, BY)
    if not fractions:
        raise UserError("no split given; expected NAME=FRACTION such as train=0.9 validation=0.1")
    for name, fraction in fractions.items():
        if not 0 < fraction <= 1:
            raise UserError(f"{name}={fraction:g}: expected a fraction above 0 and at most 1")
    total = math.fsum(fractions.values())
    if total > 1 + 1e-9:
        raise UserError(f"the fractions add up to {total:g}; expected at most 1")
