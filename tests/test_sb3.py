"""stable-baselines3's own check of an environment accepts every task of the arm."""

from __future__ import annotations

import warnings

import gymnasium
import pytest

import envs

ARM = sorted(env_id for env_id in envs.available() if env_id.startswith("gcrl/") and "StandIn" not in env_id and "Flip" not in env_id)


@pytest.mark.parametrize("env_id", ARM)
def test_stable_baselines3_accepts_it(env_id: str) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gymnasium.make(env_id, disable_env_checker=True).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on ranges and shapes of actions, which is no refusal
        checker.check_env(env, skip_render_check=True)
    env.close()
