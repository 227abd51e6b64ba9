"""Learning experiments: what has ended is skipped, and an arm that is another's runs under another plan waits for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_cases import BITFLIP

from benchmarks import learn
from benchmarks.experiment import Experiment
from gcrl.evaluate import evaluate_run

ARM, AGAIN = "dqn", "dqn, replanned"


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where runs are kept of the experiment ``tiny``, whose results lie beside it."""
    tiny = Experiment("bitflip", "A claim.", {ARM: BITFLIP[1:]}, seeds=(1,), replanned={AGAIN: (ARM, ["planner=none"])})
    monkeypatch.setitem(learn.EXPERIMENTS, "tiny", tiny)
    monkeypatch.setattr(learn, "RESULTS", tmp_path / "results")
    return tmp_path / "runs"


def test_what_has_ended_is_skipped_and_other_plans_wait_for_their_runs(keep: Path) -> None:
    result, replanned = (learn.RESULTS / "tiny" / f"{arm}_seed1.json" for arm in (ARM, AGAIN))
    assert f"practising '{ARM}'" in learn.practise("tiny", AGAIN, 1, 1, keep)
    assert not replanned.exists()

    assert "success" in learn.practise("tiny", ARM, 1, 1, keep)
    written = result.read_bytes()
    assert "already there" in learn.practise("tiny", ARM, 1, 1, keep)
    assert result.read_bytes() == written

    assert "success" in learn.practise("tiny", AGAIN, 1, 1, keep)
    own, other = json.loads(written), json.loads(replanned.read_text())
    assert other["command"].endswith("dqn_seed1 planner=none")
    assert (other["env_steps"], other["updates"]) == (own["env_steps"], own["updates"])
    assert other["evaluation"]["success_rate"] == evaluate_run(keep / "tiny" / f"{ARM}_seed1")["success_rate"]

    table = (learn.RESULTS / "tiny.md").read_text()
    assert all(f"\n| {arm} | 1 | " in table for arm in (ARM, AGAIN))
    replanned.unlink()
    (keep / "tiny").rename(keep / "moved")
    assert "is not there" in learn.practise("tiny", AGAIN, 1, 1, keep)
