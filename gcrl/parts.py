"""Build the parts of a run from its settings, and refuse at once what does not fit together."""

from __future__ import annotations

import dataclasses

import envs
from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.agents.api import Agent
from gcrl.build import build
from gcrl.policy import Policy, input_dim
from gcrl.relabel import Relabel
from gcrl.replay import Replay
from gcrl.rewards import Reward
from gcrl.settings import Settings
from goal_samplers.api import GoalSampler
from representations.api import Representation


def build_env(settings: Settings) -> TaskEnv:
    """Return a new environment of the run."""
    return envs.make(settings.env_id, **settings.env_arguments)


def build_policy(settings: Settings, env: TaskEnv) -> Policy:
    """Return representation and agent, freshly initialised from the run's seed."""
    spaces = env.observation_space
    representation: Representation = build(
        settings.representation, Representation, "representation", observation_space=spaces, seed=settings.seed, device=settings.device
    )
    inputs = settings.practice.inputs
    if not inputs:
        raise UserError("practice.inputs is empty; expected at least one of latent, proprioception, observation")
    agent: Agent = build(
        settings.agent,
        Agent,
        "agent",
        input_dim=input_dim(inputs, spaces, representation.latent_dim),
        goal_dim=representation.latent_dim,
        action_space=env.action_space,
        seed=settings.seed,
        device=settings.device,
    )
    return Policy(representation, agent, inputs)


def build_goal_sampler(settings: Settings, representation: Representation) -> GoalSampler:
    """Return the goal sampler, checked against the representation."""
    sampler: GoalSampler = build(settings.goal_sampler, GoalSampler, "goal_sampler", seed=settings.seed, device=settings.device)
    if hasattr(sampler, "check"):
        sampler.check(representation)
    return sampler


def build_reward(settings: Settings, env: TaskEnv, representation: Representation, sampler: GoalSampler) -> Reward:
    """Return the reward, checked against the goal sampler."""
    reward: Reward = build(settings.reward, Reward, "reward", env=env, representation=representation)
    reward.check(sampler)
    return reward


def build_relabel(settings: Settings) -> Relabel:
    """Return the relabelling mix."""
    known = {"rollout", "future", "final", "next", "sampler"}
    fractions = {name: 0.0 for name in known} | dict(settings.relabel)
    return Relabel(**fractions)


def build_replay(settings: Settings, env: TaskEnv, representation: Representation) -> Replay:
    """Return an empty replay sized by ``practice.capacity``."""
    return Replay(
        env.observation_space,
        env.action_space,
        horizon=env.horizon,
        capacity=settings.practice.capacity,
        latent_dim=representation.latent_dim,
        goal_dim=representation.latent_dim,
        image_goal=env.capabilities.images,
    )


def inference_settings(settings: Settings) -> Settings:
    """Return `settings` for acting only, on the CPU."""
    return dataclasses.replace(settings, device="cpu")
