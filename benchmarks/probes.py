"""What a run's representation knows of frames that it has never seen: the probes of ``gcrl inspect``, on a dataset of their own."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from gcrl.inspect_run import encode, inspect_representation, read_sample
from gcrl.metrics_log import read_metrics
from gcrl.run import load


def probed(folder: Path, file: Path) -> dict[str, Any]:
    """Return ``probe`` {r2_THING, follows_THING: mean over the coordinates of hand, puck, ...} and ``fit_s``, seconds of the first fit.

    follows: rank correlation of latent distance with the difference in a coordinate, over pairs of held-out frames.
    """
    run = load(folder)
    environment = run.environment()
    environment.close()
    generator = np.random.default_rng(0)  # the same frames and pairs for every arm and seed
    sample = read_sample(file, run.representation.keys, generator)
    latents = encode(run.representation, sample.observations)
    found = inspect_representation(run.representation, sample, latents, list(environment.factors), generator)
    things: dict[str, list[float]] = defaultdict(list)
    for row in found.probes:
        thing = row.factor.partition("_")[0]
        things[f"r2_{thing}"].append(row.r2)
        things[f"follows_{thing}"].append(row.spearman)
    fits = [row["time/first_fit_s"] for row in read_metrics(folder) if "time/first_fit_s" in row]
    probe: dict[str, float | None] = {name: float(np.mean(values)) for name, values in things.items()}
    return {"probe": probe | {"latent_dim": found.latent_dim, "reconstruction_mse": found.reconstruction_mse}, "fit_s": sum(fits)}
