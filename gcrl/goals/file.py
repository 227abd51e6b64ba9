"""The file of goals, version 1 (docs/goals.md, field by field): written whole under a temporary name, read with checks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from envs.api import GoalSet
from envs.errors import UserError, did_you_mean, unknown
from gcrl.data.reader import require_format

FORMAT = "gcrl-goals"
VERSION = 1
PROVENANCES = ("expert", "sampled", "frames", "photos")
SPLITS = ("train", "valid", "test")
_JSON = ("env_arguments", "observation_space", "action_space", "coverage", "config", "where")
_NAMES = ("factors", "cameras", "skills")

Columns = dict[str, NDArray[Any]]


@dataclass
class GoalHeader:
    """What a goal file says about itself in its root attributes.

    provenance: "expert" (a rollout of the task's expert reached every goal from its start), "sampled" (drawn from the task, not
    rolled out), "frames" (of a dataset) or "photos". cameras: names, the first is that of ``/goals/image``. image_size: pixels of a side,
    0 without pictures.
    success_metric, success_threshold: success is ``metric < threshold``, NaN where the task's test is no such thing;
    success_predicate says it in words. skills: names of those that the task has, whether or
    not a goal needs them. where: {factor: [low, high]}, what all goals have in common, as a set of examples of one task; {} for goals that
    are tasks of their own. observation_space, action_space: as in datasets. coverage: figures. config: what was asked for.
    """

    env_id: str
    env_arguments: dict[str, Any]
    provenance: str
    factors: list[str]
    cameras: list[str] = field(default_factory=list)
    image_size: int = 0
    success_metric: str = ""
    success_threshold: float = float("nan")
    success_predicate: str = ""
    observation_space: dict[str, Any] = field(default_factory=dict)
    action_space: dict[str, Any] = field(default_factory=dict)
    skills: list[str] = field(default_factory=list)
    coverage: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    git_revision: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    where: dict[str, tuple[float, float]] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """Return the root attributes: strings, numbers, lists of strings and JSON."""
        values: dict[str, Any] = {"format": FORMAT, "format_version": VERSION}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name in _JSON:
                value = json.dumps(value)
            values[name] = np.array(value, dtype=h5py.string_dtype()) if name in _NAMES else value
        return values

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> GoalHeader:
        """Read back `attributes`; raises KeyError or ValueError where they are not a header's."""
        since = {"skills": [], "where": "{}"}  # what files of before it was there lack
        values = {name: attributes[name] if name not in since else attributes.get(name, since[name]) for name in cls.__dataclass_fields__}
        for name in _JSON:
            values[name] = json.loads(values[name])
        for name in _NAMES:
            values[name] = [text.decode() if isinstance(text, bytes) else str(text) for text in values[name]]
        values["image_size"], values["seed"] = int(values["image_size"]), int(values["seed"])
        values["success_threshold"] = float(values["success_threshold"])
        return cls(**values)


def write_goals(path: Path, header: GoalHeader, blocks: Iterable[Columns], masks: Mapping[str, NDArray[np.bool_]]) -> None:
    """Write a goal file at once: it is complete or not there.

    Args:
        blocks: consecutive goals as {dataset: (b, ...)}, all with the datasets of the first.
        masks: {split: (n,) bool}; n is the number of goals in all blocks.
    """
    temporary = path.with_name(path.name + ".new")
    n = len(next(iter(masks.values())))
    with h5py.File(temporary, "w", libver=("v108", "v108")) as file:
        end = 0
        for block in blocks:
            start, end = end, end + len(next(iter(block.values())))
            for name, values in block.items():
                dataset = file[name] if name in file else _create(file, name, n, values)
                dataset[start:end] = values.astype(object) if values.dtype.kind == "U" else values
        assert end == n, f"{end} goals for masks of {n}"
        for group in ("goals", "starts"):
            if header.cameras and f"{group}/images/{header.cameras[0]}" in file:
                file[f"{group}/image"] = h5py.SoftLink(f"/{group}/images/{header.cameras[0]}")
        for split, chosen in masks.items():
            file[f"mask/{split}"] = chosen
        file.attrs.update(header.attributes())
        file.flush()
        os.fsync(int(file.id.get_vfd_handle()))
    os.replace(temporary, path)


