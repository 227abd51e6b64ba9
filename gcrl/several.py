"""Several practices from one command (``seeds=5``, ``-m agent=sac,td3``): one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from envs.errors import UserError
from gcrl.config import DEFAULT_EXPERIMENT, check_parts, load_settings
from gcrl.overrides import chosen, sweep
from gcrl.typed import typed


def plan(overrides: Sequence[str], multirun: bool) -> list[list[str]]:
    """Return the overrides of each single practice: every sweep value (with `multirun`) times every seed.

    With more than one, each gets a folder of its own under ``run_dir``: ``agent=td3,goal_sampler=prior/seed_2``.
    Raises `UserError` on a bad value.
    """
    combinations = sweep(overrides) if multirun else [list(overrides)]
    base = (
        chosen(overrides, "run_dir", "") or f"runs/{chosen(overrides, 'experiment', DEFAULT_EXPERIMENT)}_{time.strftime('%Y%m%d_%H%M%S')}"
    )
    plans: list[list[str]] = []
    for combination in combinations:
        seeds = whole(combination, "seeds", 1)
        if seeds < 1:
            raise UserError(f"seeds={seeds}: expected at least 1")
        if len(combinations) == 1 and seeds == 1:
            return [[text for text in combination if not text.startswith("seeds=")]]
        swept = [text for text, original in zip(combination, overrides) if text != original and not text.startswith(("seed=", "seeds="))]
        first = whole(combination, "seed", 1)
        rest = [text for text in combination if text.partition("=")[0] not in ("seed", "seeds", "run_dir")]
        for seed in range(first, first + seeds):
            folder = "/".join([base, *([",".join(swept).replace("/", "_")] if swept else []), f"seed_{seed}"])
            plans.append([*rest, f"seed={seed}", f"run_dir={folder}"])
    return plans


def practise_all(plans: Sequence[Sequence[str]]) -> int:
    """Run each of `plans` as ``gcrl practice`` in its own process, after checking all; return the worst exit code.

    A failed practice does not stop the others; Ctrl-C lets the running one end with its checkpoint and report, and starts no more.
    """
    for overrides in plans:
        check_parts(load_settings(overrides))
    worst = 0
    for index, overrides in enumerate(plans):
        print(f"practice {index + 1} of {len(plans)}: {' '.join(overrides)}", flush=True)
        process = subprocess.Popen([sys.executable, "-P", "-m", "gcrl", "practice", *overrides])
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the practice got it too, and is writing its checkpoint and report
            process.wait()
            return 130
        worst = max(worst, code if code >= 0 else 128 - code)
    folders = " ".join(chosen(overrides, "run_dir", "") for overrides in plans)
    print(f"compare them: gcrl report {folders}")
    return worst


def whole(overrides: Sequence[str], key: str, default: int) -> int:
    """Return the whole number given to `key` in `overrides`, or `default`. Raises `UserError` for anything else."""
    text = chosen(overrides, key, str(default))
    value = typed(int(text) if text.lstrip("-").isdigit() else text, int, key)
    assert isinstance(value, int)
    return value
