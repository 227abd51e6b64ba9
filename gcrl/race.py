"""``gcrl compare``: several settings practised on the same seeds and budget, and one page that says which does better."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.errors import UserError
from gcrl.config import DEFAULT_EXPERIMENT, load_settings, plain_settings, read_settings
from gcrl.learner import Learner
from gcrl.outcome import has_finished
from gcrl.overrides import chosen, sweep
from gcrl.report.markup import duration
from gcrl.report.race import write_race
from gcrl.report.runs import flat
from gcrl.schedule import check_schedule
from gcrl.settings import Settings
from gcrl.several import whole

PAGE = "compare.html"


@dataclasses.dataclass(frozen=True)
class Run:
    """One practice of a race: an arm's label, a seed, its settings as overrides, and its folder."""

    arm: str
    seed: int
    overrides: tuple[str, ...]
    folder: Path


def compare(
    overrides: Sequence[str], arms: Sequence[str] = (), jobs: int = 1, say: Callable[[str], None] = print, command: str = ""
) -> dict[str, Any]:
    """Practise every arm with every seed, one page growing as they end; return its figures (`gcrl.report.race.write_race`).

    What has finished is skipped, what was interrupted goes on: the same command continues a race, one with more arms or seeds adds to it.
    A practice that fails does not stop the others.

    Args:
        overrides: as for ``gcrl practice``; every ``key=a,b`` is swept, ``seeds=N`` practises each N times.
        arms: more arms, each a line of overrides on top of those that are not swept, or such a line after ``NAME: ``.
        jobs: how many practices run side by side.
        command: what a person types to go on with it, for the page.

    Raises:
        UserError: a value is wrong, fewer than two arms, parts that do not fit, or a folder that holds a run of other settings.
    """
    if jobs < 1:
        raise UserError(f"jobs={jobs}: expected at least 1")
    runs = plan(overrides, arms)
    check(runs)
    folder = runs[0].folder.parents[1]
    started, done = time.perf_counter(), 0
    waiting = [run for run in runs if not _finished(run)]
    if len(waiting) < len(runs):
        say(f"{len(runs) - len(waiting)} of {len(runs)} practices have ended already")

    def page() -> dict[str, Any]:
        return write_race(_by_arm(runs), folder / PAGE, command)

    failed = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        ends = {pool.submit(_practise, run, quiet=jobs > 1): run for run in waiting}
        try:
            for end in concurrent.futures.as_completed(ends):
                run, done = ends[end], done + 1
                left = (time.perf_counter() - started) / done * (len(waiting) - done)
                failed += [run] if end.result() else []
                outcome = f"failed; see {_log(run)}" if end.result() and jobs > 1 else "failed" if end.result() else "done"
                say(f"{done} of {len(waiting)}: {run.arm}, seed {run.seed}: {outcome}" + (f", about {duration(left)} left" if left else ""))
                if done < len(waiting):
                    try:
                        page()
                    except Exception as error:  # the practices that are still to come are worth more than a page of those that were
                        say(f"no page yet: {type(error).__name__}: {' '.join(str(error).split())}")
        except KeyboardInterrupt:  # the practices got it too, and are writing their checkpoints
            pool.shutdown(cancel_futures=True)
            raise
    if len(failed) == len(runs):
        raise UserError(f"every practice of the race failed; the first: gcrl resume {shlex.quote(str(failed[0].folder))} says why")
    return page() | {"failed": [str(run.folder) for run in failed]}


def plan(overrides: Sequence[str], arms: Sequence[str] = ()) -> list[Run]:
    """Return the practices of a race, seed by seed, so that every arm has its first seeds early. Raises `UserError` for a bad value."""
    seeds, first = whole(overrides, "seeds", 1), whole(overrides, "seed", 1)
    if seeds < 1:
        raise UserError(f"seeds={seeds}: expected at least 1")
    last = {text.partition("=")[0]: text for text in overrides}  # of a key given twice the last one counts
    given = [text for key, text in last.items() if key not in ("seed", "seeds", "run_dir")]
    base = chosen(overrides, "run_dir", "") or f"runs/compare_{chosen(overrides, 'experiment', DEFAULT_EXPERIMENT)}"
    combinations = sweep(given)
    swept = [index for index, text in enumerate(given) if any(combination[index] != text for combination in combinations)]
    found = [(_label([combination[index] for index in swept]), combination) for combination in combinations] if swept else []
    common = [text for index, text in enumerate(given) if index not in swept]
    for arm in arms:
        name, colon, rest = arm.partition(": ")
        if not colon or "=" in name:
            name, rest = "", arm
        words = _words_of(arm, rest)
        found.append((name or _label(words), [*common, *words]))
    lines = dict(found)
    if len(lines) < len(found):
        twice = next(label for index, (label, _) in enumerate(found) if label in dict(found[:index]))
        raise UserError(f"two arms are called '{twice}'; expected names of their own, as in --arm 'NAME: KEY=VALUE ...'")
    folders = {label: label.replace("/", "_").replace(" ", ",") for label in lines}
    if len(set(folders.values())) < len(folders) or any(folder.strip(".") == "" for folder in folders.values()):
        raise UserError(f"arms {', '.join(folders)} cannot each have a folder; expected other names, as in --arm 'NAME: KEY=VALUE ...'")
    if len(lines) < 2:
        raise UserError(
            "nothing to compare: expected at least two values, such as goal_sampler=skewfit,uniform, or --arm 'KEY=VALUE ...' twice"
        )
    return [
        Run(label, seed, (*line, f"seed={seed}", f"run_dir={folder}"), folder)
        for seed in range(first, first + seeds)
        for label, line in lines.items()
        for folder in [Path(base) / folders[label] / f"seed_{seed}"]
    ]


