"""Reads Minari's HDF5 datasets with h5py alone, so that importing one needs no Minari."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.data.formats.api import Done
from gcrl.data.formats.minari.folder import data_folder
from gcrl.data.formats.minari.header import header_of
from gcrl.data.formats.minari.spaces import from_minari
from gcrl.data.schema import PROVENANCES, Header, is_picture, stored_dtype
from gcrl.data.writer import Columns, Writer

KNOWN = ("id", "total_steps", "seed")  # episode attributes that have a place in our format, beside gcrl/... and split/...
AT_ONCE = 64 << 20  # bytes of frames per append


class Importer:
    """Imports a Minari dataset.

    The goal is ``desired_goal`` at an episode's first step, NaN where there is none; a dataset without ``achieved_goal`` gets its
    ``observation`` as such. An episode that neither terminates nor is truncated counts as truncated. What our exporter wrote comes back
    as it was.
    """

    def open(self, path: Path) -> MinariImport:
        """Open the dataset's folder, or the id of one in Minari's own folder."""
        folder = data_folder(path)
        try:
            metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
            kind = metadata["data_format"]
            observation_space, action_space = (json.loads(metadata[f"{name}_space"]) for name in ("observation", "action"))
            described = from_minari(observation_space), from_minari(action_space)
            episodes = int(metadata["total_episodes"])
        except UserError:
            raise
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise UserError(f"{folder}/metadata.json is damaged or of another version ({type(error).__name__}: {error})") from error
        if kind != "hdf5":
            raise UserError(f"{path} stores its data as {kind}; expected hdf5")
        try:
            file = h5py.File(folder / "main_data.hdf5", "r")
        except OSError as error:
            raise UserError(f"{folder}/main_data.hdf5 is missing, truncated or damaged ({error})") from error
        missing = next((index for index in range(episodes) if f"episode_{index}" not in file), None)
        if missing is not None:
            raise UserError(f"{folder}/main_data.hdf5 lacks episode_{missing}; metadata.json counts {episodes} episodes")
        observation, action = described
        # An observation that is a single array is our key "observation".
        single = not isinstance(observation, spaces.Dict)
        space = observation if isinstance(observation, spaces.Dict) else spaces.Dict({"observation": observation})
        return MinariImport(path, file, metadata, header_of(path, metadata, space, action), space, single)


@dataclass
class MinariImport:
    """An open Minari dataset. space: its observations; single: they are one array, not a mapping."""

    path: Path
    file: Any
    metadata: dict[str, Any]
    header: Header
    space: spaces.Dict
    single: bool

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return int(self.metadata["total_episodes"])

    @property
    def expected_bytes(self) -> int:
        """Bytes that our file will about take."""
        return 2 * int(self.file.id.get_filesize())

    def losses(self) -> list[str]:
        """Return what our format has no place for, after a look at every number and none of the pictures."""
        lost: dict[str, None] = {}
        for group in self._groups():
            lost |= dict.fromkeys(["infos"] * bool(len(group.get("infos", ()))))
            others = [key for key in group.attrs if key not in KNOWN and not key.startswith(("gcrl/", "split/"))]
            lost |= dict.fromkeys(f"episode attribute {key}" for key in others)
            vectors = {key: self._observation(group, key) for key in self.space if not is_picture(self.space[key])}
            numbers = vectors | {"actions": group["actions"], "rewards": group["rewards"]}
            for name, values in numbers.items():
                if values.dtype == np.float64 and not np.array_equal(values[()].astype(np.float32), values[()], equal_nan=True):
                    lost[f"the last digits of {name} (float64, stored as float32)"] = None
            goals = vectors["desired_goal"][()] if "desired_goal" in vectors else np.zeros((1, 1))
            if not np.array_equal(goals, np.broadcast_to(goals[:1], goals.shape), equal_nan=goals.dtype.kind == "f"):
                lost["goals that change within an episode (the first is kept)"] = None
        return list(lost)

    def write(self, out: Path, provenance: str, done: Done) -> None:
        """Write all episodes and the splits to the new dataset `out`."""
        splits: dict[str, list[int]] = {}
        with Writer(out, self.header) as writer:
            pending: list[tuple[Columns, Columns, Columns]] = []
            size = 0
            for index, group in enumerate(self._groups()):
                pending.append(self._columns(index, group, provenance))
                size += sum(values.nbytes for values in pending[-1][0].values())
                for key in group.attrs:
                    if key.startswith("split/") and group.attrs[key]:
                        splits.setdefault(key.removeprefix("split/"), []).append(index)
                if size > AT_ONCE or index == self.episodes - 1:
                    writer.append_columns(*(_join(part) for part in zip(*pending)))
                    done(len(pending))
                    pending, size = [], 0
            for split, members in splits.items():
                writer.set_mask(split, np.isin(np.arange(self.episodes), members))

    def _groups(self) -> Iterator[Any]:
        return (self.file[f"episode_{index}"] for index in range(self.episodes))

    def _observation(self, group: Any, key: str) -> Any:
        return group["observations"] if self.single else group["observations"][key]

    def _frames(self, group: Any, key: str) -> NDArray[Any]:
        """Return (T+1, ...) the observation `key`, JPEG decoded."""
        stored, space = self._observation(group, key), self.space[key]
        if self.metadata.get("jpeg_encoding", True) and _is_jpeg(space):
            return np.stack([_decode(picture) for picture in stored])
        return np.asarray(stored[()]).astype(stored_dtype(space))

    def _columns(self, index: int, group: Any, provenance: str) -> tuple[Columns, Columns, Columns]:
        """Return the columns of one episode, as `Writer.append_columns` takes them."""
        header, attributes = self.header, group.attrs
        length = len(group["rewards"])
        steps = {f"observation/{key}": self._frames(group, key) for key in header.stored_keys()}
        ends = {"terminated": group["terminations"][()].astype(bool), "truncated": group["truncations"][()].astype(bool)}
        if length and not (ends["terminated"][-1] or ends["truncated"][-1]):
            ends["truncated"][-1] = True
        actions = np.asarray(group["actions"][()]).astype(stored_dtype(header.action_space))
        valid = np.ones(length, np.bool_)
        for name, values in {"action": actions, "reward": group["rewards"][()].astype(np.float32), "valid": valid, **ends}.items():
            steps[name] = np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])
        wrong = next((name for name, values in steps.items() if len(values) != length + 1), None)
        if wrong or not length:
            count = len(steps[wrong]) if wrong else 1
            raise UserError(
                f"{self.path}: episode_{index} has {count} rows of {wrong or 'observations'}; expected {length} steps and one more"
            )
        goal = np.full(header.observation_space["achieved_goal"].shape or (), np.nan, np.float32)
        if "desired_goal" in self.space.spaces:
            goal = self._frames(group, "desired_goal")[0].astype(np.float32)
        params = np.asarray(attributes.get("gcrl/goal_params", goal.ravel()), np.float32)
        goals = {"params": params[None], "achieved": goal[None], "row": np.array([attributes.get("gcrl/goal_row", -1)])}
        if header.image_goal:
            goals["image"] = self._frames(group, "goal_image")[:1]
        code = PROVENANCES[attributes.get("gcrl/provenance", provenance)]
        columns = {"length": length, "seed": attributes.get("seed", -1), "provenance": code}
        columns |= {name: attributes.get(f"gcrl/{name}", 0) for name in ("epoch", "task_id")}
        return steps, goals, {name: np.array([value]) for name, value in columns.items()}


def _join(parts: tuple[Columns, ...]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _is_jpeg(space: spaces.Space[Any]) -> bool:
    """Return whether Minari stores `space` as JPEG pictures, unless it was told not to: uint8 from 0 to 255 with sides of 32 or more."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3) or space.dtype != np.uint8:
        return False
    return min(space.shape[:2]) >= 32 and bool((space.low == 0).all() and (space.high == 255).all())


def _decode(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(packed.tobytes())), dtype=np.uint8)
