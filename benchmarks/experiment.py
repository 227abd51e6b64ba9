"""What a learning experiment is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Experiment:
    """One claim: `arms` are overrides on top of `preset`; all arms run with the same seeds and the same budget. ``init_from=ARM`` among
    them is the run of an arm before it, of the same seed.

    figures: what is tabulated, in order: a name of evaluation.json or of what `benchmarks.learn.measure` adds, or ``GROUP:NAME`` for one of
    a group there (``visited:coverage``, ``offline:success_rate``).
    data: what ``gcrl collect`` is told for the dataset that all arms are given, but those that say ``dataset=`` themselves; (): none.
    probe: the same for frames on which every run's representation is probed (`benchmarks.probes`); (): none.
    frames, sets: what ``gcrl collect`` is told for frames, and {task: what ``gcrl goals`` is told for examples among them}, which runs
    practise (`goal_sampler.files`) and are measured on; {}: none.
    analogies: whether runs are also measured on the test goals shown by example (``gcrl evaluate RUN --analogies``), as ``analogy:...``.
    replanned: {arm: (one of `arms`, what ``gcrl evaluate RUN`` is told of the planner)}: its finished runs under another plan; {}: none.
    pairs: comparisons (better, worse, figure) that the claim makes; smaller is better where the figure is in `small`.
    """

    preset: str
    claim: str
    arms: dict[str, list[str]]
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    figures: tuple[str, ...] = ("success_rate",)
    pairs: list[tuple[str, str, str]] = field(default_factory=list)
    data: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    analogies: bool = False
    frames: tuple[str, ...] = ()
    sets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    replanned: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
