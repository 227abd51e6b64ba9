"""Reading what a density looks at as plain columns, and putting them on a common scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from goal_samplers.api import Experience, Rows


def read_columns(experience: Experience, key: str, rows: Rows) -> NDArray[np.float64]:
    """Return (n, d) float64 of the flat entries of `key` at `rows`; pictures are refused with a `UserError`."""
    values = np.asarray(experience.read(key, rows))
    if values.dtype == np.uint8:
        raise UserError(
            f"a density over states cannot read '{key}', which holds pictures; expected key=latent, or the representation's own density"
        )
    return values.reshape(len(values), -1).astype(np.float64)


class Standardiser:
    """Zero mean and unit deviation per column; a column that does not vary keeps its unit.

    whole: one deviation for all columns, the root of their mean variance, so that distances keep their proportions.
    """

    def __init__(self, columns: NDArray[np.float64], whole: bool = False) -> None:
        self.mean = columns.mean(axis=0)
        deviation = columns.std(axis=0)
        if whole:
            deviation = np.full_like(deviation, np.sqrt(np.square(deviation).mean()))
        self.deviation = np.where(deviation > 1e-8, deviation, 1.0)

    @property
    def log_volume(self) -> float:
        """Log of the factor by which a density of standardised columns exceeds that of the raw ones."""
        return float(np.log(self.deviation).sum())

    def apply(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised columns (n, d)."""
        return np.asarray((columns - self.mean) / self.deviation, np.float64)

    def invert(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return raw columns (n, d)."""
        return np.asarray(columns * self.deviation + self.mean, np.float64)

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean.copy(), "deviation": self.deviation.copy()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Standardiser:
        """Rebuild from what ``state_dict`` returned."""
        restored = cls.__new__(cls)
        restored.mean, restored.deviation = np.array(state["mean"], np.float64), np.array(state["deviation"], np.float64)
        return restored
