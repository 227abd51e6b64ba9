"""Checks the values of a dataset, a few thousand rows at a time: every frame, action, flag and goal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from tqdm import tqdm

from gcrl.data.findings import Report
from gcrl.data.reader import DamagedFile, read_rows
from gcrl.data.schema import STEP_COLUMNS, Header, is_picture
from gcrl.ring import expand
from representations.api import Rows

ROWS_AT_ONCE, PICTURES_AT_ONCE = 8192, 256
TOLERANCE = 1e-5  # beyond a bound: float32 rounding


class _Tally:
    """Counts rows with the same fault and remembers the first, so that a report has one line for each fault."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str, str], str] = {}
        self.count: dict[tuple[str, str, str], int] = {}

    def note(self, kind: str, dataset: str, what: str, bad: NDArray[np.bool_], place: Callable[[int], str]) -> None:
        """Note the fault in those entries where `bad` is true; `place` names an entry."""
        if bad.any():
            key = (kind, dataset, what)
            self.first.setdefault(key, place(int(np.argmax(bad))))
            self.count[key] = self.count.get(key, 0) + int(bad.sum())

    def report(self, report: Report, unit: str) -> None:
        for key, place in self.first.items():
            kind, dataset, what = key
            more = f" (in {self.count[key]} {unit})" if self.count[key] > 1 else ""
            report.add(kind, f"{dataset}, {place}", what + more, self.count[key])


