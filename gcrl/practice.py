"""The practice loop: propose goals, try them, learn from the attempts, propose better goals.

    goal_sampler.sample ─▶ collector rolls the policy out ─▶ replay and dataset file
          ▲                                                         │
    agent.update(relabelled batches) ◀─ representation.fit, re-encode

The collector works on epoch k + 1 with the policy as it was before epoch k's updates, while the learner learns from epoch k.
"""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from envs.errors import UserError
from gcrl import checkpoint
from gcrl.collector import Collector, Result
from gcrl.config import read_settings, write_settings
from gcrl.faults import fault
from gcrl.learner import Learner
from gcrl.metrics_log import MetricsLog
from gcrl.outcome import BASELINES, finish, log_evaluation
from gcrl.practice_data import open_reader, open_writer, require_space
from gcrl.progress import Progress
from gcrl.request import EvaluationOrder, Request, episode_seeds, kept_scenes
from gcrl.settings import Settings
from gcrl.stopwatch import Stopwatch
from gcrl.system import write_system


class Practice:
    """One run: a learner, a collector and the files that record them. `step` is one epoch."""

    def __init__(self, settings: Settings, resume: bool = False) -> None:
        self.settings, self.practice = settings, settings.practice
        self.folder = Path(settings.run_dir)
        check_schedule(settings)
        self.learner = Learner(settings)
        self.watch = Stopwatch()
        self.epoch, self.env_steps, self.wall = 0, 0, 0.0
        self.stop_asked = False
        if not resume:
            self.start_folder()
        state = checkpoint.load(self.folder / "checkpoint") if resume and (self.folder / "checkpoint/latest.json").exists() else None
        if state is not None:
            self.epoch, self.env_steps, self.wall = state["epoch"], state["env_steps"], state["wall_s"]
        data, goal_dim = self.folder / "practice.h5", self.learner.representation.latent_dim
        self.writer = open_writer(data, settings, self.learner.env, goal_dim, keep_episodes=state["episodes"] if state else 0)
        if state is not None:
            with open_reader(data) as reader:
                self.learner.load_state_dict(state["learner"], reader)
        self.log = MetricsLog(self.folder, keep_epochs=self.epoch)
        self.collector = Collector(settings)
        self.states: list[bytes] | None = None
        self.request = Request.from_tree(state["request"]) if state and state["request"] else None
        self.progress = Progress(self.practice.epochs, self.epoch, self.env_steps, max(0.0, settings.max_minutes * 60 - self.wall))
        self.started = time.perf_counter() - self.wall

    def start_folder(self) -> None:
        """Make the run folder, refusing one that is in use."""
        if (self.folder / "config.yaml").exists():
            raise UserError(f"run_dir={self.folder} already holds a run; `gcrl resume {self.folder}` goes on, or choose another run_dir")
        require_space(self.folder, self.settings, self.learner.env)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_settings(self.settings, self.folder / "config.yaml")
        (self.folder / "command.txt").write_text(shlex.join(["gcrl", *sys.argv[1:]]) + "\n", encoding="utf-8")
        write_system(self.folder)

    # one epoch ---------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Receive this epoch's episodes, ask for the next ones, learn, log and save."""
        epoch, learner, watch, practice = self.epoch, self.learner, self.watch, self.practice
        if self.collector.in_flight is None:
            self.request = self.request or self.next_request(epoch)
            self.collector.send(self.request)
        metrics: dict[str, Any] = {}
        request = self.request
        assert request is not None
        with watch("wait for episodes"):
            result = self.collector.receive()
        metrics |= self.store(result, request)
        if not learner.fitted and epoch + 1 >= practice.random_epochs:
            self.progress.phase("first fit of the representation")
            with watch("first fit"):
                metrics |= named("representation", learner.fit_representation())
        with watch("propose goals"):
            self.request = self.next_request(epoch + 1) if epoch + 1 < practice.epochs else None
        if self.request is not None:
            self.collector.send(self.request)
        if self.refit_due(epoch):
            with watch("refit"):
                metrics |= named("representation", learner.fit_representation())
        if learner.fitted and epoch + 1 >= practice.random_epochs:
            with watch("fit sampler"):
                metrics |= named("goals", learner.prepare(epoch))
            self.progress.phase("update")
            with watch("update"):
                metrics |= learner.update(practice.updates_per_epoch)
        self.epoch += 1
        self.wall = time.perf_counter() - self.started
        metrics |= {"env_steps": self.env_steps, "updates": learner.updates, "wall_s": self.wall, "collector/restarts": self.collector.restarts}
        metrics |= {f"time/{name}": seconds for name, seconds in watch.lap().items()}
        self.log.write(epoch, metrics)
        if self.epoch % practice.checkpoint_every == 0 or self.epoch == practice.epochs:
            self.save()
        self.progress.epoch(self.env_steps, metrics.get("eval/success_rate"))
        fault("epoch:end")

    def store(self, result: Result, request: Request) -> dict[str, Any]:
        """Put a result's episodes into replay and dataset file; return what the epoch's metrics say of them."""
        episodes = result.episodes
        assert episodes is not None
        self.states = result.states
        with self.watch("store"):
            self.learner.add(episodes, request.fits)
            self.writer.append(episodes)
        self.env_steps += episodes.steps
        metrics: dict[str, Any] = {"episodes": len(self.writer), "collector/seconds": result.seconds}
        if hasattr(self.learner.env, "coverage"):
            achieved = episodes.observations["achieved_goal"]
            rows = np.concatenate([achieved[index, : length + 1] for index, length in enumerate(episodes.lengths)])
            metrics |= named("achieved", self.learner.env.coverage(rows))
        for name, evaluation in result.evaluations.items():
            metrics |= log_evaluation(self.folder, name, evaluation, request)
        return metrics

    def next_request(self, epoch: int) -> Request:
        """Return the request for `epoch`: goals, seeds and the present weights."""
        practice, learner = self.practice, self.learner
        n = practice.episodes_per_epoch
        warmup = epoch < practice.random_epochs
        goals = learner.no_goals(n) if warmup else learner.propose(n, epoch)
        trained = epoch - practice.random_epochs
        orders = []
        if 0 < trained <= len(BASELINES):  # one an epoch, while the learner is busy anyway
            orders = [EvaluationOrder(BASELINES[trained - 1], BASELINES[trained - 1], "test", practice.final_goals)]
        elif practice.eval_every and trained > 0 and trained % practice.eval_every == 0:
            orders = [EvaluationOrder("eval", goals=practice.eval_episodes)]
        return Request(
            epoch,
            learner.policy.snapshot(),
            goals,
            episode_seeds(self.settings.seed, epoch, n),
            practice.warmup if warmup else "policy",
            kept_scenes(practice, epoch),
            self.states,
            orders,
            learner.fits,
            self.env_steps,
            learner.updates,
        )

    def refit_due(self, epoch: int) -> bool:
        """Return whether the representation is refitted in this epoch."""
        every, since = self.practice.refit_every, epoch + 1 - self.practice.random_epochs
        return every > 0 and self.learner.representation.needs_fit and 0 < since <= self.practice.refit_until and since % every == 0

    def save(self) -> None:
        """Write a checkpoint: everything but the frames, which the dataset file holds."""
        with self.watch("checkpoint"):
            state = {
                "epoch": self.epoch,
                "env_steps": self.env_steps,
                "wall_s": self.wall,
                "episodes": len(self.writer),
                "learner": self.learner.state_dict(),
                "request": self.request.to_tree() if self.request else None,
            }
            checkpoint.save(self.folder / "checkpoint", state)

    # a whole run ---------------------------------------------------------------------------------------------------------

    def run(self) -> Path:
        """Practise to the end (or Ctrl-C, or ``max_minutes``), evaluate on the test goals, write the report; return the run folder."""
        previous = signal.getsignal(signal.SIGINT)
        if previous is not None:
            signal.signal(signal.SIGINT, self.interrupt)
        try:
            while self.epoch < self.practice.epochs and not self.stop_asked:
                self.step()
                if self.settings.max_minutes and self.wall > 60 * self.settings.max_minutes:
                    self.progress.say(f"max_minutes={self.settings.max_minutes:g} reached")
                    break
            if self.epoch and self.epoch % self.practice.checkpoint_every:
                self.save()
            finish(self)
        finally:
            signal.signal(signal.SIGINT, previous)
            self.close()
        return self.folder

    def interrupt(self, *_: Any) -> None:
        """On the first Ctrl-C end after this epoch; on the second, at once."""
        if self.stop_asked:
            raise KeyboardInterrupt
        self.stop_asked = True
        self.progress.say("stopping after this epoch, with a checkpoint and a report; press Ctrl-C again to stop at once")

    def close(self) -> None:
        """Close files, simulators and the collector."""
        self.collector.close()
        self.writer.close()
        self.log.close()
        self.progress.close()
        self.learner.close()


