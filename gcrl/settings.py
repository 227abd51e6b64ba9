"""The settings of a run, typed, with their defaults and what each one means. Hydra fills them; unknown keys are errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Practice:
    """The practice loop's own settings (group ``practice``)."""

    epochs: int = 40  # an epoch: collect, add to replay, update; metrics and a checkpoint at its end; 0 after offline_updates: none
    episodes_per_epoch: int = 16  # each of the environment's horizon of steps, or fewer where it ends early
    updates_per_epoch: int = 800  # agent updates, each on one relabelled minibatch
    random_epochs: int = 4  # first epochs act without the policy and do not update the agent; none after offline_updates
    warmup: str = "random"  # how they act: random, or stay (the policy commanded to stay where the episode starts)
    random_hold: int = 1  # a random action is held for this many steps (5 makes exploration easy)
    energy_share: float = 0.0  # of what is practised in a minibatch: drawn by how far the episode moved the latent, the rest uniformly
    go_explore: float = 0.0  # share of the policy's episodes that go on at random once they are at their goal, whatever proposed it
    planned: bool = True  # go by the planner's subgoals; false: in evaluations alone
    by_subgoal: bool = False  # store a planned episode as one episode for each subgoal, practised toward that
    reached: float = 0.0  # latent distance: learn, of what is practised, from episodes alone that ended as near to their goal; 0: from all
    keep_agent: bool = False  # practice is for planner and sampler alone: the agent stays as offline_updates or init_from made it
    reset_every: int = 1  # episodes per simulator between scene resets; 0: never (reset-free)
    demo_resets: float = 0.0  # share of the policy's episodes that begin in a state of the dataset, toward the end of that episode
    simulators: int = 8  # simulators stepped in lockstep by the collector process; 1 for a robot
    inputs: tuple[str, ...] = ("latent", "proprioception")  # what the policy sees beside the goal
    capacity: int = 200_000  # replay size in rows (frames)
    pool_size: int = 2048  # goals drawn from the sampler each epoch for relabelling
    refit_every: int = 0  # epochs between refits of the representation, to a dataset too by `offline_share`; 0: fit once
    refit_until: int = 1_000_000  # last epoch with a refit
    eval_every: int = 5  # epochs between evaluations on tuning goals; 0: never
    eval_episodes: int = 16  # tuning goals of each such evaluation, spread over all that the environment has
    final_goals: int = 100  # test goals of the evaluation that ends a run
    checkpoint_every: int = 1  # epochs between checkpoints; a run that is killed loses at most as many
    film_goals: int = 10  # commanded goals filmed for the report
    on_abort: str = "stop"  # when a robot aborts an episode: stop (checkpoint, report, end; resume goes on) or continue with the next
    collector_process: bool = True  # false: collect in the learner's own process (for debugging; same results)


@dataclass
class Choice:
    """A class named as ``module:Class`` with its constructor arguments."""

    target: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class Settings:
    """Everything a run is made of; what ``config.yaml`` in the run folder holds."""

    experiment: str
    seed: int
    run_dir: str
    device: str
    max_minutes: float  # 0: no limit
    profile: bool
    torch_threads: int
    practice: Practice
    env_id: str
    env_arguments: dict[str, Any]
    representation: Choice
    goal_sampler: Choice
    agent: Choice
    reward: Choice
    relabel: dict[str, float]  # fractions: rollout, future, final, next, sampler, geometric, random; and the discount of geometric
    actor_goals: dict[str, float] = field(default_factory=dict)  # the same for the goals that actors improve toward; {}: those of relabel
    dataset: str = ""  # a file of episodes to learn from before and while practising; "": none
    offline_updates: int = 0  # agent updates on the dataset before practice begins
    offline_share: float = 0.5  # of each minibatch that comes from the dataset (demonstrations) once practice has begun
    offline_validation: float = 0.0  # of the dataset's episodes held out (its own split `valid` instead, if it has one); 0: none
    goal_space: Choice = field(default_factory=lambda: Choice("goal_samplers.goal_space:LatentGoals"))  # runs of before had no other
    planner: Choice = field(default_factory=lambda: Choice("goal_samplers.planners.direct:Direct"))  # runs of before had no other
    init_from: str = ""  # a run folder whose networks this run starts with; "": none