def check(runs: Sequence[Run]) -> None:
    """Raise `UserError` where an arm's parts do not fit together, arms differ in budget, or a folder holds a run of other settings."""
    budgets: dict[str, tuple[Any, ...]] = {}
    for run in runs:
        settings = load_settings(run.overrides)
        if run.arm not in budgets:
            learner = Learner(settings)  # builds every part, each checked against the others
            try:
                check_schedule(settings, learner.env)
            finally:
                learner.close()
            budgets[run.arm] = _budget(settings)
        if (run.folder / "config.yaml").exists() and (other := _difference(read_settings(run.folder / "config.yaml"), settings)):
            raise UserError(f"{run.folder} already holds a run with {other}; expected the same settings, or another run_dir")
    (first, budget), *rest = budgets.items()
    for arm, its in rest:
        if its != budget:
            raise UserError(
                f"unequal budgets: {arm} has {_words(its)}, {first} {_words(budget)}; expected equal ones, which is what a race compares"
            )


def _budget(settings: Settings) -> tuple[Any, ...]:
    practice = settings.practice
    spent = practice.epochs, practice.episodes_per_epoch, practice.updates_per_epoch, settings.offline_updates
    return *spent, practice.final_goals, settings.env_id


def _words(budget: tuple[Any, ...]) -> str:
    return "{} epochs of {} episodes and {} updates, {} updates offline, {} test goals, {}".format(*budget)


def _words_of(arm: str, text: str) -> list[str]:
    """Return an arm's overrides, quoted values whole. Raises `UserError` where they are none."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"--arm '{arm}': {error}; expected 'KEY=VALUE ...' or 'NAME: KEY=VALUE ...'") from error
    if not words or any("=" not in word or word.partition("=")[0] in ("seed", "seeds", "run_dir") for word in words):
        raise UserError(f"--arm '{arm}'; expected 'KEY=VALUE ...' or 'NAME: KEY=VALUE ...', without seed, seeds and run_dir")
    return words


def _difference(there: Settings, wanted: Settings) -> str:
    """Return the first setting in which two runs differ, with both values; "" where there is none."""
    old, new = flat(plain_settings(there)), flat(plain_settings(wanted))
    for key in sorted({*old, *new} - {"run_dir"}):
        if old.get(key) != new.get(key):
            return f"{key}={old.get(key)} (now {new.get(key)})"
    return ""


def _label(swept: Sequence[str]) -> str:
    """Return ``mega`` for ``goal_sampler=mega``, and what was swept as it is where that is more than a choice."""
    if len(swept) == 1 and "." not in swept[0].partition("=")[0]:
        return swept[0].partition("=")[2].rpartition(":")[2]
    return " ".join(swept)


def _finished(run: Run) -> bool:
    return (run.folder / "config.yaml").exists() and has_finished(run.folder, read_settings(run.folder / "config.yaml"))


def _log(run: Run) -> Path:
    return run.folder.parent / f"{run.folder.name}.log"


def _practise(run: Run, quiet: bool) -> int:
    """Practise or resume in a process of its own and return its exit code; `quiet`: what it says goes to a file beside its folder."""
    words = ["resume", str(run.folder)] if (run.folder / "config.yaml").exists() else ["practice", *run.overrides]
    line = [sys.executable, "-P", "-m", "gcrl", *words]
    if not quiet:
        return subprocess.run(line, stdout=subprocess.DEVNULL, check=False).returncode
    _log(run).parent.mkdir(parents=True, exist_ok=True)
    with _log(run).open("w", encoding="utf-8") as log:
        return subprocess.run(line, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False).returncode


def _by_arm(runs: Sequence[Run]) -> Mapping[str, list[Path]]:
    """Return the folders that hold something, by arm, in order."""
    found: dict[str, list[Path]] = {}
    for run in runs:
        if (run.folder / "practice.h5").exists():
            found.setdefault(run.arm, []).append(run.folder)
    return found


def command_line(overrides: Sequence[str], arms: Sequence[str], jobs: int) -> str:
    """Return what to type for a race."""
    extra = [word for arm in arms for word in ("--arm", arm)] + (["--jobs", str(jobs)] if jobs > 1 else [])
    return shlex.join(["gcrl", "compare", *overrides, *extra])