def named(group: str, metrics: dict[str, float]) -> dict[str, float]:
    """Return `metrics` with `group/` before each name."""
    return {f"{group}/{name}": value for name, value in metrics.items()}


def check_schedule(settings: Settings) -> None:
    """Raise `UserError` where the schedule cannot work."""
    practice = settings.practice
    for name in ("epochs", "episodes_per_epoch", "simulators", "checkpoint_every", "random_hold"):
        if getattr(practice, name) < 1:
            raise UserError(f"practice.{name}={getattr(practice, name)}; expected at least 1")
    if practice.warmup not in ("random", "stay"):
        raise UserError(f"practice.warmup='{practice.warmup}'; expected one of: random, stay")
    if practice.episodes_per_epoch % practice.simulators and practice.reset_every != 1:
        raise UserError(
            f"practice.episodes_per_epoch={practice.episodes_per_epoch} is not a multiple of practice.simulators={practice.simulators}, "
            "which reset-free practice needs: every simulator must run the same number of episodes"
        )


def practice(settings: Settings) -> Path:
    """Run a practice phase from its settings and return its run folder."""
    return Practice(settings).run()


def resume(path: str | Path) -> Path:
    """Go on with an interrupted run; on a CPU the result equals that of an uninterrupted one, bit for bit.

    Raises:
        UserError: `path` is no run folder, or its checkpoint or dataset is damaged.
    """
    folder = Path(path)
    if not (folder / "config.yaml").exists():
        raise UserError(f"{folder} is not a run folder: it has no config.yaml; expected what `gcrl practice run_dir=...` made")
    settings = read_settings(folder / "config.yaml")
    settings.run_dir = str(folder)
    return Practice(settings, resume=True).run()
