"""PyBullet, imported without the build time that its C code prints: an error of one line stays one line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["bullet"]


@contextlib.contextmanager
def _descriptors_silenced() -> Iterator[None]:
    """Send what C code prints (file descriptors 1 and 2) nowhere."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(nowhere, number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


with _descriptors_silenced():
    import pybullet as bullet
