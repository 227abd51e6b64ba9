"""Build the parts of a run from its settings, and refuse at once what does not fit together."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping

import torch

import envs
from envs.api import TaskEnv
from envs.errors import UserError, unknown
from gcrl.agents.api import Agent
from gcrl.build import build
from gcrl.policy import Policy, input_dim
from gcrl.relabel import Relabel
from gcrl.replay import Replay
from gcrl.rewards import Reward
from gcrl.settings import Settings
from goal_samplers.api import GoalSampler
from goal_samplers.goal_space import GoalSpace
from goal_samplers.planners.api import SubgoalPlanner
from goal_samplers.planners.direct import Direct
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
    goal_space: GoalSpace = build(settings.goal_space, GoalSpace, "goal_space", latent_dim=representation.latent_dim)
    agent: Agent = build(
        settings.agent,
        Agent,
        "agent",
        input_dim=input_dim(inputs, spaces, representation.latent_dim),
        goal_dim=goal_space.dim,
        action_space=env.action_space,
        seed=settings.seed,
        device=settings.device,
    )
    if getattr(agent, "latent_first", False) and inputs[0] != "latent":
        raise UserError(
            f"agent {type(agent).__name__} was given practice.inputs=[{', '.join(inputs)}]; expected its picture or grid, latent, first"
        )
    planner: SubgoalPlanner = build(settings.planner, SubgoalPlanner, "planner", goal_space=goal_space, seed=settings.seed)
    asks_agent = any(getattr(planner, name, False) for name in ("plans_by_value", "plans_by_agent"))
    if asks_agent and tuple(inputs) != ("latent",):
        raise UserError(
            f"planner {type(planner).__name__} asks the agent about latents alone, and the policy sees "
            f"practice.inputs=[{', '.join(inputs)}]; expected practice.inputs=[latent]"
        )
    return Policy(representation, agent, inputs, goal_space, planner)


def build_goal_sampler(settings: Settings, representation: Representation) -> GoalSampler:
    """Return the goal sampler, checked against the representation."""
    sampler: GoalSampler = build(settings.goal_sampler, GoalSampler, "goal_sampler", seed=settings.seed, device=settings.device)
    if hasattr(sampler, "check"):
        sampler.check(representation)
    return sampler


def build_reward(settings: Settings, env: TaskEnv, policy: Policy, sampler: GoalSampler) -> Reward:
    """Return the reward, checked against the goal sampler and what goals are."""
    space, given = policy.goal_space, {"env": env, "env_id": settings.env_id, "representation": policy.representation}
    reward: Reward = build(settings.reward, Reward, "reward", goal_space=space, **given)
    reward.check(sampler)
    require_pieces(settings, env, policy, reward)
    if space.dim != space.latent_dim and not getattr(reward, "any_goal_space", False):
        raise UserError(
            f"reward {type(reward).__name__} takes a goal for one place, and goals are {type(space).__name__} here; "
            "expected reward=goal_density, or goal_space=latent"
        )
    return reward


def require_pieces(settings: Settings, env: TaskEnv, policy: Policy, reward: Reward) -> None:
    """Raise `UserError` where planned episodes cannot be stored piece by piece (``practice.by_subgoal``), or must be and are not."""
    if not settings.practice.epochs:
        return
    if not settings.practice.by_subgoal:
        if getattr(policy.planner, "attempts", None) is not None:
            raise UserError(
                "planner.attempt_weight learns from attempts at subgoals, and practice would store whole episodes; "
                "expected practice.by_subgoal=true, or planner.attempt_weight=0"
            )
        return
    if isinstance(policy.planner, Direct) or not settings.practice.planned:
        found = "practice.planned=false" if not settings.practice.planned else "planner=none"
        raise UserError(f"practice.by_subgoal=true cuts episodes at a planner's subgoals; expected planner=ptp or another, got {found}")
    if env.capabilities.images and not hasattr(policy.representation, "decode"):
        name = type(policy.representation).__name__
        raise UserError(
            f"practice.by_subgoal=true needs pictures of subgoals, and {name} draws none; expected a representation with a decoder"
        )
    if "achieved_goal" in reward.needs:
        raise UserError(
            f"practice.by_subgoal=true: reward {type(reward).__name__} needs the state of goals, and nobody knows that of a subgoal; "
            "expected a reward on latents, such as reward=sparse reward.on=latent"
        )


def build_relabel(given: Mapping[str, float], name: str = "relabel") -> Relabel:
    """Return the relabelling mix of the fractions that are `given`; the others are 0. Raises `UserError` for an unknown one."""
    known = [parameter for parameter in inspect.signature(Relabel).parameters if parameter not in ("discount", "name")]
    for key in given:
        if key not in (*known, "discount"):
            raise unknown(f"{name} fraction", key, known)
    return Relabel(**({fraction: 0.0 for fraction in known} | dict(given)), name=name)


def require_relabel(agent: Agent, relabel: Mapping[str, float], actor_goals: Mapping[str, float]) -> None:
    """Raise `UserError` where goals are relabelled in a way that an agent which says what it needs (``relabels``) cannot learn from."""
    suits = getattr(agent, "relabels", None)
    of_actor = bool(actor_goals) and getattr(agent, "policy_alone", False)
    mix, group = (actor_goals, "actor_goals") if of_actor else (relabel, "relabel")
    for part, fraction in mix.items():
        if suits is not None and fraction and part not in (*suits, "discount"):
            raise UserError(
                f"agent {type(agent).__name__} cannot learn from {group}.{part}={fraction:g}; expected {' or '.join(suits)} goals alone, "
                f"as with relabel={suits[0]}"
            )


def require_actor_goals(agent: Agent, actor_goals: Mapping[str, float]) -> None:
    """Raise `UserError` for goals of actors alone where the agent's policy follows its critics for the batch's goals and no others."""
    if actor_goals and not getattr(agent, "actor_goals", True):
        given = " ".join(f"actor_goals.{part}={fraction:g}" for part, fraction in actor_goals.items())
        raise UserError(
            f"{given}: agent {type(agent).__name__} improves its policy for the goals of its values, not for others; expected actor_goals "
            "with an agent such as iql, gciql, gcivl or awac"
        )


def require_fixed_latents(settings: Settings, policy: Policy) -> None:
    """Raise `UserError` where goals that were fitted to latents would outlive them."""
    if settings.practice.refit_every and policy.representation.needs_fit and policy.goal_space.dim != policy.goal_space.latent_dim:
        raise UserError(
            f"practice.refit_every={settings.practice.refit_every} moves the latents that goals were fitted in "
            f"({type(policy.goal_space).__name__}); expected practice.refit_every=0"
        )


def require_values(part: GoalSampler | SubgoalPlanner, what: str, agent: Agent) -> None:
    """Raise `UserError` where a part (`what`: "goal sampler") asks for values, their spread or subgoals, which the agent lacks."""
    wanted = f"{what} {type(part).__name__}"
    if (getattr(part, "needs_value", False) or getattr(part, "plans_by_value", False)) and not hasattr(agent, "value"):
        raise UserError(f"{wanted} needs an agent with values, and {type(agent).__name__} has none; expected one such as sac, td3 or iql")
    if getattr(part, "plans_by_agent", False) and not hasattr(agent, "subgoals"):
        raise UserError(f"{wanted} needs an agent of subgoals, and {type(agent).__name__} is none; expected agent=hiql")
    if getattr(part, "needs_value_spread", False) and getattr(agent, "value_spread", None) is None:
        raise UserError(
            f"{wanted} needs critics that may disagree, and {type(agent).__name__} has no two of them; expected an agent such as sac, "
            "with agent.critics of at least 2"
        )


def build_replay(settings: Settings, env: TaskEnv, policy: Policy, *, horizon: int = 0, capacity: int = 0) -> Replay:
    """Return an empty replay of `capacity` rows (0: ``practice.capacity``) for episodes of up to `horizon` steps (0: the environment's)."""
    representation = policy.representation
    replay = Replay(
        env.observation_space,
        env.action_space,
        horizon=horizon or env.horizon,
        capacity=capacity or settings.practice.capacity,
        goal_space=policy.goal_space,
        image_goal=env.capabilities.images,
        latent_key=getattr(representation, "stored_as", ""),
    )
    return replay


def inference_settings(settings: Settings) -> Settings:
    """Return `settings` for acting only, on the CPU."""
    return dataclasses.replace(settings, device="cpu")


def require_machine(settings: Settings) -> None:
    """Raise `UserError` for a seed, a number of threads or a device that this machine cannot use."""
    if settings.seed < 0:
        raise UserError(f"seed={settings.seed}; expected at least 0")
    if settings.torch_threads < 1:
        raise UserError(f"torch_threads={settings.torch_threads}; expected at least 1")
    try:
        torch.zeros(1, device=settings.device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # AssertionError: torch was built without it
        first = str(error).splitlines()[0]
        raise UserError(f"device={settings.device} cannot be used ({first}); expected one that torch has here, such as cpu") from error
