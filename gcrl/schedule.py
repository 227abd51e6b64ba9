"""When what happens in a run: checks of the schedule, what is requested of each epoch, evaluations beside the practice, refits."""

from __future__ import annotations

from envs.api import TaskEnv
from envs.errors import UserError, unknown
from gcrl.learner import Learner
from gcrl.request import EvaluationOrder, Request, episode_seeds, kept_scenes
from gcrl.settings import Practice, Settings

BASELINES = ("untrained", "random", "zero")
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


def check_schedule(settings: Settings, env: TaskEnv) -> None:
    """Raise `UserError` where the schedule cannot work in `env`."""
    practice = settings.practice
    if not 0 <= settings.max_minutes < float("inf"):
        raise UserError(f"max_minutes={settings.max_minutes}; expected minutes, or 0 for no limit")
    for name, least in AT_LEAST.items():
        if getattr(practice, name) < least:
            raise UserError(f"practice.{name}={getattr(practice, name)}; expected at least {least}")
    if practice.warmup not in WARMUPS:
        raise unknown("practice.warmup", practice.warmup, WARMUPS)
    if practice.on_abort not in ON_ABORT:
        raise unknown("practice.on_abort", practice.on_abort, ON_ABORT)
    n, simulators = practice.episodes_per_epoch, practice.simulators
    if simulators > 1 and not env.capabilities.copies:
        raise UserError(f"practice.simulators={simulators}, but there is only one of {settings.env_id}; expected practice.simulators=1")
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


def evaluations_due(practice: Practice, epoch: int) -> list[EvaluationOrder]:
    """Return what is evaluated beside the collection of `epoch`: first the baselines, one an epoch, then the policy on tuning goals."""
    trained = epoch - practice.random_epochs
    if 0 < trained <= len(BASELINES) and practice.final_goals:
        kind = BASELINES[trained - 1]
        return [EvaluationOrder(kind, kind, "test", practice.final_goals)]
    if practice.eval_every and trained > 0 and trained % practice.eval_every == 0:
        return [EvaluationOrder("eval", goals=practice.eval_episodes)]
    return []


def refit_due(practice: Practice, epoch: int) -> bool:
    """Return whether a representation that needs fitting is refitted in `epoch`."""
    since = epoch + 1 - practice.random_epochs
    return practice.refit_every > 0 and 0 < since <= practice.refit_until and since % practice.refit_every == 0


def request_of(learner: Learner, epoch: int, states: list[bytes] | None, env_steps: int) -> Request:
    """Return the request for `epoch`: goals that are proposed now, seeds, and the present weights."""
    practice = learner.practice
    n, warmup = practice.episodes_per_epoch, epoch < practice.random_epochs
    return Request(
        epoch,
        learner.policy.snapshot(),
        learner.warmup_goals(n, epoch) if warmup else learner.propose(n, epoch),
        episode_seeds(learner.settings.seed, epoch, n),
        practice.warmup if warmup else "policy",
        kept_scenes(practice, epoch),
        states,
        evaluations_due(practice, epoch),
        learner.fits,
        env_steps,
        learner.updates,
    )
