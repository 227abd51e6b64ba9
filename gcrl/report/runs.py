"""Reading run folders: settings, metrics and evaluation, however far the run came."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError, did_you_mean
from gcrl.metrics_log import read_metrics

UNITS = ("rad", "deg", "mm", "cm", "m", "s", "px", "units")
_NOT_FIGURES = {"success_rate", "episodes", "env_steps", "updates", "wall_s", "seed", "epoch", "horizon"}


@dataclass
class RunRecord:
    """What a run folder says about its run; parts that the run has not written yet are empty.

    metrics: one dict per epoch. evaluation: the final evaluation's figures, or None. arrays: its per-goal arrays.
    """

    path: Path
    config: dict[str, Any]
    command: str = ""
    system: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, Any] | None = None
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def experiment(self) -> str:
        """Name of the experiment preset, or of the environment."""
        return str(self.config.get("experiment") or self.config.get("env_id") or self.path.name)

    @property
    def seed(self) -> Any:
        """Seed of the run."""
        return self.config.get("seed", "?")

    @property
    def date(self) -> str:
        """Day and time that the run started (from system.json, else the age of config.yaml)."""
        for key in ("date", "started", "start", "time"):
            if isinstance(self.system.get(key), str):
                return str(self.system[key]).replace("T", " ")[:16]
        return datetime.fromtimestamp((self.path / "config.yaml").stat().st_mtime).strftime("%Y-%m-%d %H:%M")

    @property
    def factors(self) -> list[str]:
        """A name with unit per entry of an achieved goal; empty when the run has not said."""
        return [str(name) for name in (self.evaluation or {}).get("factors", [])]

    @property
    def practice_file(self) -> Path | None:
        """The practice dataset, if there is one."""
        path = self.path / "practice.h5"
        return path if path.exists() else None

    def last(self, key: str) -> Any:
        """Return the newest value of `key`: the evaluation's, else the last epoch's that has it, else None."""
        if self.evaluation is not None and key in self.evaluation:
            return self.evaluation[key]
        return next((row[key] for row in reversed(self.metrics) if key in row), None)

    def figures(self) -> list[str]:
        """Names of the evaluation's task figures, ``distance`` last, or left out where it repeats another figure."""
        numbers = {key: value for key, value in (self.evaluation or {}).items() if _finite(value) and key not in _NOT_FIGURES}
        repeated = any(numbers.get("distance") == value for key, value in numbers.items() if key != "distance")
        return [key for key in numbers if key != "distance"] + ["distance"] * ("distance" in numbers and not repeated)

    def series(self, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return epochs (n,) and values (n,) of `key` in the epochs that logged it as a finite number."""
        rows = [(index, row) for index, row in enumerate(self.metrics) if _finite(row.get(key))]
        epochs = np.array([float(row.get("epoch", index)) for index, row in rows])
        return epochs, np.array([float(row[key]) for _, row in rows])

    def steps_at(self, epochs: NDArray[np.float64], counter: str = "env_steps") -> NDArray[np.float64]:
        """Return (n,) environment steps (or another `counter`) at the end of `epochs` (n,); the epochs where that was not logged."""
        known, steps = self.series(counter)
        return np.interp(epochs, known, steps) if len(known) else epochs


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def unit_of(name: str, factors: Sequence[str] = ()) -> tuple[str, str]:
    """Return (readable name, unit) of a figure: ``door_angle_rad -> ("door angle", "rad")``.

    A name without a unit takes the one of the factor it measures: ``door_angle_error`` that of ``door_angle_rad``.
    """
    stem, _, last = name.rpartition("_")
    if stem and last in UNITS:
        return stem.replace("_", " "), last
    for factor in factors:
        label, unit = unit_of(factor)
        if unit and name.replace("_", " ").startswith(label):
            return name.replace("_", " "), unit
    return name.replace("_", " "), ""


def load_run(path: Path | str) -> RunRecord:
    """Read the run folder at `path`; raises `UserError` when it is none. A run that was interrupted is read as far as it came."""
    from omegaconf import OmegaConf

    path = Path(path)
    if not (path / "config.yaml").is_file():
        raise UserError(f"'{path}' is no run folder (no config.yaml in it){did_you_mean(str(path), _runs_near(path))}")
    config = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
    if not isinstance(config, dict):
        raise UserError(f"'{path / 'config.yaml'}' holds no settings; expected a mapping of names to values")
    run = RunRecord(path, {str(key): value for key, value in config.items()})
    command = path / "command.txt"
    run.command = command.read_text().strip() if command.is_file() else ""
    run.system = _json(run, "system.json") or {}
    run.evaluation = _json(run, "evaluation.json")
    run.metrics = read_metrics(path)
    if (path / "evaluation.npz").is_file():
        try:
            with np.load(path / "evaluation.npz", allow_pickle=False) as arrays:
                run.arrays = {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
            run.notes.append(f"evaluation.npz could not be read ({type(error).__name__}).")
    return run


def _runs_near(path: Path) -> list[str]:
    candidates = [*path.glob("*/config.yaml"), *path.parent.glob("*/config.yaml")]
    return [str(candidate.parent) for candidate in sorted(candidates)[:1000]]


def _json(run: RunRecord, name: str) -> dict[str, Any] | None:
    file = run.path / name
    if not file.is_file():
        return None
    try:
        value = json.loads(file.read_text())
    except ValueError:
        run.notes.append(f"{name} is not valid JSON and was left out.")
        return None
    return value if isinstance(value, dict) else None


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level: ``{"agent.arguments.lr": 3e-4}``."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        out.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return out


def label_runs(runs: Sequence[RunRecord]) -> list[str]:
    """Return a label per run that names the settings in which the runs differ, seeds and folders aside; equal labels form a group.

    Where they chose different classes for a part, it is named by its class alone: the fields of one mean nothing to the other.
    """
    settings = [{k: v for k, v in flat(run.config).items() if k.split(".")[-1] not in {"seed", "run_dir"}} for run in runs]
    keys = sorted({key for one in settings for key in one if any(other.get(key) != one[key] for other in settings)})
    other_class = tuple(key.removesuffix("target") for key in keys if key.endswith(".target"))
    keys = [key for key in keys if key.endswith(".target") or not key.startswith(other_class)] if other_class else keys
    labels = []
    for run, one in zip(runs, settings, strict=True):
        if "experiment" in keys:
            labels.append(run.experiment)
        else:
            labels.append(", ".join(_setting(key, one.get(key)) for key in keys) or run.experiment)
    return labels


def _setting(key: str, value: Any) -> str:
    """Return ``agent=SAC`` for a class, ``agent.lr=0.001`` for a field."""
    name = key.replace("arguments.", "")
    return f"{name.removesuffix('.target')}={str(value).rpartition(':')[2]}" if name.endswith(".target") else f"{name}={value}"
