"""Several datasets of one environment as one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from envs.errors import UserError
from gcrl.data.copying import copy_episodes
from gcrl.data.output import replacing
from gcrl.data.reader import Reader
from gcrl.data.schema import Header
from gcrl.data.writer import Writer

MUST_AGREE = ("env_id", "observation_space", "action_space", "goal_dim", "image_goal", "aliases", "state_dim")
ONE_EACH = ("env_arguments", "factors")  # a header holds one value, so that the others are lost
SAYS = (*ONE_EACH, "config", "git_revision", "sampler", "provenance")


def merge(files: Sequence[str | Path], out: str | Path, *, overwrite: bool = False, lossy: bool = False) -> Path:
    """Write the episodes of `files`, one file after another, to the new dataset `out` and return its path.

    Splits are joined by name; in a split that a file lacks, its episodes are not. Where the files differ in it, the header's ``config``
    lists what each said about itself, under ``merged``. Raises `UserError` for fewer than two files, files that do not fit together, and
    files of different environment arguments without `lossy` (the new header keeps those of the first).
    """
    paths, out = [Path(file) for file in files], Path(out)
    if len(paths) < 2:
        raise UserError(f"merge needs at least two datasets; got {len(paths)}")
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(path)) for path in paths]
        header = _merged_header(paths, readers, lossy)
        size = sum(path.stat().st_size for path in paths)
        new = stack.enter_context(replacing(out, overwrite, expected_bytes=size))
        with Writer(new, header) as writer:
            total = sum(len(reader) for reader in readers)
            with tqdm(total=total, desc="merge", unit=" episodes", disable=None, leave=False) as progress:
                for reader in readers:
                    for count in copy_episodes(reader, writer, np.arange(len(reader))):
                        progress.update(count)
            for split in dict.fromkeys(split for reader in readers for split in reader.file["mask"]):
                writer.set_mask(split, np.concatenate([_mask(reader, split) for reader in readers]))
    return out


def _mask(reader: Reader, split: str) -> NDArray[np.bool_]:
    return reader.mask(split) if split in reader.file["mask"] else np.zeros(len(reader), np.bool_)


def _merged_header(paths: list[Path], readers: list[Reader], lossy: bool) -> Header:
    first = readers[0].header
    for path, reader in zip(paths[1:], readers[1:]):
        for name in (*MUST_AGREE, *ONE_EACH):
            mine, theirs = getattr(first, name), getattr(reader.header, name)
            if mine == theirs:
                continue
            difference = f"{name} is {mine} in {paths[0]} and {theirs} in {path}"
            if name in MUST_AGREE:
                raise UserError(f"cannot merge: {difference}; expected the same")
            if not lossy:
                raise UserError(f"merging would lose data: {difference}, and a dataset keeps one; --lossy keeps the first")
    sources = [_source(path, reader) for path, reader in zip(paths, readers)]
    if all(source[name] == sources[0][name] for source in sources for name in SAYS):
        return first
    revision, sampler = (
        "+".join(dict.fromkeys(source[name] for source in sources if source[name])) for name in ("git_revision", "sampler")
    )
    return replace(first, config={"merged": sources}, git_revision=revision, sampler=sampler)


def _source(path: Path, reader: Reader) -> dict[str, Any]:
    header = reader.header
    return {"file": path.name, "episodes": len(reader), **{name: getattr(header, name) for name in SAYS}}
