"""Episodes from one dataset to another as they are stored, column by column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gcrl.data.check_values import batches
from gcrl.data.reader import Reader, read_rows
from gcrl.data.schema import EPISODE_COLUMNS
from gcrl.data.writer import Columns, Writer
from representations.api import Rows

AT_ONCE = 64 << 20  # bytes of raw rows held in memory


def stored_columns(reader: Reader, chosen: Rows) -> tuple[Columns, Columns, Columns]:
    """Return the columns of ``/steps``, ``/goals`` and ``/episodes`` of the episodes `chosen`, as `Writer.append_columns` takes them."""
    rows = reader.episode_rows(chosen)
    steps = {name: read_rows(reader.file["steps"][name], rows) for name in reader.header.step_columns()}
    names = ["params", "achieved", "row", *["image"] * reader.header.image_goal]
    goals = {name: read_rows(reader.file["goals"][name], chosen) for name in names}
    return steps, goals, {name: reader.column(name)[chosen] for name in [*EPISODE_COLUMNS, "provenance"]}


def copy_episodes(reader: Reader, writer: Writer, chosen: Rows) -> Iterator[int]:
    """Append the episodes `chosen` of `reader` to `writer`, whose spaces must be the same; yield how many came at a time."""
    for part in parts(reader, chosen):
        writer.append_columns(*stored_columns(reader, part))
        yield len(part)


def parts(reader: Reader, chosen: Rows) -> Iterator[Rows]:
    """Yield the episodes `chosen` in runs of about `AT_ONCE` bytes."""
    return batches(chosen, reader.lengths, max(1, AT_ONCE // row_bytes(reader)))


def row_bytes(reader: Reader) -> int:
    """Return the bytes of one frame, uncompressed: observation, action, flags and state."""
    items: list[Any] = [reader.file["steps"][name] for name in reader.header.step_columns()]
    return sum(item.dtype.itemsize * int(np.prod(item.shape[1:])) for item in items)
