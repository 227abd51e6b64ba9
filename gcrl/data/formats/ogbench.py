"""OGBench's npz (version 1.2): observations, actions and terminals of all episodes, one after another, T + 1 rows each."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.lib import format as npy
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.data.copying import parts
from gcrl.data.formats.api import Done
from gcrl.data.reader import Reader, read_rows
from representations.api import Rows


class Exporter:
    """Writes a file for ``ogbench.utils.load_dataset``, which wants one observation, and pictures with ``ob_dtype=np.uint8``.

    OGBench keeps training and validation in two files, ``NAME.npz`` and ``NAME-val.npz``: export each with ``split=``. ``terminals`` is 1
    in an episode's last row.
    """

    suffix = ".npz"
    marker = ""
    growth = 1.5
    default_keys = "image,observation"

    def losses(self, reader: Reader, chosen: Rows, keys: Sequence[str]) -> list[str]:
        """Return what OGBench has no place for: most of what is not an observation or an action."""
        if len(keys) != 1 or keys[0] not in reader.file["steps/observation"]:
            stored = ", ".join(reader.file["steps/observation"])
            raise UserError(f"OGBench keeps one observation; got keys={','.join(keys)}, expected one of: {stored}")
        others = [key for key in reader.header.stored_keys() if key != keys[0] and reader.header.aliases.get(keys[0]) != key]
        lost = [f"the observations {', '.join(others)}"] if others else []
        rows = reader.episode_rows(chosen)
        if np.isfinite(reader.read("reward", rows)[reader.read("valid", rows)]).any():
            lost.append("rewards")
        if reader.read("terminated", rows).any():
            lost.append("whether goal or time ended an episode")
        lost.append("goals, seeds, epochs and provenance")
        return lost

    def write(self, reader: Reader, chosen: Rows, keys: Sequence[str], out: Path, name: Path, done: Done) -> None:
        """Write the compressed npz file `out`, array by array, a few thousand rows at a time."""
        discrete = isinstance(reader.header.action_space, spaces.Discrete)
        frames = reader.file["steps/observation"][keys[0]]
        actions = reader.file["steps/action"]
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            _store(archive, "observations", reader, chosen, frames, frames.dtype, done)
            _store(archive, "actions", reader, chosen, actions, np.dtype(np.int32 if discrete else np.float32))
            _store(archive, "terminals", reader, chosen, None, np.dtype(np.float32))


def _store(
    archive: zipfile.ZipFile, name: str, reader: Reader, chosen: Rows, dataset: Any, dtype: np.dtype[Any], done: Done | None = None
) -> None:
    """Write one array of the npz: `dataset` at the rows of the episodes `chosen`, or without one their terminals."""
    rows = int((reader.lengths[chosen] + 1).sum())
    shape = (rows, *(() if dataset is None else dataset.shape[1:]))
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        npy.write_array_header_1_0(file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        for part, values in _blocks(reader, chosen, dataset):
            file.write(np.ascontiguousarray(values, dtype=dtype).tobytes())
            if done is not None:
                done(len(part))


def _blocks(reader: Reader, chosen: Rows, dataset: Any) -> Iterator[tuple[Rows, NDArray[Any]]]:
    for part in parts(reader, chosen):
        if dataset is None:
            terminals = np.zeros(int((reader.lengths[part] + 1).sum()))
            terminals[np.cumsum(reader.lengths[part] + 1) - 1] = 1
            yield part, terminals
        else:
            yield part, read_rows(dataset, reader.episode_rows(part))
