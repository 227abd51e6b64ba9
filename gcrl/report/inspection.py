"""The page of ``gcrl inspect``: what a latent space holds, as numbers and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gcrl import latent_views as views
from gcrl.report.chart import COLOURS, chart
from gcrl.report.markup import picture, section, strip, table
from gcrl.report.page import write_page
from gcrl.report.runs import unit_of
from representations.api import Representation

if TYPE_CHECKING:
    from gcrl.inspect_run import Inspection, Sample

SHOWN = 8  # frames whose reconstruction and neighbours are shown
PAIRS = 4  # interpolations
MAPPED = 4  # factors that colour the map


def write_inspection(
    out: Path,
    run: Path,
    representation: Representation,
    found: Inspection,
    sample: Sample,
    latents: NDArray[np.float32],
    routes: Sequence[views.Route],
    names: Sequence[str],
    generator: np.random.Generator,
) -> Path:
    """Write the page `out` about the latents (n, d) of `sample`, and the distances along `routes`; return it."""
    name = type(representation).__name__
    images, decode = sample.observations.get("image"), getattr(representation, "decode", None)
    counted = f"{found.frames} frames of {found.episodes} episodes of {escape(str(run))}, {found.latent_dim} latent dimensions"
    head = f'<header class="alone"><div><h1>What {escape(name)} knows</h1><p class="muted">{counted}.</p></div></header>'
    header, rows = found.rows()
    lede = "R² of a ridge regression from latents to the factor, on episodes held out; rank correlation of latent distance with the "
    lede += "difference in the factor; how much the nearest frame of another episode differs, and a random one."
    body = [section("Probes of the true state", lede, table(header, rows)), _routes(found, routes)]
    if images is not None and decode is not None:
        body += [_reconstructions(found, images, latents, decode), _traversals(latents, decode)]
        body.append(_interpolations(images, latents, sample.factors, decode, generator))
    if images is not None:
        body.append(_neighbours(images, latents, sample.episodes))
    body.append(_map(latents, sample.factors, names))
    return write_page(out, f"{name} · gcrl inspect", head, "\n".join(body), [run])


def _routes(found: Inspection, routes: Sequence[views.Route]) -> str:
    if not routes:
        return ""

    def draw(axes: Any) -> None:
        for index, route in enumerate(routes):
            axes.plot(route.latent, color=COLOURS[0], lw=1.3, alpha=0.8, label=None if index else "latent")
            axes.plot(route.true, color=COLOURS[1], lw=1.0, alpha=0.6, ls=(0, (4, 3)), label=None if index else "true")
        axes.set_xlabel("step")
        axes.set_ylabel("share of the first")
        axes.set_ylim(bottom=0)
        axes.legend()

    toward = "the last frames of the episodes that moved farthest" if found.hindsight else "goals that were reached"
    lede = f"Distance left toward {toward}; it should fall as the true one does. Mean rank correlation of the two: {found.follows:.2f}."
    return section("On the way to a goal", lede, f'<div class="charts wide">{chart(draw, (5.2, 2.6), "distance left")}</div>')


def _reconstructions(found: Inspection, images: NDArray[np.uint8], latents: NDArray[np.float32], decode: views.Decode) -> str:
    shown = _evenly(len(images))
    sheet = strip([images[shown], decode(latents[shown])])
    lede = f"Frames, and below each what its latent decodes to. Mean squared error {found.reconstruction_mse:.5f}, of the mean picture "
    return section("Reconstructions", lede + f"{found.mean_picture_mse:.5f} (pixels in [0, 1]).", picture(sheet, "frames, reconstructions"))


def _traversals(latents: NDArray[np.float32], decode: views.Decode) -> str:
    chosen, rows = views.traversals(decode, latents)
    lede = f"The mean latent with one entry moved from -{views.REACH:g} to +{views.REACH:g} of its deviations; a row per entry, those that "
    lede += f"vary most first: {', '.join(str(index) for index in chosen)}."
    return section("Traversals", lede, f'<div style="max-width:640px">{picture(strip(rows), "traversals")}</div>')


def _interpolations(
    images: NDArray[np.uint8],
    latents: NDArray[np.float32],
    factors: NDArray[np.float64],
    decode: views.Decode,
    generator: np.random.Generator,
) -> str:
    pairs = views.far_pairs(factors, PAIRS, generator)
    between = views.interpolations(decode, latents, pairs)
    rows = [np.concatenate([images[[one]], row, images[[other]]]) for (one, other), row in zip(pairs, between, strict=True)]
    lede = "At both ends frames that differ much; between them what decodes on the straight line from latent to latent."
    return section("Interpolations", lede, f'<div style="max-width:820px">{picture(strip(rows), "interpolations")}</div>')


def _neighbours(images: NDArray[np.uint8], latents: NDArray[np.float32], episodes: NDArray[np.int64]) -> str:
    shown = _evenly(len(images))
    near = views.neighbours(latents, episodes, shown.tolist())
    sheet = picture(strip([images[shown], *(images[rows] for rows in near)]), "frames, nearest neighbours")
    return section("Nearest neighbours", "Frames, and below each the nearest ones of other episodes in latent space.", sheet)


def _map(latents: NDArray[np.float32], factors: NDArray[np.float64], names: Sequence[str]) -> str:
    points, share = views.plane_map(latents)
    charts = []
    for index in np.argsort(-factors.std(axis=0), kind="stable")[:MAPPED]:
        label = " / ".join(filter(None, unit_of(names[index])))

        def draw(axes: Any, values: NDArray[np.float64] = factors[:, index]) -> None:
            marks = axes.scatter(*points.T, c=values, s=5, lw=0, cmap="viridis")
            axes.figure.colorbar(marks, ax=axes)
            axes.set_xticks([])
            axes.set_yticks([])

        charts.append(chart(draw, (3.4, 2.6), label))
    lede = f"The two leading principal components of the latents, {100 * share:.0f} % of their variance, coloured by factor."
    return section("A map", lede, f'<div class="charts">{"".join(charts)}</div>')


def _evenly(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, SHOWN).astype(np.int64))
