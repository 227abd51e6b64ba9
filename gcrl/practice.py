"""The practice loop: propose goals, try them, learn from the attempts, propose better goals.

    goal_sampler.sample ─▶ collector rolls the policy out ─▶ replay and dataset file
          ▲                                                         │
    agent.update(relabelled batches) ◀─ representation.fit, re-encode

The collector works on epoch k + 1 with the policy as it was before epoch k's updates, while the learner learns from epoch k.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.errors import UserError
from gcrl import checkpoint
from gcrl.collector import Collector
from gcrl.config import read_settings, with_more_epochs
from gcrl.data import Reader
from gcrl.faults import fault
from gcrl.interrupt import Interrupt
from gcrl.learner import Learner
from gcrl.metrics_log import MetricsLog
from gcrl.outcome import finish, has_finished, log_collection, named
from gcrl.plan_quality import fallback_warning
from gcrl.practice_data import open_writer
from gcrl.progress import Progress
from gcrl.request import Request
from gcrl.run_folder import checkpoint_of, keep_settings, refuse_used, require_alike, start_folder
from gcrl.schedule import BASELINES, check_schedule, offline_epochs, refit_due, request_of, total_epochs, updates_of, warmup_epochs
from gcrl.settings import Settings
from gcrl.stopwatch import Stopwatch
from gcrl.world import Result


class Practice:
    """One run: a learner, a collector and the files that record them. `step` is one epoch."""

    def __init__(self, settings: Settings, resume: bool = False) -> None:
        self.settings, self.practice = settings, settings.practice
        self.folder = Path(settings.run_dir)
        if not resume:
            refuse_used(self.folder)
        self.learner = Learner(settings)
        check_schedule(settings, self.learner.env)
        self.watch = Stopwatch()
        self.epochs, self.offline_epochs, self.warmup_epochs = total_epochs(settings), offline_epochs(settings), warmup_epochs(settings)
        self.epoch, self.env_steps, self.wall, self.stopped, restarts = 0, 0, 0.0, "", 0
        self.states: list[bytes] | None = None
        self.request: Request | None = None
        saved = resume and (self.folder / "checkpoint" / checkpoint.INDEX).exists()
        state = checkpoint.load(self.folder / "checkpoint") if saved else None
        if not resume and settings.init_from:
            start = Path(settings.init_from)
            require_alike(settings, start)
            with checkpoint_of(start):
                self.learner.start_from(checkpoint.load(start / "checkpoint")["learner"])
        if state is None:
            self.request = self.next_request(0)  # whatever does not fit together says so before there is a folder
        needed = 0 if resume else start_folder(self.folder, settings, self.learner.env)
        data, goal_dim = self.folder / "practice.h5", self.learner.policy.goal_space.dim
        with checkpoint_of(self.folder):
            episodes = 0 if state is None else int(state["episodes"])
            self.writer = open_writer(data, settings, self.learner.env, goal_dim, keep_episodes=episodes)
            if state is not None:
                self.epoch, self.env_steps, self.wall = state["epoch"], state["env_steps"], state["wall_s"]
                restarts = state["restarts"]
                self.request = Request.from_tree(state["request"]) if state["request"] else None
                with Reader(data) as reader:
                    self.learner.load_state_dict(state["learner"], reader)
                if self.request is None and self.epoch < self.epochs:
                    self.request = self.next_request(self.epoch)  # it had finished, and is given more epochs
        self.log = MetricsLog(self.folder, keep_epochs=self.epoch)
        self.collector = Collector(settings, restarts)
        self.deadline = 60 * settings.max_minutes
        if self.deadline and self.wall >= self.deadline:
            self.deadline += self.wall  # a run that used its time up and is resumed is given as much again
        self.progress = Progress(self.epochs, self.epoch, self.env_steps, max(0.0, self.deadline - self.wall))
        self.interrupt = Interrupt("stopping after this epoch, with a checkpoint and a report", self.progress.say)
        if needed:
            self.progress.say(f"will write about {needed / 1e6:.0f} MB to {self.folder}")
        if self.learner.dataset and self.learner.dataset.differs:
            self.progress.say(f"note: dataset={settings.dataset} was made with {self.learner.dataset.differs}")
        self.started = time.perf_counter() - self.wall
        self.warned_of_plans = False

    # one epoch ---------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Receive this epoch's episodes, ask for the next ones, learn, log and save.

        Raises:
            NotFinite: a figure became NaN or infinite; the checkpoint of the epoch before is the newest. UserError: the disk is full.
        """
        epoch, learner, watch, practice = self.epoch, self.learner, self.watch, self.practice
        request = self.request
        assert request is not None, "all epochs are done"
        if self.collector.in_flight is None:
            self.collector.send(request)
        with watch("wait for episodes"):
            result = self.collector.receive()
        metrics = self.store(result, request)
        learning = epoch < self.offline_epochs or epoch - self.offline_epochs + 1 >= self.warmup_epochs
        if learning and not learner.fitted:
            self.progress.phase("first fit of the representation")
            metrics |= self.fit("first fit")
        with watch("propose goals"):
            self.request = self.next_request(epoch + 1) if epoch + 1 < self.epochs else None
        if self.request is not None and not self.stopped:
            self.collector.send(self.request)
        fault("epoch:sent")
        if learner.representation.needs_fit and refit_due(self.settings, epoch):
            metrics |= self.fit("refit")
        if learning:
            if hasattr(learner.sampler, "fit") or hasattr(learner.policy.planner, "fit"):
                self.progress.phase("fit of sampler and planner")
            with watch("fit sampler"):
                metrics |= named("goals", learner.prepare(epoch))
            self.progress.phase("update")
            with watch("update"):
                metrics |= learner.update(updates_of(self.settings, epoch), self.progress.say)
            if epoch < self.offline_epochs:
                with watch("validation"):
                    metrics |= named("validation", learner.validate())
        self.epoch += 1
        self.wall = time.perf_counter() - self.started
        metrics |= {"env_steps": self.env_steps, "updates": learner.updates, "wall_s": self.wall}
        metrics |= {"collector/restarts": self.collector.restarts}
        metrics |= {f"time/{name}": seconds for name, seconds in watch.lap().items()}
        self.log.write(epoch, metrics)
        if self.epoch % practice.checkpoint_every == 0 or self.epoch == self.epochs:
            self.save()
        self.progress.epoch(self.env_steps, metrics.get("eval/success_rate"))
        fault("epoch:end")

    def fit(self, stage: str) -> dict[str, float]:
        """Fit the representation, encode what is stored anew and return the fit's metrics."""
        with self.watch(stage):
            metrics = self.learner.fit_representation()
        with self.watch("re-encode"):
            self.learner.reencode()
        return named("representation", metrics)

    def store(self, result: Result, request: Request) -> dict[str, Any]:
        """Put a result's episodes into replay and dataset file; return what the epoch's metrics say of them."""
        episodes = result.episodes
        if episodes is not None:  # an epoch on the dataset collects nothing
            self.states, self.stopped = result.states, result.stopped
            with self.watch("store"):
                self.learner.add(episodes, request.fits)
                self.writer.append(episodes)
            self.env_steps += episodes.steps
        self.warn_of_plans(result)
        return {"episodes": len(self.writer)} | log_collection(self.folder, self.learner.env, result, request)

    def warn_of_plans(self, result: Result) -> None:
        """Say once where most of an evaluation's plans were the commanded goal alone; of those before anything is learnt all are."""
        figures = [evaluation.plans for name, evaluation in result.evaluations.items() if name not in BASELINES]
        warning = next(filter(None, (fallback_warning(self.learner.policy.planner, plans) for plans in figures)), "")
        if warning and not self.warned_of_plans:
            self.progress.say(warning)
            self.warned_of_plans = True

    def next_request(self, epoch: int) -> Request:
        """Return the request for `epoch`, with goals that are proposed and weights that are taken now."""
        return request_of(self.learner, epoch, self.states, self.env_steps)

    def save(self) -> None:
        """Write a checkpoint: everything but the frames, which the dataset file holds."""
        with self.watch("checkpoint"):
            self.learner.store_latents()
            state = {
                "epoch": self.epoch,
                "env_steps": self.env_steps,
                "wall_s": self.wall,
                "restarts": self.collector.restarts,
                "episodes": len(self.writer),
                "learner": self.learner.state_dict(),
                "request": self.request.to_tree() if self.request else None,
            }
            checkpoint.save(self.folder / "checkpoint", state)

    # a whole run ---------------------------------------------------------------------------------------------------------

    def run(self) -> Path:
        """Practise to the end (or Ctrl-C, or ``max_minutes``), evaluate on the test goals, write the report; return the run folder."""
        try:
            with self.interrupt:
                while self.epoch < self.epochs and not self.interrupt.asked and not self.stopped:
                    self.step()
                    if self.deadline and self.wall > self.deadline:
                        self.progress.say(f"max_minutes={self.settings.max_minutes:g} reached")
                        break
                if self.epoch % self.practice.checkpoint_every and self.epoch < self.epochs:
                    self.save()
                finish(self)
        finally:
            self.close()
        return self.folder

    def close(self) -> None:
        """Close files, simulators and the collector; one that cannot be closed (a full disk) does not keep the others open."""
        with contextlib.ExitStack() as stack:
            for part in (self.learner, self.progress, self.log, self.writer, self.collector):
                stack.callback(part.close)


def practice(settings: Settings) -> Path:
    """Run a practice phase from its settings and return its run folder."""
    return Practice(settings).run()


def resume(path: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Go on with an interrupted run (a finished one is left alone); on a CPU the result equals that of an uninterrupted one, bit for bit.

    overrides: ``["practice.epochs=N"]`` for more epochs than the run was made for. A finished one then proposes its next goals after its
    last updates instead of before them, and so is not to the bit what a longer run would have been.

    Raises:
        UserError: `path` is no run folder, its checkpoint or dataset is damaged, or `overrides` ask for something else.
    """
    folder = Path(path)
    if not (folder / "config.yaml").exists():
        raise UserError(f"{folder} is not a run folder: it has no config.yaml; expected what `gcrl practice run_dir=...` made")
    settings = with_more_epochs(read_settings(folder / "config.yaml"), overrides)
    settings.run_dir = str(folder)
    if overrides:
        keep_settings(folder, settings)
    if has_finished(folder, settings):
        print(f"{folder} has finished already: all {total_epochs(settings)} epochs are done, with a report.html", file=sys.stderr)
        return folder
    return Practice(settings, resume=True).run()
