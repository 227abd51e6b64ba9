"""A critic that diverges is told by its values before they become NaN, and one that is right is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from agent_cases import batch_of, small
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from run_cases import BITFLIP, settings

from gcrl.divergence import MARGIN, diverging
from gcrl.metrics_log import read_metrics
from gcrl.practice import Practice

TD3_AGENT = small("td3")


@hypothesis_settings(deadline=None, max_examples=20)
@given(reward=st.floats(0.1, 100), share=st.floats(-1, 1))
def test_values_that_rewards_can_sum_to_are_no_reason_to_warn(reward: float, share: float) -> None:
    value = share * reward / (1 - 0.98)
    assert diverging(TD3_AGENT, {"agent/q_min": value, "agent/q_max": value}, reward, 1) == ""


def test_a_warning_names_agent_value_range_and_what_to_turn() -> None:
    said = diverging(small("td3"), {"agent/q_min": -3.0, "agent/q_max": 1001.0}, 2.0, 700)
    assert "TD3" in said
    assert "q_max is 1e+03 at update 700" in said
    assert "±2 with discount 0.98 sum to ±100" in said
    for option in ("agent.lr", "agent.tau", "agent.discount", "agent.reward_range", "agent.layer_norm"):
        assert option in said
    assert "layer_norm" not in diverging(small("dqn"), {"agent/q_max": 1e9}, 1.0, 1)
    assert "\n" not in said


def test_an_entropy_bonus_counts_as_reward_and_agents_without_values_are_not_judged() -> None:
    metrics = {"agent/q_max": 60 * MARGIN, "agent/q_min": 0.0, "agent/temperature": 1.0, "agent/entropy": 1.0}
    assert diverging(small("sac"), metrics, 1.0, 1) == ""
    assert diverging(small("td3"), {name: metrics[name] for name in ("agent/q_max", "agent/q_min")}, 1.0, 1) != ""
    assert diverging(small("gcbc"), {"agent/actor_loss": 1e9}, 1.0, 1) == ""


def test_values_that_are_no_sums_of_rewards_are_judged_by_the_agent() -> None:
    for kind, honest in (("crl", 25.0), ("qrl", 700.0)):
        agent = small(kind)
        name = "q_max" if kind == "crl" else "v_min"
        assert name in agent.update(batch_of(kind, np.random.default_rng(0)))
        assert diverging(agent, {f"agent/{name}": honest}, 0.0, 1) == ""
        said = diverging(agent, {f"agent/{name}": -1e5}, 0.0, 9)
        assert f"{name} is -1e+05 at update 9, but such values stay within ±" in said
        assert "try a lower agent.lr" in said


def test_every_agent_that_learns_from_rewards_shows_the_range_of_its_values() -> None:
    for kind in ("sac", "td3", "awac", "iql", "ivl", "dqn"):
        metrics = small(kind).update(batch_of(kind, np.random.default_rng(0)))
        assert {"q_min", "q_max"} <= metrics.keys() or {"v_min", "v_max"} <= metrics.keys()


def test_a_run_says_it_once_an_epoch_and_notes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["practice.updates_per_epoch=300", "practice.random_epochs=0", "agent.reward_range=null"]
    run = Practice(settings(BITFLIP, tmp_path / "run", *more))
    for network in (run.learner.agent.network, run.learner.agent.target_network):
        network.layers[-1][1].data.fill_(1e6)  # both have run away
    run.step()
    run.close()
    assert capsys.readouterr().err.count("may be diverging") == 1
    assert read_metrics(tmp_path / "run")[0]["agent/diverging"] == 1.0
