"""Looks through a dataset for what its reader would trip over or, worse, would not notice."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcrl.data.check_values import check_goals, check_steps
from gcrl.data.findings import Report
from gcrl.data.leaks import check_splits
from gcrl.data.reader import DamagedFile, open_file
from gcrl.data.schema import EPISODE_COLUMNS, PROVENANCES, STEP_COLUMNS, Header, stored_dtype
from representations.api import Rows


def check(path: str | Path) -> Report:
    """Return everything found wrong in the dataset at `path`.

    Looks for: truncation, missing parts, wrong shapes and types, episodes that overlap or lie outside the stored rows, counters and
    flags that disagree, NaN and infinities, actions outside their space, pictures that cannot be decompressed, splits that leak.
    Raises `UserError` where `path` is missing, no dataset of gcrl's, of a newer format, or being written.
    """
    report = Report(str(path))
    try:
        file, header = open_file(Path(path), mode="r")
    except DamagedFile as error:
        report.add("damaged", "/", str(error))
        return report
    with closing(file):
        try:
            _check(file, header, report)
        except (OSError, RuntimeError) as error:  # h5py's ways of saying that a part cannot be read
            report.add("unreadable", "/", f"the file cannot be read any further: {error}")
    return report


def _check(file: Any, header: Header, report: Report) -> None:
    report.episodes = len(file["episodes/start"])
    if not _layout(file, header, report):
        return
    starts, lengths = file["episodes/start"][:], file["episodes/length"][: report.episodes]
    report.frames = int(np.maximum(lengths, 0).sum()) + report.episodes
    sound = _extents(file, header, starts, lengths, report)
    _overlaps(starts, lengths, report)
    codes = file["episodes/provenance"][: report.episodes]
    unknown = np.flatnonzero(~np.isin(codes, list(PROVENANCES.values())))
    if len(unknown):
        report.add("counter", f"/episodes/provenance, episode {unknown[0]}", f"{codes[unknown[0]]} means nothing", len(unknown))
    check_steps(file, header, sound, starts, lengths, report)
    check_goals(file, header, report)
    check_splits(file, header, sound, starts, lengths, report)


def _layout(file: Any, header: Header, report: Report) -> bool:
    """Note datasets of a wrong shape, type or length; return whether the rest can be looked at."""
    before = len(report.findings)
    expected: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    for key in header.stored_keys():
        space = header.observation_space[key]
        expected[f"steps/observation/{key}"] = (space.shape or (), stored_dtype(space))
    expected["steps/action"] = (header.action_space.shape or (), stored_dtype(header.action_space))
    expected |= {f"steps/{name}": ((), np.dtype(kind)) for name, kind in STEP_COLUMNS.items()}
    if header.state_dim:
        expected["steps/state"] = ((header.state_dim,), np.dtype(np.float64))
    expected |= {f"episodes/{name}": ((), np.dtype(kind)) for name, kind in EPISODE_COLUMNS.items()}
    expected |= {"episodes/start": ((), np.dtype(np.int64)), "episodes/provenance": ((), np.dtype(np.int8))}
    if "achieved_goal" not in header.observation_space.spaces:
        report.add("damaged", "attribute observation_space", "has no achieved_goal")
        return False
    achieved = header.observation_space["achieved_goal"].shape or ()
    expected |= {"goals/params": ((header.goal_dim,), np.dtype(np.float32)), "goals/achieved": (achieved, np.dtype(np.float32))}
    expected["goals/row"] = ((), np.dtype(np.int64))
    if header.image_goal:
        expected["goals/image"] = (header.observation_space["image"].shape or (), np.dtype(np.uint8))
    for name, (shape, dtype) in expected.items():
        item = file[name]
        if not isinstance(item, h5py.Dataset) or item.ndim == 0:
            report.add("shape", f"/{name}", "is no table of rows")
        elif item.shape[1:] != shape or item.dtype != dtype:
            rows = f"rows of shape {shape} {dtype}"
            report.add("shape", f"/{name}", f"holds rows of shape {item.shape[1:]} {item.dtype}; expected {rows} by the header")
        elif not name.startswith("steps/") and len(item) < report.episodes:
            report.add("counter", f"/{name}", f"has {len(item)} entries; expected {report.episodes}, as /episodes/start counts")
    for alias, key in header.aliases.items():
        target = f"steps/observation/{key}"
        if target not in file or file[f"steps/observation/{alias}"] != file[target]:
            report.add("damaged", f"/steps/observation/{alias}", f"is declared an alias of '{key}', but is no link to it")
    return len(report.findings) == before


def _extents(file: Any, header: Header, starts: Rows, lengths: Rows, report: Report) -> Rows:
    """Note episodes outside the stored rows; return the numbers of those whose rows all exist."""
    bad = np.flatnonzero((lengths < 1) | (starts < 0))
    if len(bad):
        first = bad[0]
        what = f"starts at row {starts[first]} and takes {lengths[first]} steps; expected a row from 0 on and at least one step"
        report.add("counter", f"/episodes, episode {first}", what, len(bad))
    ends = starts + lengths + 1
    sound = (lengths >= 1) & (starts >= 0)
    for name in header.step_columns():
        rows = len(file["steps"][name])
        short = np.flatnonzero(ends > rows)
        if len(short):
            what = f"holds {rows} rows; episode {short[0]} needs {ends[short[0]]}"
            report.add("truncated", f"/steps/{name}", what + (f", {len(short)} episodes are cut" if len(short) > 1 else ""), len(short))
            sound[short] = False
    return np.flatnonzero(sound)


def _overlaps(starts: Rows, lengths: Rows, report: Report) -> None:
    """Note pairs of episodes that share rows: each with the one before it that reaches furthest."""
    order = np.argsort(starts, kind="stable")
    begins, ends = starts[order], (starts + np.maximum(lengths, 0) + 1)[order]
    furthest = np.maximum.accumulate(ends)
    clashes = np.flatnonzero(begins[1:] < furthest[:-1]) + 1
    if len(clashes):
        at = clashes[0]
        other = order[int(np.argmax(ends[:at]))]
        pair = sorted((int(other), int(order[at])))
        rows = f"{begins[at]} to {min(ends[at], furthest[at - 1]) - 1}"
        what = f"share rows {rows}" + (f"; so do {len(clashes) - 1} more" if len(clashes) > 1 else "")
        report.add("overlap", f"/episodes, episodes {pair[0]} and {pair[1]}", what, len(clashes))
