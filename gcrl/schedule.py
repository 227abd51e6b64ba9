"""When what happens in a run: checks of the schedule, what is requested of each epoch, evaluations beside the practice, refits."""

from __future__ import annotations

from envs.api import TaskEnv
from envs.errors import UserError, unknown
from gcrl.learner import Learner
from gcrl.request import EvaluationOrder, Request, episode_seeds, kept_scenes
from gcrl.settings import Settings

BASELINES = ("untrained", "random", "zero")
OFFLINE = "offline"  # the policy that the dataset alone made
WARMUPS = ("random", "stay")
ON_ABORT = ("stop", "continue")
AT_LEAST = {
    "epochs": 1,
    "episodes_per_epoch": 1,
    "updates_per_epoch": 0,
    "random_epochs": 0,
    "random_hold": 1,
    "reset_every": 0,
    "simulators": 1,
    "pool_size": 1,
    "refit_every": 0,
    "eval_every": 0,
    "eval_episodes": 1,
    "final_goals": 0,
    "checkpoint_every": 1,
    "film_goals": 0,
}


def offline_epochs(settings: Settings) -> int:
    """Return how many epochs learn from the dataset alone, before practice begins."""
    updates, each = settings.offline_updates, settings.practice.updates_per_epoch
    return -(-updates // each) if updates else 0


def warmup_epochs(settings: Settings) -> int:
    """Return how many epochs of practice act at random: none where the policy has learnt from a dataset."""
    return 0 if settings.offline_updates else settings.practice.random_epochs


def total_epochs(settings: Settings) -> int:
    """Return the epochs of a whole run: those on the dataset alone, then those of practice."""
    return offline_epochs(settings) + settings.practice.epochs


def updates_of(settings: Settings, epoch: int) -> int:
    """Return how many agent updates `epoch` makes."""
    each = settings.practice.updates_per_epoch
    if epoch < offline_epochs(settings):
        return min(each, settings.offline_updates - epoch * each)
    return 0 if settings.practice.keep_agent else each


def check_schedule(settings: Settings, env: TaskEnv) -> None:
    """Raise `UserError` where the schedule cannot work in `env`."""
    practice = settings.practice
    if not 0 <= settings.max_minutes < float("inf"):
        raise UserError(f"max_minutes={settings.max_minutes}; expected minutes, or 0 for no limit")
    without_practice = {"epochs": 0} if settings.offline_updates else {}  # there is something to do then
    for name, least in (AT_LEAST | without_practice).items():
        if getattr(practice, name) < least:
            alone = ", or 0 with offline_updates of at least 1, which learn from a dataset alone" if name == "epochs" and least else ""
            raise UserError(f"practice.{name}={getattr(practice, name)}; expected at least {least}{alone}")
    if practice.warmup not in WARMUPS:
        raise unknown("practice.warmup", practice.warmup, WARMUPS)
    if settings.offline_updates < 0:
        raise UserError(f"offline_updates={settings.offline_updates}; expected at least 0")
    if settings.offline_updates and not practice.updates_per_epoch:
        raise UserError(f"offline_updates={settings.offline_updates} with practice.updates_per_epoch=0; expected at least 1 of the latter")
    if settings.offline_updates and not settings.dataset:
        raise UserError(f"offline_updates={settings.offline_updates} need something to learn from; expected dataset=FILE")
    if practice.keep_agent and not (settings.offline_updates or settings.init_from):
        raise UserError("practice.keep_agent=true keeps an agent that has learnt nothing; expected offline_updates or init_from")
    if not 0 <= settings.practice.energy_share <= 1:
        raise UserError(f"practice.energy_share={settings.practice.energy_share}; expected a share between 0 and 1")
    if not 0 <= settings.practice.go_explore <= 1:
        raise UserError(f"practice.go_explore={settings.practice.go_explore}; expected a share between 0 and 1")
    if practice.by_subgoal and practice.go_explore:
        raise UserError(
            f"practice.by_subgoal=true with practice.go_explore={practice.go_explore}, whose random steps are toward no subgoal; "
            "expected one of the two"
        )
    if not 0 <= practice.reached < float("inf"):
        raise UserError(f"practice.reached={practice.reached}; expected a latent distance, or 0 for all episodes")
    if practice.reached and practice.energy_share:
        raise UserError(f"practice.reached={practice.reached} with practice.energy_share={practice.energy_share}; expected one of the two")
    if not 0 <= settings.offline_share <= 1:
        raise UserError(f"offline_share={settings.offline_share}; expected a share between 0 and 1")
    if settings.dataset and not settings.offline_updates and not settings.offline_share and not practice.demo_resets:
        raise UserError(f"dataset={settings.dataset} with offline_share=0 and offline_updates=0 is not learnt from; expected one above 0")
    rows = settings.agent.arguments.get("batch_size", 0)
    if settings.dataset and settings.offline_share and rows and not round(rows * settings.offline_share):
        raise UserError(
            f"offline_share={settings.offline_share:g} of agent.batch_size={rows} rows is none; expected at least {1 / rows:.2g}, or 0"
        )
    if not 0 <= settings.offline_validation < 1:
        raise UserError(f"offline_validation={settings.offline_validation}; expected a share of at least 0 and less than 1")
    if practice.on_abort not in ON_ABORT:
        raise unknown("practice.on_abort", practice.on_abort, ON_ABORT)
    n, simulators = practice.episodes_per_epoch, practice.simulators
    if simulators > 1 and not env.capabilities.copies:
        raise UserError(f"practice.simulators={simulators}, but there is only one of {settings.env_id}; expected practice.simulators=1")
    if practice.epochs == 0:
        return  # nothing is collected
    rows = n * (env.horizon + 1) + env.horizon
    if practice.capacity < rows:
        raise UserError(f"practice.capacity={practice.capacity} rows hold less than an epoch's {n} episodes; expected at least {rows}")
    if practice.reset_every != 1 and n % simulators:
        raise UserError(
            f"practice.episodes_per_epoch={n} is not a multiple of practice.simulators={simulators}, which reset-free practice needs; "
            f"expected e.g. {-(-n // simulators) * simulators}, so that every simulator runs the same number of episodes"
        )
    if practice.reset_every != 1 and env.capabilities.reset and not env.capabilities.state:  # what cannot be reset goes on as it stands
        raise UserError(
            f"practice.reset_every={practice.reset_every} goes on from where a scene stood, and this environment cannot save its state; "
            "expected practice.reset_every=1"
        )


def evaluations_due(settings: Settings, epoch: int) -> list[EvaluationOrder]:
    """Return what is evaluated beside the collection of `epoch`: first the baselines, one an epoch, then the policy on tuning goals.

    The policy that the dataset alone made is evaluated beside the second epoch of practice: weights are sent an epoch ahead. It is
    measured on the test goals too, like the baselines, so that what practice added can be told; of a single epoch of practice it cannot.
    Where no practice follows, the evaluation that ends the run is the one of what the dataset alone made.
    """
    practice, offline = settings.practice, offline_epochs(settings)
    switch = bool(offline) and epoch == offline + 1
    at_switch = [EvaluationOrder(OFFLINE, split="test", goals=practice.final_goals)] if switch and practice.final_goals else []
    trained = epoch - (0 if offline else warmup_epochs(settings))
    if 0 < trained <= len(BASELINES) and practice.final_goals:
        kind = BASELINES[trained - 1]
        return [EvaluationOrder(kind, kind, "test", practice.final_goals), *at_switch]
    due = trained % practice.eval_every == 0 or switch if practice.eval_every else False
    if due and trained > 0:
        return [EvaluationOrder("eval", goals=practice.eval_episodes), *at_switch]
    return at_switch


def refit_due(settings: Settings, epoch: int) -> bool:
    """Return whether a representation that needs fitting is refitted in `epoch`; never while the dataset is all there is."""
    practice = settings.practice
    since = epoch - offline_epochs(settings) + 1 - warmup_epochs(settings)
    return practice.refit_every > 0 and 0 < since <= practice.refit_until and since % practice.refit_every == 0


def request_of(learner: Learner, epoch: int, states: list[bytes] | None, env_steps: int) -> Request:
    """Return the request for `epoch`: goals that are proposed now, seeds, and the present weights."""
    practice, offline = learner.practice, offline_epochs(learner.settings)
    n, warmup = practice.episodes_per_epoch, epoch - offline < warmup_epochs(learner.settings)
    goals = None
    if epoch >= offline:
        goals = learner.warmup_goals(n, epoch) if warmup else learner.propose(n, epoch)
    keep = kept_scenes(practice, max(0, epoch - offline))
    if goals is not None and learner.demo_resets is not None and not warmup:
        goals = learner.demo_resets(goals, keep, learner.generator)
    return Request(
        epoch,
        learner.policy.snapshot(),
        goals,
        episode_seeds(learner.settings.seed, epoch, n),
        practice.warmup if warmup else "policy",
        keep,
        states,
        evaluations_due(learner.settings, epoch),
        learner.fits,
        env_steps,
        learner.updates,
    )