def batches(chosen: Rows, lengths: Rows, rows: int = ROWS_AT_ONCE) -> Iterator[Rows]:
    """Yield the episode numbers `chosen` in runs of about `rows` rows."""
    total = np.cumsum(lengths[chosen] + 1)
    return (part for part in np.split(chosen, np.flatnonzero(np.diff(total // rows)) + 1) if len(part))


def check_steps(file: Any, header: Header, chosen: Rows, starts: Rows, lengths: Rows, report: Report) -> None:
    """Note what is wrong in the rows of the episodes `chosen`, which exist."""
    tally = _Tally()
    with tqdm(total=int((lengths[chosen] + 1).sum()), desc="check", unit=" frames", disable=None, leave=False) as progress:
        for part in batches(chosen, lengths):
            _check_batch(file, header, part, starts[part], lengths[part], tally)
            progress.update(int((lengths[part] + 1).sum()))
    tally.report(report, "rows")


def _check_batch(file: Any, header: Header, part: Rows, starts: Rows, lengths: Rows, tally: _Tally) -> None:
    rows = expand(starts, lengths)
    first = np.cumsum(lengths + 1) - lengths - 1  # of each episode, in `rows`
    episode, step = np.repeat(part, lengths + 1), np.arange(len(rows)) - np.repeat(first, lengths + 1)
    length = np.repeat(lengths, lengths + 1)
    acts = step < length

    def place(index: int) -> str:
        return f"episode {episode[index]} step {step[index]} (row {rows[index]})"

    def read(name: str) -> NDArray[Any] | None:
        values, bad = readable(file["steps"][name], rows)
        tally.note("unreadable", f"/steps/{name}", "cannot be read", bad, place)
        return values

    for name in [*(f"observation/{key}" for key in header.stored_keys()), *["state"] * bool(header.state_dim)]:
        if name != "state" and is_picture(header.observation_space[name.removeprefix("observation/")]):
            _note_pictures(file["steps"][name], rows, f"/steps/{name}", tally, place)
            continue
        values = read(name)
        if values is not None:
            tally.note("nan", f"/steps/{name}", "is NaN or infinite", ~_finite(values), place)
    actions = read("action")
    if actions is not None:
        finite = _finite(actions)
        tally.note("nan", "/steps/action", "is NaN or infinite", acts & ~finite, place)
        tally.note("range", "/steps/action", "is outside the action space", acts & finite & _outside(header.action_space, actions), place)
    flags = {name: read(name) for name in STEP_COLUMNS}
    if any(values is None for values in flags.values()):
        return
    reward, terminated, truncated, valid = (np.asarray(flags[name]) for name in ("reward", "terminated", "truncated", "valid"))
    unknown = np.isnan(reward) & acts
    partly = np.isin(episode, part[_any(unknown, first) & _any(acts & ~unknown, first)])
    tally.note("nan", "/steps/reward", "is infinite", acts & np.isinf(reward), place)
    tally.note("nan", "/steps/reward", "is NaN in a part of the episode", unknown & partly, place)
    tally.note("counter", "/steps/valid", "does not agree with /episodes/length", valid != acts, place)
    ends = terminated | truncated
    tally.note("counter", "/steps/terminated and truncated", "end the episode before its length", acts & ends & (step < length - 1), place)
    tally.note("counter", "/steps/terminated and truncated", "neither ends the episode", (step == length - 1) & ~ends, place)


def check_goals(file: Any, header: Header, report: Report) -> None:
    """Note goals that are partly NaN (all NaN means unknown), infinite, or pictures that cannot be read."""
    tally, rows = _Tally(), np.arange(report.episodes)

    def place(index: int) -> str:
        return f"episode {index}"

    for name in ("params", "achieved"):
        values, bad = readable(file["goals"][name], rows)
        tally.note("unreadable", f"/goals/{name}", "cannot be read", bad, place)
        if values is not None:
            unknown = _flat(np.isnan(values)).all(axis=1)
            tally.note("nan", f"/goals/{name}", "is partly NaN, or infinite", ~unknown & ~_finite(values), place)
    if header.image_goal:
        _note_pictures(file["goals/image"], rows, "/goals/image", tally, place)
    tally.report(report, "episodes")


def readable(dataset: Any, rows: Rows) -> tuple[NDArray[Any] | None, NDArray[np.bool_]]:
    """Return (`rows` of `dataset`, none bad), or (None, (n,) which rows cannot be read)."""
    try:
        return read_rows(dataset, rows), np.zeros(len(rows), np.bool_)
    except DamagedFile:
        return None, np.array([not _is_readable(dataset, rows[index : index + 1]) for index in range(len(rows))])


def _is_readable(dataset: Any, rows: Rows) -> bool:
    try:
        read_rows(dataset, rows)
    except DamagedFile:
        return False
    return True


def _note_pictures(dataset: Any, rows: Rows, name: str, tally: _Tally, place: Callable[[int], str]) -> None:
    """Note pictures that cannot be read, without holding many at once."""
    parts = np.array_split(rows, -(-len(rows) // PICTURES_AT_ONCE)) if len(rows) else []
    bad = [np.zeros(len(part), np.bool_) if _is_readable(dataset, part) else readable(dataset, part)[1] for part in parts]
    tally.note("unreadable", name, "cannot be read", np.concatenate(bad) if bad else np.zeros(0, np.bool_), place)


def _any(values: NDArray[np.bool_], first: Rows) -> NDArray[np.bool_]:
    """Return for each episode, whose rows begin at `first`, whether any of `values` is true."""
    result: NDArray[np.bool_] = np.logical_or.reduceat(values, first)
    return result


def _finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (n,) whether all numbers of a row are finite."""
    if values.dtype.kind != "f":
        return np.ones(len(values), np.bool_)
    return np.asarray(_flat(np.isfinite(values)).all(axis=1))


def _outside(space: spaces.Space[Any], values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (n,) whether a row lies outside `space`."""
    if isinstance(space, spaces.Discrete):
        return np.asarray((values < space.start) | (values >= space.start + space.n))
    if isinstance(space, spaces.Box):
        beyond = (values < space.low - TOLERANCE) | (values > space.high + TOLERANCE)
        return np.asarray(_flat(beyond).any(axis=1))
    return np.asarray(_flat(values > 1).any(axis=1))


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """Return (n, m) the numbers of each of n rows, n = 0 included."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))
