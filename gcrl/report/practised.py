"""What the practice dataset holds that a report shows: goals proposed, attempts, achieved goals by epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcrl.data.reader import Reader
from gcrl.data.schema import PROVENANCES

MAX_FRAMES = 500_000  # more achieved goals than this are thinned before they are counted


@dataclass
class Attempts:
    """A few episodes of one epoch as pictures: goals (m, H, W, 3) and final frames (m, H, W, 3) uint8; no goals where it had none."""

    epoch: int
    provenance: str
    goals: NDArray[np.uint8] | None
    finals: NDArray[np.uint8]


@dataclass
class Practised:
    """The practice dataset as a report needs it.

    episode_epochs: (e,). goals: (e, g) proposed goals, NaN where imagined, or None where none is known.
    frames: (f, g) achieved goals of (thinned) frames, frame_epochs: (f,). attempts: pictures, early to late.
    """

    episode_epochs: NDArray[np.int64]
    goals: NDArray[np.float64] | None
    frames: NDArray[np.float64]
    frame_epochs: NDArray[np.int64]
    attempts: list[Attempts]
    factors: list[str]

    @property
    def has_goals(self) -> bool:
        """Whether some proposed goals are known, in the same factors as what was achieved."""
        return self.goals is not None and self.goals.shape[1] == self.frames.shape[1]


def spread(values: NDArray[Any], n: int) -> NDArray[Any]:
    """Return at most `n` of the distinct sorted `values`, evenly spread, first and last included."""
    distinct = np.unique(values)
    return distinct[np.unique(np.linspace(0, len(distinct) - 1, min(n, len(distinct))).round().astype(int))] if len(distinct) else distinct


def read_practised(path: Path, rows: int = 5, columns: int = 8, policy_only: bool = False) -> Practised:
    """Read `rows` epochs × `columns` episodes as pictures (`policy_only`: none at random), and all achieved goals.

    Raises `UserError` for a damaged file.
    """
    with Reader(path) as reader:
        epochs = reader.column("epoch").astype(np.int64)
        shown = np.flatnonzero(reader.column("provenance") != PROVENANCES["random"]) if policy_only else np.arange(len(epochs))
        attempts = _attempts(reader, epochs, shown, rows, columns) if "image" in reader.file["steps/observation"] else []
        known = np.asarray(reader.file["goals/achieved"][: len(reader)], np.float64)
        thin = slice(None, None, 1 + reader.rows // MAX_FRAMES)
        frames = reader.read("achieved_goal", reader.episode_rows(slice(None))[thin]).astype(np.float64)
        return Practised(
            epochs,
            _flat(known) if np.isfinite(known).any() else None,
            _flat(frames),
            np.repeat(epochs, reader.lengths + 1)[thin],
            attempts,
            reader.header.factors,
        )


def _flat(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.reshape(len(values), math.prod(values.shape[1:]))  # not -1, which cannot be told of no rows


def _attempts(reader: Reader, epochs: NDArray[np.int64], shown: NDArray[np.int64], rows: int, columns: int) -> list[Attempts]:
    names = {code: name for name, code in PROVENANCES.items()}
    provenance, found = reader.column("provenance"), []
    for epoch in spread(epochs[shown], rows):
        chosen = spread(shown[epochs[shown] == epoch], columns)
        goals = np.stack([reader.file["goals/image"][int(i)] for i in chosen]) if reader.header.image_goal else None
        if goals is not None and not goals.any():  # an epoch at random has no goals
            goals = None
        finals = reader.read("image", (reader.starts + reader.lengths)[chosen])
        found.append(Attempts(int(epoch), names.get(int(provenance[chosen[0]]), ""), goals, finals))
    return found
