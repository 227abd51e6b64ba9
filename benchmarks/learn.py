"""Run learning experiments and write their results: ``python -m benchmarks.learn NAME... [--jobs 2] [--seeds 1 2]``.

Every (arm, seed) is one ``gcrl practice`` whose outcome is written to ``results/NAME/ARM_seedN.json`` as it ends; what is
there is skipped by a second start; an arm that an earlier experiment has too is practised once. A dataset that an experiment
learns from is made first, once. ``results/NAME.md`` is the table. Without NAME, the experiments are listed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.experiment import Experiment
from benchmarks.experiments import EXPERIMENTS
from benchmarks.probes import probed
from benchmarks.tables import write_table
from gcrl.checkpoint import write_atomically
from gcrl.config import load_settings, read_settings
from gcrl.data import Reader
from gcrl.evaluate import evaluate_run
from gcrl.metrics_log import read_metrics
from gcrl.run import load
from gcrl.system import git_revision
from gcrl.visited import visited

RESULTS = Path("results")
MAKING = threading.Lock()
LATE = 0.7  # share of the epochs before the "late" ones


def measure(folder: Path, overrides: list[str], wall: float) -> dict[str, Any]:
    """Return what a finished run came to: evaluation, curve, coverage of what it visited, command, versions."""
    rows = read_metrics(folder)
    evaluation = json.loads((folder / "evaluation.json").read_text())
    curve = [
        {key.removeprefix("eval/"): value for key, value in row.items() if key.startswith("eval/") and "interval" not in key}
        for row in rows
        if "eval/success_rate" in row
    ]
    result: dict[str, Any] = {"evaluation": evaluation, "curve": curve, "command": "gcrl practice " + " ".join(overrides)}
    early = [point["success_rate"] for point in curve if point["env_steps"] >= 8000]
    if early:
        result["eval_8k"] = early[0]
    if "offline" in evaluation:  # what the dataset alone came to, on the same test goals
        result["offline"] = evaluation["offline"]
        result["online_change"] = evaluation["success_rate"] - evaluation["offline"]["success_rate"]
    run = load(folder)
    env = run.environment()
    if hasattr(env, "coverage"):
        with Reader(folder / "practice.h5") as reader:
            first = 0 if run.settings.practice.epochs < 10 else int(LATE * run.settings.practice.epochs)
            for name, from_epoch in (("visited", 0), ("visited_late", first)):
                result[name] = env.coverage(visited(reader, from_epoch))
    env.close()
    result |= {"env_steps": run.env_steps, "updates": run.updates, "practice_s": run.wall_s, "whole_s": wall}
    return result | {"system": json.loads((folder / "system.json").read_text())}


def can_resume(folder: Path, overrides: list[str]) -> bool:
    """Return whether `folder` holds an unfinished run of exactly these settings; one of other settings is started anew."""
    if not (folder / "checkpoint" / "latest.json").exists():
        return False
    return read_settings(folder / "config.yaml") == load_settings([*overrides, f"run_dir={folder}"])


def twin(name: str, arm: str) -> tuple[str, str] | None:
    """Return the first (experiment, arm) that practises exactly what this one does, None where that is this one."""
    own = practised(name, arm)
    first = next((other, its_arm) for other in EXPERIMENTS for its_arm in EXPERIMENTS[other].arms if practised(other, its_arm) == own)
    return None if first == (name, arm) else first


def practised(name: str, arm: str) -> tuple[Any, ...]:
    """Return all that decides what an arm practises."""
    experiment, overrides = EXPERIMENTS[name], EXPERIMENTS[name].arms[arm]
    return experiment.preset, () if "dataset=" in overrides else experiment.data, experiment.sets, overrides


def dataset(name: str, keep: Path) -> list[str]:
    """Return the override that names an experiment's dataset, made now unless it is there; [] where it has none."""
    wanted = EXPERIMENTS[name].data
    return [f"dataset={made('collect', name, wanted, keep)}"] if wanted else []


def goal_sets(name: str, keep: Path) -> dict[str, Path]:
    """Return {set: file of goals} of an experiment whose tasks are sets of goals, made now unless they are there."""
    experiment = EXPERIMENTS[name]
    if not experiment.sets:
        return {}
    frames = f"dataset={made('collect', f'{name}.frames', experiment.frames, keep)}"
    return {one: made("goals", f"{name}.{one}", (frames, *wanted), keep) for one, wanted in experiment.sets.items()}


