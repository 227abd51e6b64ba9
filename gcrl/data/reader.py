"""Reads datasets: whole episodes, or single rows at random."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError, did_you_mean, unknown
from gcrl.data.schema import EPISODE_COLUMNS, FORMAT, PROVENANCES, VERSION, Header
from gcrl.episodes import Episodes
from gcrl.ring import expand
from representations.api import Rows


class DamagedFile(UserError):
    """A dataset of this format that is truncated or contradicts itself (not: a missing, foreign or newer file)."""


class Reader:
    """Random access to the dataset at `path`, also while another process appends to it (it shows what was there at opening).

    Trusts ``/episodes/start`` alone: rows beyond its last episode are invisible. Raises `UserError` for a file that is missing,
    truncated, foreign, damaged or of a newer format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file, self.header = open_file(self.path, mode="r")
        n = len(self.file["episodes/start"])
        self.starts: Rows = self.file["episodes/start"][:n]
        self.lengths: Rows = self.file["episodes/length"][:n]
        _check_extent(self.path, self.file, self.header, self.starts, self.lengths)

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.starts)

    @property
    def rows(self) -> int:
        """Number of stored frames."""
        return int(self.lengths.sum()) + len(self)

    def episode_rows(self, indices: Any) -> Rows:
        """Return all rows of the episodes `indices` (integers, mask or slice), in order."""
        return expand(self.starts[indices], self.lengths[indices])

    def read(self, key: str, rows: Rows) -> NDArray[Any]:
        """Return `key` (an observation key, action, reward, terminated, truncated or valid) at `rows` in any order: (n, ...)."""
        observations = self.file["steps/observation"]
        if key not in observations and (key == "observation" or key not in self.file["steps"]):
            raise unknown("dataset key", key, [*observations, *(name for name in self.file["steps"] if name != "observation")])
        return read_rows(observations[key] if key in observations else self.file["steps"][key], np.asarray(rows, dtype=np.int64))

    def goal(self, name: str, episodes: Rows) -> NDArray[Any]:
        """Return ``/goals/<name>`` ("params", "achieved", "row" or "image") of `episodes`: (n, ...)."""
        if name not in self.file["goals"]:
            raise unknown("goal column", name, self.file["goals"])
        return read_rows(self.file["goals"][name], np.asarray(episodes, dtype=np.int64))

    def states(self, rows: Rows) -> NDArray[np.float64]:
        """Return the goal states (n, m) of the environment at `rows`; raises `UserError` where the dataset was made without."""
        if not self.header.state_dim:
            raise UserError(f"{self.path} has no states; expected a dataset made with gcrl collect ... states=true")
        states: NDArray[np.float64] = read_rows(self.file["steps/state"], np.asarray(rows, dtype=np.int64))
        return states

    def column(self, name: str) -> NDArray[Any]:
        """Return the per-episode column `name`: (episodes,)."""
        values: NDArray[Any] = self.file["episodes"][name][: len(self)]
        return values

    def mask(self, split: str) -> NDArray[np.bool_]:
        """Return (episodes,) which episodes belong to `split`; raises `UserError` for an unknown one.

        Episodes that were appended after the split was made belong to none.
        """
        if split not in self.file["mask"]:
            raise unknown("split", split, self.file["mask"])
        stored = self.file["mask"][split][: len(self)]
        return np.concatenate([stored, np.zeros(len(self) - len(stored), np.bool_)]).astype(np.bool_)

    def episodes(self, indices: Any) -> Episodes:
        """Return the episodes `indices` (integers, mask or slice) padded to the longest of them; all must share epoch and provenance.

        Where they do not, `epoch` and `provenance` are those of the first.
        """
        chosen = np.arange(len(self))[indices]
        lengths = self.lengths[chosen]
        horizon = int(lengths.max(initial=0))
        within = np.minimum(np.arange(horizon + 1), lengths[:, None])  # past the end the last frame is repeated
        rows = self.starts[chosen][:, None] + within
        real = np.arange(horizon) < lengths[:, None]
        flat, place = np.unique(rows, return_inverse=True)
        place = place.reshape(rows.shape)

        def steps(key: str) -> NDArray[Any]:
            return self.read(key, flat)[place]

        def masked(key: str) -> NDArray[Any]:
            values = steps(key)[:, :horizon]
            values[~real] = 0
            return values

        provenance = {code: name for name, code in PROVENANCES.items()}
        first = chosen[:1]
        return Episodes(
            observations={key: steps(key) for key in self.file["steps/observation"]},
            actions=masked("action"),
            terminated=masked("terminated"),
            lengths=lengths,
            seeds=self.column("seed")[chosen],
            goals=read_rows(self.file["goals/params"], chosen),
            goal_rows=read_rows(self.file["goals/row"], chosen),
            goal_images=read_rows(self.file["goals/image"], chosen) if self.header.image_goal else None,
            goal_achieved=read_rows(self.file["goals/achieved"], chosen),
            rewards=masked("reward"),
            states=self.states(flat)[place] if self.header.state_dim else None,
            epoch=int(self.column("epoch")[first][0]) if len(first) else 0,
            provenance=provenance[int(self.column("provenance")[first][0])] if len(first) else self.header.provenance,
        )

    def __iter__(self) -> Iterator[Episodes]:
        """Yield the episodes one by one."""
        return (self.episodes([index]) for index in range(len(self)))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_file(path: Path, mode: str) -> tuple[Any, Header]:
    """Open a dataset of this format and read its header; raises `UserError` where `path` is none."""
    if path.is_dir():
        inside = sorted(str(item) for item in path.glob("*.h5"))
        raise UserError(f"{path} is a folder{f' (did you mean {inside[0]!r}?)' if inside else ''}; expected a dataset written by gcrl")
    if not path.is_file():
        siblings = [item.name for item in path.parent.glob("*.h5")] if path.parent.is_dir() else []
        raise UserError(f"{path} does not exist{did_you_mean(path.name, siblings)}; expected a dataset written by gcrl")
    try:
        file = _open(path, mode)
    except OSError as error:
        if not h5py.is_hdf5(path):
            raise UserError(f"{path} is not an HDF5 file; expected a dataset written by gcrl") from error
        if _is_locked(error):
            raise UserError(f"{path} is being written by another process; expected a dataset that nobody else writes to") from error
        raise DamagedFile(f"{path} is truncated or damaged; expected a complete dataset ({error})") from error
    try:
        return file, _header(path, file)
    except UserError:
        file.close()
        raise


