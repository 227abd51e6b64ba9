"""Unfinished work on a goal file: a folder of blocks beside it, each written at once, so that a kill loses only those in flight."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from envs.errors import UserError
from gcrl.checkpoint import write_atomically
from gcrl.goals.file import Columns

NOTE = "config.json"


def require_parts(folder: Path) -> None:
    """Raise `UserError` where something is at `folder` that is no unfinished work: it would be removed at the end."""
    if not folder.exists() or (folder / NOTE).is_file():
        return
    # A kill at the very beginning leaves the folder with no more than half a note.
    if not folder.is_dir() or any(not item.name.startswith(NOTE) for item in folder.iterdir()):
        raise UserError(f"{folder} exists and is no unfinished work of gcrl goals; expected it moved away, or another out=")


class Parts:
    """The blocks in `folder` of the work that `config` (plain JSON) describes; begins the folder where there is none.

    Raises `UserError` where the folder holds other work.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        note = folder / NOTE
        if not note.exists():
            write_atomically(note, json.dumps(config))
        require_same(folder, json.loads(note.read_text(encoding="utf-8")), config)

    def __len__(self) -> int:
        """Return the number of blocks without a gap from the first."""
        count = 0
        while self._path(count).exists():
            count += 1
        return count

    def save(self, index: int, block: Columns) -> None:
        """Store block `index`; when it returns, it survives the death of the process."""
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **block)
        partial = self.folder / "block.tmp"
        with open(partial, "wb") as file:
            file.write(packed.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self._path(index))

    def __iter__(self) -> Iterator[Columns]:
        """Yield the blocks in order."""
        for index in range(len(self)):
            try:
                with np.load(self._path(index), allow_pickle=False) as arrays:
                    yield {name: arrays[name] for name in arrays.files}
            except (OSError, ValueError, EOFError, BadZipFile) as error:
                raise UserError(f"{self._path(index)} is damaged ({error}); remove it and go on with resume=true") from error

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npz"


def require_same(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise `UserError` naming the first setting in which unfinished or finished work differs from what was asked for.

    The number of tries may differ: a goal that was found is the same whatever their limit.
    """
    for name, mine in json.loads(json.dumps(expected)).items():
        if name != "tries" and found.get(name) != mine:
            raise UserError(f"{path} was made with {name}={found.get(name)}; expected that to resume it, not {name}={mine}")
