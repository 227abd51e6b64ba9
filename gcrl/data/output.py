"""Outputs of the data commands: never over something that exists unless told, complete or not there at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from envs.errors import UserError


def require_new(out: Path, overwrite: bool) -> None:
    """Raise `UserError` where `out` exists and may not be replaced, or where its folder does not exist."""
    if not out.parent.is_dir():
        raise UserError(f"{out.parent} is not a folder; expected an existing one for {out.name}")
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"{out.parent} is not writable; expected a folder that takes {out.name}")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already; give another out=, or overwrite=true to replace it")


@contextmanager
def replacing(out: Path, overwrite: bool, *, expected_bytes: int = 0, marker: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `out` to write to; put what is there in place at the end, or drop it after an error.

    It is the path of a new file, or with `marker` of a new folder: then `out` may only replace a folder in which the file `marker` exists.
    `expected_bytes`: about how much will be written. Raises `UserError` as `require_new` does, where something of another kind is in the
    way, where the disk has less free, and where writing (or reading what is written) fails.
    """
    require_new(out, overwrite)
    if out.exists() and (not (out / marker).is_file() if marker else out.is_dir()):
        kind = f"a folder with {marker}" if marker else "a file"
        raise UserError(f"{out} is something else than what it would be replaced by; expected {kind}, or a path that does not exist")
    free = shutil.disk_usage(out.parent).free
    if free < expected_bytes:
        raise UserError(
            f"disk full: {free >> 20} MiB are free for {out}; expected {(expected_bytes >> 20) + 1} MiB, about what it will take"
        )
    temporary = out.with_name(f".{out.name}.part")
    _remove(temporary)
    try:
        if marker:
            temporary.mkdir()
        yield temporary
        _put(temporary, out)
    except (OSError, RuntimeError) as error:  # h5py reports a failed write as either
        raise UserError(f"{out} was not written: {error}") from error
    finally:
        _remove(temporary)


def _put(temporary: Path, out: Path) -> None:
    for path in [temporary, *temporary.rglob("*")]:
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if temporary.is_dir() and out.exists():  # a folder cannot be replaced in one step
        old = out.with_name(f".{out.name}.old")
        _remove(old)
        os.replace(out, old)
        os.replace(temporary, out)
        _remove(old)
    else:
        os.replace(temporary, out)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