def _open(path: Path, mode: str) -> Any:
    if mode == "r+":
        return h5py.File(path, mode, libver=("v110", "v110"))
    try:
        return h5py.File(path, mode)
    except OSError as error:
        if not _is_locked(error):
            raise
        # Practice holds the file, but whatever it has written so far may be read at any time.
        return h5py.File(path, mode, locking=False)


def _is_locked(error: OSError) -> bool:
    return "unable to lock file" in str(error)


def require_format(path: Path, attributes: Mapping[str, Any], name: str, newest: int) -> None:
    """Raise `UserError` unless a file's root `attributes` say that it is of format `name`, version 1 to `newest`."""
    if attributes.get("format") != name:
        raise UserError(f"{path} is an HDF5 file of another kind (format {attributes.get('format')!r}); expected format '{name}'")
    version = int(attributes.get("format_version", 0))
    if not 1 <= version <= newest:
        raise UserError(f"{path} has format version {version}; expected at most {newest}: read it with a newer gcrl")


def _header(path: Path, file: Any) -> Header:
    attributes = dict(file.attrs)
    require_format(path, attributes, FORMAT, VERSION)
    try:
        header = Header.from_attributes(attributes)
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFile(
            f"{path} has a damaged header ({type(error).__name__}: {error}); expected the attributes of docs/datasets.md"
        ) from error
    expected = [f"steps/{name}" for name in [*header.step_columns(), *(f"observation/{key}" for key in header.aliases)]]
    expected += ["mask", "goals/params", "goals/achieved", "goals/row"]
    expected += [f"episodes/{name}" for name in ["start", "provenance", *EPISODE_COLUMNS]] + ["goals/image"] * header.image_goal
    for name in expected:
        if name not in file:
            raise DamagedFile(f"{path} lacks /{name}; expected all groups of docs/datasets.md")
    return header


def _check_extent(path: Path, file: Any, header: Header, starts: Rows, lengths: Rows) -> None:
    """Raise `UserError` unless every episode lies within the rows that the file holds."""
    end = int((starts + lengths).max(initial=-1)) + 1
    sizes = [len(file["steps"][name]) for name in header.step_columns()]
    if len(lengths) < len(starts) or min(sizes) < end or lengths.min(initial=1) < 1 or starts.min(initial=0) < 0:
        raise DamagedFile(f"{path} is damaged: its episodes need {end} rows, it holds {min(sizes)}; expected a complete dataset")


def read_rows(dataset: Any, rows: Rows) -> NDArray[Any]:
    """Return `rows` of `dataset` in the order given; pictures chunk by chunk, which is faster than h5py's lists.

    Raises `DamagedFile` for rows that cannot be read.
    """
    try:
        return _pictures(dataset, rows) if (dataset.chunks or (0,))[0] == 1 and dataset.compression == "gzip" else _vectors(dataset, rows)
    except (OSError, RuntimeError, ValueError, zlib.error) as error:
        where = f"rows {rows.min()} to {rows.max()} of {dataset.name}" if len(rows) else dataset.name
        raise DamagedFile(f"{dataset.file.filename} is damaged: {where} cannot be read ({error})") from error


def _pictures(dataset: Any, rows: Rows) -> NDArray[Any]:
    shape, dtype, read = dataset.shape[1:], dataset.dtype, dataset.id.read_direct_chunk  # each looked up in the file
    out = np.empty((len(rows), *shape), dtype=dtype)
    rest, size = (0,) * len(shape), out[:1].nbytes
    for index, row in enumerate(rows.tolist()):
        out[index] = np.frombuffer(zlib.decompress(read((row, *rest))[1], bufsize=size), dtype=dtype).reshape(shape)
    return out


def _vectors(dataset: Any, rows: Rows) -> NDArray[Any]:
    if not len(rows):
        return np.zeros((0, *dataset.shape[1:]), dtype=dataset.dtype)
    low, high = int(rows.min()), int(rows.max()) + 1
    if high - low <= 4 * len(rows):
        span: NDArray[Any] = dataset[low:high][rows - low]
        return span
    unique, place = np.unique(rows, return_inverse=True)
    return np.asarray(dataset[unique][place])
