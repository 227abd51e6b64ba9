"""Tables of learning results: means with 95 % intervals over seeds, comparisons by paired differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.experiment import Experiment
from benchmarks.experiments import SMALL
from gcrl.checkpoint import write_atomically
from gcrl.statistics import mean_interval, paired_difference


def value_of(result: dict[str, Any], figure: str) -> float | None:
    """Return a figure of one result: ``visited:NAME``, ``by_task:NAME``, a name of the evaluation, or a top-level entry."""
    group, colon, name = figure.partition(":")
    if group == "by_task":
        found = result["evaluation"].get(group, {}).get(name, {}).get("success_rate")
    elif colon:
        found = result.get(group, {}).get(name)
    else:
        found = result["evaluation"].get(figure, result.get(figure))
    return None if found is None else float(found)


def shown(values: list[float], figure: str) -> str:
    """Return mean [lower, upper] of some seeds; shares stay within 0 and 1, errors above 0."""
    if not values:
        return "-"
    share = figure.startswith(("sets:", "by_task:")) or figure.endswith(("success_rate", "coverage", "eval_8k"))
    mean, low, high = mean_interval(values, *((0.0, 1.0) if share else (0.0,) if figure in SMALL else ()))
    return f"{mean:.3f}" + (f" [{low:.3f}, {high:.3f}]" if len(values) > 1 else " (one seed)")


def write_table(name: str, experiment: Experiment, results: Path, command: str = "") -> None:
    """Write ``results/NAME.md`` from the results that are there, which `command` made (`benchmarks.learn` where none is given)."""
    found: dict[str, dict[int, dict[str, Any]]] = {arm: {} for arm in (*experiment.arms, *experiment.replanned)}
    for path in sorted((results / name).glob("*_seed*.json")):
        result = json.loads(path.read_text())
        if result["arm"] in found:
            found[result["arm"]][result["seed"]] = result
    everything = [result for seeds in found.values() for result in seeds.values()]
    if not everything:
        return
    lines = [
        f"# {name}",
        "",
        experiment.claim,
        "",
        f"Command: `{command or f'python -m benchmarks.learn {name}'}` (skips what is there).",
        "",
    ]
    lines += ["| arm | seeds | " + " | ".join(experiment.figures) + " | env steps | updates | practice |"]
    lines += ["|---|---|" + "---|" * (len(experiment.figures) + 3)]
    for arm, seeds in found.items():
        if not seeds:
            continue
        cells = [
            shown([v for s in sorted(seeds) if (v := value_of(seeds[s], figure)) is not None], figure) for figure in experiment.figures
        ]
        some = list(seeds.values())
        minutes = sum(result["practice_s"] for result in some) / len(some) / 60
        listed = ", ".join(str(seed) for seed in sorted(seeds))
        lines.append(f"| {arm} | {listed} | {' | '.join(cells)} | {some[0]['env_steps']:,} | {some[0]['updates']:,} | {minutes:.1f} min |")
        before = [result["evaluation"]["untrained"] for result in some if result["evaluation"].get("untrained")]
        if before and arm == next(iter(found)):
            cells = []
            for figure in experiment.figures:
                known = [float(entry[figure]) for entry in before if figure in entry]
                cells.append(shown(known, figure))
            kinds = ", ".join(sorted({entry["policy"] for entry in before}))
            if set(cells) != {"-"}:
                lines.append(f"| untrained (best of untrained, random, zero: {kinds}) | {listed} | {' | '.join(cells)} | 0 | 0 | |")
    if experiment.pairs:
        lines += ["", "Paired over seeds (95 % interval of the difference; a tie where it includes zero):", ""]
        for better, worse, figure in experiment.pairs:
            both = sorted(set(found[better]) & set(found[worse]))
            a = [value_of(found[better][seed], figure) for seed in both]
            b = [value_of(found[worse][seed], figure) for seed in both]
            if len(both) < 2 or None in a or None in b:
                continue
            mean, low, high, verdict = paired_difference([float(v) for v in a if v is not None], [float(v) for v in b if v is not None])
            if figure in SMALL:
                verdict = {">": "worse", "<": "better", "tie": "tie"}[verdict]
            else:
                verdict = {">": "better", "<": "worse", "tie": "tie"}[verdict]
            exploratory = " (exploratory: fewer than five seeds)" if len(both) < 5 else ""
            lines.append(f"- {better} against {worse}, {figure}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]: {verdict}{exploratory}")
    system = everything[0]["system"]
    processors = " and ".join(dict.fromkeys(f"{one['system']['cores']} cores ({one['system']['cpu']})" for one in everything))
    packages = system["packages"]
    used = ", ".join(f"{key} {packages[key]}" for key in ("torch", "numpy", "pybullet", "mujoco") if packages.get(key))
    side = sorted({result["jobs_side_by_side"] for result in everything})
    revisions = sorted({str(result["system"]["git_revision"])[:10] for result in everything})
    tested = "about 100 episodes a set, within its bounds" if experiment.sets else "100 fixed test goals"
    lines += [
        "",
        f"Success is the mean over an episode's last five steps, on {tested}; intervals are 95 % over seeds. "
        f"{processors}, {'/'.join(map(str, side))} practices side by side; "
        f"Python {system['python']}, {used}; revision {', '.join(revisions)}.",
        "",
    ]
    write_atomically(results / f"{name}.md", "\n".join(lines))
