"""The learning experiments whose outcomes stand in ``results/``: each a preset, its arms and its seeds."""

from __future__ import annotations

from benchmarks.experiment import Experiment
from benchmarks.experiments.offline import OFFLINE
from benchmarks.experiments.practice import PRACTICE
from benchmarks.experiments.representations import REPRESENTATIONS
from benchmarks.experiments.samplers import SAMPLERS

SMALL = (
    "door_angle_error",
    "puck_distance_m",
    "block_distance_m",
    "distance",
    "fit_s",
    "worst_distance_m",
)  # figures that are better the smaller they are

EXPERIMENTS: dict[str, Experiment] = PRACTICE | SAMPLERS | REPRESENTATIONS | OFFLINE