def _create(file: Any, name: str, n: int, values: NDArray[Any]) -> Any:
    if values.dtype.kind == "U":
        return file.create_dataset(name, (n,), dtype=h5py.string_dtype())
    if values.ndim == 4:  # pictures lie one by one, so that a random one costs one small read
        packing = {"chunks": (1, *values.shape[1:]), "compression": "gzip", "compression_opts": 1}
        return file.create_dataset(name, (n, *values.shape[1:]), dtype=values.dtype, **packing)
    return file.create_dataset(name, (n, *values.shape[1:]), dtype=values.dtype)


class GoalFile:
    """The goals at `path`. Raises `UserError` for a file that is missing, truncated, foreign, damaged or of a newer format."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file, self.header = _open(self.path)

    def __len__(self) -> int:
        return len(self.file["goals/achieved"])

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """Return the numbers of the goals of `split` (all where it is None); raises `UserError` for an unknown or empty one."""
        if split is None:
            return np.arange(len(self))
        if split not in self.file["mask"]:
            raise unknown("split", split, self.file["mask"])
        rows = np.flatnonzero(self.file["mask"][split][()])
        if not len(rows):
            raise UserError(f"{self.path} has no goal in its split '{split}'; expected one of those that have")
        return rows

    def read(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return ``/goals/<name>`` or ``/starts/<name>`` (named in full: ``starts/achieved``) at `rows`, in any order."""
        full = name if name.partition("/")[0] in ("goals", "starts", "mask") else f"goals/{name}"
        if full not in self.file:
            names: list[str] = []
            self.file.visititems(lambda found, item: names.append(found) if isinstance(item, h5py.Dataset) else None)
            raise unknown(f"dataset of {self.path}", full, names)
        unique, place = np.unique(rows, return_inverse=True)
        dataset = self.file[full]
        values = dataset.asstr()[unique] if h5py.check_string_dtype(dataset.dtype) else dataset[unique]
        return np.asarray(values)[place]

    def goals(self, split: str | None = None, camera: str | None = None) -> GoalSet:
        """Return the goals of `split` with their pictures from `camera` (the first by default).

        Raises `UserError` for an unknown split or camera. Achieved goals of photos are NaN, and so are their states.
        """
        rows = self.rows(split)
        achieved = self.read("achieved", rows)
        states = self.read("state", rows) if "goals/state" in self.file else np.full_like(achieved, np.nan)
        if camera is not None and camera not in self.header.cameras:
            raise unknown(f"camera of {self.path}", camera, self.header.cameras)
        images = self.read(f"images/{camera or self.header.cameras[0]}", rows) if self.header.cameras else None
        starts = self.read("start", rows) if "goals/start" in self.file else None
        return GoalSet(states, achieved, images, starts)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> GoalFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _open(path: Path) -> tuple[Any, GoalHeader]:
    if not path.is_file():
        siblings = [item.name for item in path.parent.glob("*.h5")] if path.parent.is_dir() else []
        raise UserError(f"{path} does not exist{did_you_mean(path.name, siblings)}; expected a file of `gcrl goals`")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        kind = "is truncated or damaged" if h5py.is_hdf5(path) else "is not an HDF5 file"
        raise UserError(f"{path} {kind}; expected a file of `gcrl goals`") from error
    try:
        return file, _checked(path, file)
    except UserError:
        file.close()
        raise


def _checked(path: Path, file: Any) -> GoalHeader:
    attributes = dict(file.attrs)
    require_format(path, attributes, FORMAT, VERSION)
    try:
        header = GoalHeader.from_attributes(attributes)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} has a damaged header ({type(error).__name__}: {error}); expected the attributes of docs/goals.md"
        ) from error
    needed = ["goals/achieved", "mask", *(f"goals/images/{camera}" for camera in header.cameras)]
    for name in needed:
        if name not in file:
            raise UserError(f"{path} lacks /{name}; expected all groups of docs/goals.md")
    n = len(file["goals/achieved"])
    for name in (*needed[2:], *(f"mask/{split}" for split in file["mask"])):
        if len(file[name]) != n:
            raise UserError(f"{path} is damaged: /{name} has {len(file[name])} rows for {n} goals; expected as many")
    return header