def made(verb: str, name: str, wanted: tuple[str, ...], keep: Path) -> Path:
    """Return the file that ``gcrl VERB`` made of `wanted`, made now unless it is there. Raises RuntimeError where it cannot be made."""
    # another process that wants it too makes one of its own, and the last one stays
    path, making, note = (keep / "data" / f"{name}.{ending}" for ending in ("h5", f"{os.getpid()}.h5", "command"))
    command = f"gcrl {verb} " + " ".join(wanted)
    with MAKING:  # arms side by side want the same one
        if not (path.exists() and note.exists() and note.read_text() == command):
            path.parent.mkdir(parents=True, exist_ok=True)
            given = [*wanted, f"out={making}", "overwrite=true"]
            done = subprocess.run([sys.executable, "-m", "gcrl", verb, *given], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{command}: failed ({done.returncode}): {done.stderr.strip().splitlines()[-1:]}")
            note.unlink(missing_ok=True)
            making.replace(path)
            for picture in path.parent.glob(f"{making.stem}_*.png"):  # beside a file of goals
                picture.unlink()
            write_atomically(note, command)
    return path


def practise(name: str, arm: str, seed: int, jobs: int, keep: Path) -> str:
    """Run one arm with one seed and write its result; return one line on it."""
    target = RESULTS / name / f"{arm}_seed{seed}.json"
    if target.exists():
        return f"{target}: already there"
    experiment = EXPERIMENTS[name]
    if arm in experiment.replanned:
        return replan(name, arm, seed, keep)
    earlier = twin(name, arm)
    if earlier:
        line = practise(*earlier, seed, jobs, keep)
        source = RESULTS / earlier[0] / f"{earlier[1]}_seed{seed}.json"
        return save(target, {**json.loads(source.read_text()), "experiment": name, "arm": arm}) if source.exists() else line
    folder = keep / name / f"{arm}_seed{seed}"
    try:
        own = [begun(text, name, seed, keep) for text in experiment.arms[arm]]
        overrides = [f"experiment={experiment.preset}", *dataset(name, keep), *own, f"seed={seed}"]
        sets = goal_sets(name, keep)
        if sets and not any(text.startswith("goal_sampler=") for text in overrides):
            overrides.append(f"goal_sampler.files=[{','.join(map(str, sets.values()))}]")
    except RuntimeError as error:
        return f"{target}: {error}"
    started = time.perf_counter()
    resuming = can_resume(folder, overrides)
    if not resuming:
        shutil.rmtree(folder, ignore_errors=True)
    given = ["resume", str(folder)] if resuming else ["practice", *overrides, f"run_dir={folder}"]
    done = subprocess.run([sys.executable, "-m", "gcrl", *given], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"{target}: failed ({done.returncode}): {done.stderr.strip().splitlines()[-1:]}"
    if not (folder / "evaluation.json").exists():  # a robot that was stopped
        return f"{target}: stopped before its end: {(done.stderr.strip().splitlines() or [''])[-1]}; a second start goes on"
    result = {"experiment": name, "arm": arm, "seed": seed, "jobs_side_by_side": jobs, "resumed": resuming}
    result |= {"data": "gcrl collect " + " ".join(experiment.data)} if experiment.data else {}
    result |= measure(folder, overrides, time.perf_counter() - started)
    if experiment.probe:
        result |= probed(folder, made("collect", f"{name}.probe", experiment.probe, keep))
    if experiment.analogies:
        result["analogy"] = evaluate_run(folder, analogies=True)
    if sets:
        reached = {one: evaluate_run(folder, goals=path)["success_rate"] for one, path in sets.items()}
        result["sets"] = {**reached, "success_rate": sum(reached.values()) / len(reached)}
    return save(target, result)


def begun(override: str, name: str, seed: int, keep: Path) -> str:
    """Return an arm's override; ``init_from=ARM`` with the run folder of that arm and seed. Raises RuntimeError where it is not there."""
    start = override.removeprefix("init_from=")
    if start == override:
        return override
    folder = keep / name / f"{start}_seed{seed}"
    if not (folder / "evaluation.json").exists():
        raise RuntimeError(f"{folder} has not ended; it is made by practising '{start}', which needs its result to be away")
    return f"init_from={folder}"


def replan(name: str, arm: str, seed: int, keep: Path) -> str:
    """Evaluate the finished run of another arm as `arm` plans, and write the result."""
    base, planner = EXPERIMENTS[name].replanned[arm]
    target, source = (RESULTS / name / f"{one}_seed{seed}.json" for one in (arm, base))
    folder = keep / name / f"{base}_seed{seed}"
    for needed in (source, folder):
        if not needed.exists():
            return f"{target}: {needed} is not there; it is made by practising '{base}', which needs both to be away"
    kept = ("experiment", "seed", "jobs_side_by_side", "data", "env_steps", "updates", "practice_s", "whole_s", "system")
    result = {key: value for key, value in json.loads(source.read_text()).items() if key in kept} | {"arm": arm}
    result |= {"command": " ".join(["gcrl evaluate", str(folder), *planner]), "evaluated_at": git_revision()}
    return save(target, result | {"evaluation": evaluate_run(folder, planner=planner)})


def save(target: Path, result: dict[str, Any]) -> str:
    """Write an outcome and its experiment's table; return one line on it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, json.dumps(result, indent=1) + "\n")
    write_table(result["experiment"], EXPERIMENTS[result["experiment"]], RESULTS)
    return f"{target}: success {result['evaluation']['success_rate']:.3f} in {result['practice_s']:.0f} s"


def plan(experiment: Experiment, seeds: list[int] | None) -> list[tuple[str, int]]:
    """Return (arm, seed) pairs, seed by seed, so that every arm has its first seeds early."""
    return [(arm, seed) for seed in (seeds or experiment.seeds) for arm in (*experiment.arms, *experiment.replanned)]


def main() -> None:
    """Run the experiments named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *EXPERIMENTS], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="practices side by side (each uses up to two cores)")
    parser.add_argument("--seeds", type=int, nargs="*", help="only these seeds")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"), help="where the run folders are kept")
    parser.add_argument("--tables", action="store_true", help="only write the tables again")
    given = parser.parse_args()
    for name in given.names or ([] if not given.tables else EXPERIMENTS):
        if given.tables:
            write_table(name, EXPERIMENTS[name], RESULTS)
    if given.tables:
        return
    if not given.names:
        for name, experiment in EXPERIMENTS.items():
            print(f"{name:20} {experiment.claim}")
    orders = [(name, arm, seed) for name in given.names for arm, seed in plan(EXPERIMENTS[name], given.seeds)]
    later = [order for order in orders if order[1] in EXPERIMENTS[order[0]].replanned]  # when the runs they are of have ended
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for some in ([order for order in orders if order not in later], later):
            for line in pool.map(lambda order: practise(*order, given.jobs, given.runs), some):
                print(time.strftime("%H:%M:%S"), line, flush=True)


if __name__ == "__main__":
    main()
