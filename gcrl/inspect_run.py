"""A first look at what a run's representation knows, before anyone trains a policy on it: ``gcrl inspect RUN``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.data.reader import Reader
from gcrl.latent_views import Route, follows, route
from gcrl.report.markup import number
from gcrl.report.runs import unit_of
from representations.api import Representation
from representations.probe import FactorProbe, probe

ROWS = 3000  # frames looked at, evenly spread over the practice
ROUTES = 8  # episodes along which distances are followed
PAGE = "inspect.html"
Success = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]


@dataclass
class Sample:
    """n frames of a dataset: observations {key: (n, ...)}, factors (n, f), episodes (n,) that own them."""

    observations: dict[str, NDArray[Any]]
    factors: NDArray[np.float64]
    episodes: NDArray[np.int64]


@dataclass
class Inspection:
    """What a look at a representation found.

    probes: one row per state factor. frames, episodes: how many were looked at. reconstruction_mse: mean squared error per
    value of decoded pictures with pixels in [0, 1]; mean_picture_mse: the same for the mean picture, which knows nothing.
    Both are None for a representation without ``decode``. follows: mean rank correlation of latent with true distance along `routes`
    episodes, toward their goals, or (`hindsight`) toward where they ended; None where no episode moved. page: where it is shown.
    """

    probes: list[FactorProbe]
    latent_dim: int
    frames: int
    episodes: int
    reconstruction_mse: float | None = None
    mean_picture_mse: float | None = None
    follows: float | None = None
    routes: int = 0
    hindsight: bool = False
    page: str | None = None

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Return the probes as a table: its header and a row for each factor."""
        header = ["factor", "probe R²", "distance follows it", "nearest differs by", "a random frame by"]
        rows = [
            [unit_of(p.factor)[0], _share(p.r2), _share(p.spearman), *(_value(v, p.factor) for v in (p.neighbour_error, p.chance_error))]
            for p in self.probes
        ]
        return header, rows

    def along(self) -> str:
        """Return what distances do on the way to a goal, in words; "" where no episode moved."""
        if self.follows is None:
            return ""
        toward = "where they ended" if self.hindsight else "the goals that they reached"
        return f"along {self.routes} episodes toward {toward}, latent and true distance: rank correlation {_share(self.follows)}"

    def text(self) -> str:
        """Return the findings as a table for the terminal."""
        counted = f"{self.frames} frames of {self.episodes} episodes, {self.latent_dim} latent dimensions; a third of the episodes held out"
        header, rows = self.rows()
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        table = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
            for row in [header, *rows]
        ]
        about = "distance follows it: rank correlation of latent distance with the difference in the factor, over pairs of held-out frames"
        lines = [counted, "", *table, "", about, *([self.along()] if self.along() else [])]
        if self.reconstruction_mse is not None:
            error, nothing = f"{self.reconstruction_mse:.5f}", f"{self.mean_picture_mse:.5f}"
            lines.append(f"reconstruction error {error} (mean picture: {nothing}) over these frames, pixels in [0, 1]")
        return "\n".join([*lines, *([f"page: {self.page}"] if self.page else [])])


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def _value(value: float, factor: str) -> str:
    return f"{number(value)} {unit_of(factor)[1]}".strip()


@overload
def inspect_run(path: Path | str, *, json: Literal[False] = False) -> str: ...


@overload
def inspect_run(path: Path | str, *, json: Literal[True]) -> dict[str, Any]: ...


def inspect_run(path: Path | str, *, json: bool = False) -> str | dict[str, Any]:
    """Say what the representation of the run at `path` knows of each state factor, and write ``inspect.html`` into the run folder.

    Returns text for the terminal, or with `json` a dict of plain values. Raises `UserError` when the run has no practice data.
    """
    from gcrl import load
    from gcrl.report.inspection import write_inspection

    path = Path(path)
    run = load(path)
    file = path / "practice.h5"
    if not file.is_file():
        raise UserError(f"'{path}' holds no practice.h5; expected a run that has practised at least one epoch")
    environment = run.environment()
    environment.close()
    generator = np.random.default_rng([int(run.settings.seed), 11])  # a look must not depend on, or disturb, the run's own streams
    sample = read_sample(file, run.representation.keys, generator)
    latents = encode(run.representation, sample.observations)
    found = inspect_representation(run.representation, sample, latents, list(environment.factors), generator)
    routes, found.hindsight = read_routes(file, run.representation, getattr(environment, "success", None))
    if routes:
        found.follows, found.routes = follows(routes), len(routes)
    write_inspection(path / PAGE, path, run.representation, found, sample, latents, routes, list(environment.factors), generator)
    found.page = str(path / PAGE)
    return asdict(found) if json else found.text()


