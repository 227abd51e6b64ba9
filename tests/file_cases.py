"""Comparing HDF5 files that must not depend on how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py


def contents(path: Path) -> dict[str, Any]:
    """Return every dataset and root attribute of a file, read with nothing but h5py."""
    columns: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: columns.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return columns | {f"@{name}": value for name, value in file.attrs.items()}


def differing(one: Path, other: Path) -> list[str]:
    """Return the names under which two files differ."""
    a, b = contents(one), contents(other)
    return [name for name in {**a, **b} if name not in a or name not in b or not _same(a[name], b[name])]


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "dtype") and one.dtype.kind != "O":
        return bool(one.dtype == other.dtype and one.tobytes() == other.tobytes())
    return bool(one.tolist() == other.tolist()) if hasattr(one, "tolist") else bool(one == other)
