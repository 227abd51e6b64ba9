"""A first look at what a run's representation knows, before anyone trains a policy on it: ``gcrl inspect RUN``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError
from gcrl.data.reader import Reader
from gcrl.report.markup import number
from gcrl.report.runs import unit_of
from representations.api import Representation
from representations.probe import FactorProbe, probe

ROWS = 3000  # frames looked at, evenly spread over the practice
SHOWN = 8


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
    Both are None for a representation without ``decode``.
    """

    probes: list[FactorProbe]
    latent_dim: int
    frames: int
    episodes: int
    reconstruction_mse: float | None = None
    mean_picture_mse: float | None = None
    picture: str | None = None

    def text(self) -> str:
        """Return the findings as a table for the terminal."""
        lines = [
            f"{self.frames} frames of {self.episodes} episodes, {self.latent_dim} latent dimensions; a third of the episodes held out",
            "",
        ]
        header = ["factor", "probe R²", "distance follows it", "nearest differs by", "a random frame by"]
        rows = [
            [unit_of(p.factor)[0], _share(p.r2), _share(p.spearman), *(_value(v, p.factor) for v in (p.neighbour_error, p.chance_error))]
            for p in self.probes
        ]
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        for row in [header, *rows]:
            lines.append(
                "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
            )
        lines += [
            "",
            "distance follows it: rank correlation of latent distance with the difference in the factor, over pairs of held-out frames",
        ]
        if self.reconstruction_mse is not None:
            error, nothing = f"{self.reconstruction_mse:.5f}", f"{self.mean_picture_mse:.5f}"
            lines.append(f"reconstruction error {error} (mean picture: {nothing}) over these frames, pixels in [0, 1]")
        if self.picture is not None:
            lines.append(f"picture: {self.picture}")
        return "\n".join(lines)


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def _value(value: float, factor: str) -> str:
    return f"{number(value)} {unit_of(factor)[1]}".strip()


@overload
def inspect_run(path: Path | str, *, json: Literal[False] = False) -> str: ...


@overload
def inspect_run(path: Path | str, *, json: Literal[True]) -> dict[str, Any]: ...


def inspect_run(path: Path | str, *, json: bool = False) -> str | dict[str, Any]:
    """Say what the representation of the run at `path` knows of each state factor, and write ``inspect.png`` into the run folder.

    Returns text for the terminal, or with `json` a dict of plain values. Raises `UserError` when the run has no practice data.
    """
    from gcrl import load

    path = Path(path)
    run = load(path)
    file = path / "practice.h5"
    if not file.is_file():
        raise UserError(f"'{path}' holds no practice.h5; expected a run that has practised at least one epoch")
    environment = run.environment()
    try:
        names = list(environment.factors)
    finally:
        environment.close()
    generator = np.random.default_rng([int(run.settings.seed), 11])  # a look must not depend on, or disturb, the run's own streams
    found = inspect_representation(
        run.representation, read_sample(file, run.representation.keys, generator), names, generator, path / "inspect.png"
    )
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


def inspect_representation(
    representation: Representation, sample: Sample, names: Sequence[str], generator: np.random.Generator, picture: Path | None = None
) -> Inspection:
    """Probe `representation` on `sample`; where frames are pictures, also draw reconstructions and neighbours into `picture`."""
    observations = {key: sample.observations[key] for key in representation.keys}
    latents = np.concatenate(
        [representation.encode({k: v[at : at + 256] for k, v in observations.items()}) for at in range(0, len(sample.episodes), 256)]
    )
    table = probe(latents, sample.factors, names, generator, sample.episodes)
    found = Inspection(table, int(latents.shape[1]), len(latents), len(np.unique(sample.episodes)))
    images = sample.observations.get("image")
    if images is None:
        return found
    decode = getattr(representation, "decode", None)
    shown = np.unique(np.linspace(0, len(images) - 1, SHOWN).astype(int))
    rows: list[tuple[str, NDArray[np.uint8]]] = [("frame", images[shown])]
    if decode is not None:
        sums, mean = 0.0, images.mean(axis=0) / 255
        for at in range(0, len(images), 256):
            sums += float(np.square(decode(latents[at : at + 256]) / 255.0 - images[at : at + 256] / 255.0).mean(axis=(1, 2, 3)).sum())
        found.reconstruction_mse = sums / len(images)
        found.mean_picture_mse = float(np.mean([np.square(image / 255 - mean).mean() for image in images]))
        rows.append(("reconstruction", decode(latents[shown])))
    rows += [(f"neighbour {rank + 1}", images[near]) for rank, near in enumerate(_neighbours(latents, sample.episodes, shown))]
    if picture is not None:
        _draw(rows, picture)
        found.picture = str(picture)
    return found


def _neighbours(latents: NDArray[Any], episodes: NDArray[np.int64], shown: NDArray[Any], count: int = 3) -> NDArray[np.int64]:
    """Return (count, m) rows nearest in latent space to the rows `shown` (m,), one per other episode."""
    out = []
    for row in shown:
        order = np.argsort(np.square(latents - latents[row]).sum(axis=1), kind="stable")
        order = order[episodes[order] != episodes[row]]
        _, first = np.unique(episodes[order], return_index=True)
        best = order[np.sort(first)][:count]
        out.append(np.resize(best if len(best) else [row], count))
    return np.array(out, dtype=np.int64).T


def _draw(rows: Sequence[tuple[str, NDArray[np.uint8]]], path: Path) -> None:
    """Write labelled rows of pictures as one PNG."""
    from PIL import Image, ImageDraw, ImageFont

    from gcrl.report.film import enlarge

    pictures = [(label, enlarge(np.asarray(part), 96)) for label, part in rows]
    height, width = pictures[0][1].shape[1:3]
    left, gap = 120, 4
    sheet = Image.new("RGB", (left + len(rows[0][1]) * (width + gap), len(rows) * (height + gap) + gap), (250, 250, 248))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for r, (label, part) in enumerate(pictures):
        top = gap + r * (height + gap)
        draw.text((left - 10, top + height // 2), label, fill=(60, 65, 72), font=font, anchor="rm")
        for c, picture in enumerate(part):
            sheet.paste(Image.fromarray(picture), (left + c * (width + gap), top))
    temporary = path.with_name(f".{path.name}.part")
    sheet.save(temporary, "PNG")
    os.replace(temporary, path)