def read_sample(file: Path, keys: Sequence[str], generator: np.random.Generator, rows: int = ROWS) -> Sample:
    """Read at most `rows` frames of a practice dataset with the observation `keys`, from as many episodes as possible."""
    with Reader(file) as reader:
        stored = reader.file["steps/observation"]
        missing = [key for key in keys if key not in stored]
        if missing:
            raise UserError(f"'{file}' has no observation '{missing[0]}'; it holds: {', '.join(stored)}")
        if not len(reader):
            raise UserError(f"'{file}' holds no episodes; expected a run that has practised at least one epoch")
        chosen = np.unique(np.linspace(0, len(reader) - 1, min(rows, len(reader))).astype(np.int64))
        each = max(1, rows // len(reader))
        picked = [np.sort(generator.permutation(reader.lengths[episode] + 1)[:each]) for episode in chosen]
        index = np.concatenate([reader.starts[episode] + within for episode, within in zip(chosen, picked, strict=True)])
        owners = np.repeat(chosen, [len(within) for within in picked])
        wanted = dict.fromkeys([*keys, *(["image"] if "image" in stored else [])])
        observations = {key: reader.read(key, index) for key in wanted}
        factors = reader.read("achieved_goal", index).reshape(len(index), -1).astype(np.float64)
    return Sample(observations, factors, owners)


def encode(representation: Representation, observations: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return (n, d) latents of observations {key: (n, ...)}, a few hundred at a time."""
    taken = {key: observations[key] for key in representation.keys}
    count = len(next(iter(taken.values())))
    parts = [representation.encode({key: values[at : at + 256] for key, values in taken.items()}) for at in range(0, count, 256)]
    return np.concatenate(parts)


def read_routes(file: Path, representation: Representation, success: Success | None) -> tuple[list[Route], bool]:
    """Return up to `ROUTES` episodes as distances that are left at every frame, and whether toward where they ended (hindsight).

    Toward goals that were reached, by `success`, and not from the start; with fewer than four of those toward the last frame of the
    episodes that moved farthest.
    """
    with Reader(file) as reader:
        starts, ends = reader.starts, reader.starts + reader.lengths
        begun, ended = (reader.read("achieved_goal", rows).reshape(len(rows), -1).astype(np.float64) for rows in (starts, ends))
        scale = np.maximum(ended.std(axis=0), 1e-9)
        goals = np.asarray(reader.file["goals/achieved"][: len(reader)], np.float64).reshape(len(reader), -1)
        known = np.isfinite(goals).all(axis=1)
        reached = np.zeros(len(reader), np.bool_)
        if success is not None and known.any() and goals.shape == ended.shape:
            reached[known] = success(ended[known], goals[known]) & ~success(begun[known], goals[known])
        by_image = "image" in representation.keys
        # goals are encoded as the representation is now, which it can do of pictures or of achieved goals alone
        encodes = representation.keys == ("achieved_goal",) or (representation.keys == ("image",) and reader.header.image_goal)
        hindsight = int(reached.sum()) < 4 or not encodes
        moved = np.linalg.norm((ended - begun) / scale, axis=1)
        chosen = np.argsort(-np.where(reached, moved, moved if hindsight else -1.0), kind="stable")[:ROUTES]
        routes = []
        for episode in chosen[moved[chosen] > 0]:
            rows = np.arange(starts[episode], ends[episode] + 1)
            latents = encode(representation, {key: reader.read(key, rows) for key in representation.keys})
            factors = reader.read("achieved_goal", rows).reshape(len(rows), -1) / scale
            if hindsight:
                routes.append(route(latents, latents[-1], factors, factors[-1]))
                continue
            if not reached[episode]:
                continue
            shown = reader.goal("image", np.array([episode])) if by_image else goals[[episode]].astype(np.float32)
            goal = representation.encode({representation.keys[0]: shown})[0]
            routes.append(route(latents, np.asarray(goal, np.float32), factors, goals[episode] / scale))
    return routes, hindsight


def inspect_representation(
    representation: Representation, sample: Sample, latents: NDArray[np.float32], names: Sequence[str], generator: np.random.Generator
) -> Inspection:
    """Probe `latents` (n, d) of `sample`; where frames are pictures that `representation` can draw, say how well it does."""
    table = probe(latents, sample.factors, names, generator, sample.episodes)
    found = Inspection(table, int(latents.shape[1]), len(latents), len(np.unique(sample.episodes)))
    images, decode = sample.observations.get("image"), getattr(representation, "decode", None)
    if images is not None and decode is not None:
        sums, mean = 0.0, images.mean(axis=0) / 255
        for at in range(0, len(images), 256):
            sums += float(np.square(decode(latents[at : at + 256]) / 255.0 - images[at : at + 256] / 255.0).mean(axis=(1, 2, 3)).sum())
        found.reconstruction_mse = sums / len(images)
        found.mean_picture_mse = float(np.mean([np.square(image / 255 - mean).mean() for image in images]))
    return found
