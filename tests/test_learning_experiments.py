"""Learning experiments: what has ended is skipped, and an arm that is another's runs under another plan, or begins with them, waits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_cases import BITFLIP

from benchmarks import learn
from benchmarks.experiment import Experiment
from gcrl.evaluate import evaluate_run

ARM, AGAIN, ON = "dqn", "dqn, replanned", "dqn, trained on"


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where runs are kept of the experiment ``tiny``, whose results lie beside it."""
    arms = {ARM: BITFLIP[1:], ON: [*BITFLIP[1:], f"init_from={ARM}", "practice.epochs=1"]}
    tiny = Experiment("bitflip", "A claim.", arms, seeds=(1,), replanned={AGAIN: (ARM, ["planner=none"])})
    monkeypatch.setitem(learn.EXPERIMENTS, "tiny", tiny)
    monkeypatch.setattr(learn, "RESULTS", tmp_path / "results")
    return tmp_path / "runs"


def test_what_has_ended_is_skipped_and_what_builds_on_other_runs_waits_for_them(keep: Path) -> None:
    result, replanned = (learn.RESULTS / "tiny" / f"{arm}_seed1.json" for arm in (ARM, AGAIN))
    assert f"practising '{ARM}'" in learn.practise("tiny", AGAIN, 1, 1, keep)
    assert not replanned.exists()
    assert f"practising '{ARM}'" in learn.practise("tiny", ON, 1, 1, keep)

    assert "success" in learn.practise("tiny", ARM, 1, 1, keep)
    written = result.read_bytes()
    assert "already there" in learn.practise("tiny", ARM, 1, 1, keep)
    assert result.read_bytes() == written

    assert "success" in learn.practise("tiny", AGAIN, 1, 1, keep)
    own, other = json.loads(written), json.loads(replanned.read_text())
    assert other["command"].endswith("dqn_seed1 planner=none")
    assert (other["env_steps"], other["updates"]) == (own["env_steps"], own["updates"])
    assert other["evaluation"]["success_rate"] == evaluate_run(keep / "tiny" / f"{ARM}_seed1")["success_rate"]

    assert "success" in learn.practise("tiny", ON, 1, 1, keep)
    assert f"init_from={keep / 'tiny' / f'{ARM}_seed1'}" in (keep / "tiny" / f"{ON}_seed1" / "command.txt").read_text()

    table = (learn.RESULTS / "tiny.md").read_text()
    assert all(f"\n| {arm} | 1 | " in table for arm in (ARM, AGAIN, ON))
    replanned.unlink()
    (keep / "tiny").rename(keep / "moved")
    assert "is not there" in learn.practise("tiny", AGAIN, 1, 1, keep)
