"""A run's metrics: one JSON object per epoch in ``metrics.jsonl``, and the same as TensorBoard events."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gcrl.checkpoint import write_atomically

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends to ``metrics.jsonl`` (flushed to disk) and ``tensorboard/`` of a run folder, there by environment steps and offline updates.

    `keep_epochs`: lines of this epoch and later are dropped first (on resume), torn lines too; None keeps all whole lines.
    """

    def __init__(self, run_dir: str | Path, keep_epochs: int | None = None) -> None:
        self.path = Path(run_dir) / FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read_metrics(run_dir) if keep_epochs is None or row["epoch"] < keep_epochs]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 (lives as long as the run)
        self._tensorboard: Any = None
        self._offline_updates = 0
        steps = [self._step(row) for row in kept]
        self._purge = steps[-1] + 1 if steps else None

    def write(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Append the metrics of `epoch`: numbers and 0-d arrays or tensors become numbers, NaN and infinities null."""
        row = {"epoch": epoch, **{key: _plain(value) for key, value in metrics.items()}}
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._tensorboard is None:
            from torch.utils.tensorboard import SummaryWriter

            self._tensorboard = SummaryWriter(str(self.path.parent / "tensorboard"), purge_step=self._purge)
        step = self._step(row)
        for key, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._tensorboard.add_scalar(key, value, step)
        self._tensorboard.flush()

    def _step(self, row: Mapping[str, Any]) -> int:
        """Return where TensorBoard draws a row: at its environment steps, plus the updates that were made before the first of them (so
        that learning from a dataset alone advances too); at its epoch where there are none. Rows come in order."""
        if row.get("env_steps") == 0:
            self._offline_updates = int(row.get("updates", 0))
        return int(row.get("env_steps", row["epoch"])) + self._offline_updates

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_metrics(run_dir: str | Path) -> list[dict[str, Any]]:
    """Return the rows of a run's ``metrics.jsonl``, oldest first; a last line that a crash tore is left out, a missing file is empty."""
    path = Path(run_dir) / FILE
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and "epoch" in row:
            rows.append(row)
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
