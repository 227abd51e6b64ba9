"""The learner: replay, representation, goal sampler, reward and agent of one run, and the steps that join them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.api import GoalSet, TaskEnv
from envs.errors import UserError
from gcrl.batches import Batches
from gcrl.demonstrations import DemoResets, check_demonstrations
from gcrl.divergence import diverging, judged
from gcrl.episodes import Episodes, share_reached
from gcrl.finite import NotFinite, raised_by, require_finite
from gcrl.frame_goals import frames_as_goals, without_rows
from gcrl.goals.taken import goals_of_file, require_pairs
from gcrl.joined import Joined
from gcrl.offline import digest, load_offline
from gcrl.parts import (
    build_env,
    build_goal_sampler,
    build_policy,
    build_replay,
    build_reward,
    require_actor_goals,
    require_fixed_latents,
    require_machine,
    require_relabel,
    require_values,
)
from gcrl.policy import as_goals
from gcrl.processes import flushed
from gcrl.replay import Replay
from gcrl.settings import Settings
from gcrl.statistics import affordable
from goal_samplers.api import GoalContext, Goals
from goal_samplers.planners.stages import Stages
from goal_samplers.resample import RowPool
from goal_samplers.stages import StageGoals
from representations.api import Experience, Floats, Rows

VALIDATION_BATCHES = 8

__all__ = ["Learner", "NotFinite"]


class Learner:
    """Everything that learns, built from `settings`. Its state (``state_dict``) is what a checkpoint holds."""

    def __init__(self, settings: Settings) -> None:
        require_machine(settings)
        torch.set_num_threads(settings.torch_threads)
        self.settings, self.practice = settings, settings.practice
        self.env: TaskEnv = build_env(settings)
        self.policy = build_policy(settings, self.env)
        self.agent, self.representation = self.policy.agent, self.policy.representation
        require_relabel(self.agent, settings.relabel, settings.actor_goals)
        require_actor_goals(self.agent, settings.actor_goals)
        require_fixed_latents(settings, self.policy)
        self.sampler = build_goal_sampler(settings, self.representation)
        for part, what in ((self.sampler, "goal sampler"), (self.policy.planner, "planner")):
            require_values(part, what, self.agent)
        self.reward = build_reward(settings, self.env, self.policy, self.sampler)
        self.replay = build_replay(settings, self.env, self.policy)
        self.dataset = load_offline(settings, self.env, self.policy) if settings.dataset else None
        self.offline = self.dataset.train if self.dataset else None
        if getattr(self.sampler, "imagines", False):
            for replay in (self.replay, *self.offline_replays):
                replay.in_scene = getattr(self.representation, "in_scene", None)
        self.offline_digest = self.dataset.digest if self.dataset else ""
        check_demonstrations(settings, self.offline)
        self.demo_resets = DemoResets(settings, self.env, self.dataset) if self.practice.demo_resets and self.dataset else None
        self.generator = np.random.default_rng([settings.seed, 1])
        self.batches = self.batches_of(self.replay, self.offline, self.generator)
        self.fitted = not self.representation.needs_fit
        self.fits = 0  # a goal encoded before the latest fit is encoded again
        self.reached = float("nan")  # share of the goals practised last
        self.updates = 0
        self._examples: dict[tuple[str, str], GoalSet] = {}  # files of goals that were read
        self.example_digests = self._read_examples()
        if self.offline is not None and self.fitted:
            self.reencode()

    @property
    def offline_replays(self) -> list[Replay]:
        """What is held of the dataset: the episodes to learn from and those held out."""
        return self.dataset.replays() if self.dataset else []

    @property
    def experience(self) -> Replay:
        """What samplers look at and learn from: what was practised, or the dataset until there is any."""
        return self.replay if self.offline is None or self.replay.size else self.offline

    @property
    def frames(self) -> Experience:
        """What the representation is fitted to: experience, and as much of the dataset as minibatches have of it once there is both."""
        share = self.settings.offline_share
        return Joined(self.offline, self.replay, share) if self.offline is not None and self.replay.size and share else self.experience

    def batches_of(self, replay: Replay, offline: Replay | None, generator: np.random.Generator) -> Batches:
        """Return what draws the agent's minibatches from these."""
        wants: dict[str, Any] = {
            name: getattr(self.agent, name) for name in ("n_step", "discount", "subgoal_steps") if hasattr(self.agent, name)
        }
        return Batches(self.settings, replay, offline, self.reward, self.policy.inputs, generator, **wants)

    # goals -----------------------------------------------------------------------------------------------------------

    def context(self, epoch: int) -> GoalContext:
        """Return what the sampler may look at; commanded goals only if it asks for them."""
        commanded = None
        if getattr(self.sampler, "needs_commanded", False):
            commanded = lambda n, generator: as_goals(self.env, self.representation, self.env.sample_goals(n, generator))  # noqa: E731
        value, spread = (self.of_rows(getattr(self.agent, name, None)) for name in ("value", "value_spread"))
        parts = (self.experience, self.representation, self.generator, commanded, value, epoch, spread, self.reached)
        aims = (lambda rows: self.replay.rollout_goals(rows).params) if self.replay.size else None
        return GoalContext(*parts, self.examples, self.policy.goal_space, aims)

    def _read_examples(self) -> dict[str, str]:
        """Read the files of goals that parts name; return {file: digest}. Raises `UserError` for one that does not serve."""
        parts = (self.sampler, self.reward, self.policy.planner)
        named = [pair for part in parts for pair in getattr(part, "example_files", ())]
        for part in parts:
            for group in getattr(part, "paired_files", ()):
                require_pairs(group)
        if self.practice.planned and isinstance(self.sampler, StageGoals) and isinstance(self.policy.planner, Stages):
            raise UserError(
                "goal_sampler=stages practises stages, and planner=stages would take each for an end; expected practice.planned=false"
            )
        for path, split in named:
            found = len(self._goals_of(path, split))
            if hasattr(self.policy.goal_space, "of_set") and found < 2:
                raise UserError(f"{path} has {found} example in its split '{split}'; expected at least 2, better 30")
        return {path: digest(path) for path, _ in named}

    def examples(self, path: str, split: str) -> Goals:
        """Return the goals of a file of ``gcrl goals`` as latents. Raises `UserError` where they do not fit the run."""
        return as_goals(self.env, self.representation, self._goals_of(path, split))

    def _goals_of(self, path: str, split: str) -> GoalSet:
        if (path, split) not in self._examples:
            self._examples[path, split] = goals_of_file(path, split, self.settings.env_id, self.env, self.representation, "this run").goals
        return self._examples[path, split]

    def of_rows(self, function: Callable[[Floats, Floats], Floats] | None) -> Callable[[Rows, Floats], Floats] | None:
        """Return `function` of the agent's inputs as one of stored rows, which is all that a sampler knows of them."""
        if function is None:
            return None
        policy = self.policy
        return lambda rows, goals: function(self.experience.gather(rows, policy.inputs), policy.told(Goals(goals, rows)).params)

    def propose(self, n: int, epoch: int) -> Goals:
        """Return `n` practice goals from the sampler, checked.

        Raises:
            NotFinite: the sampler returned NaN or infinite goals. UserError: it returned the wrong shape or type, or rows that are not
            stored. What it raises itself carries a note that names it.
        """
        name = f"goal sampler {type(self.sampler).__name__}"
        with raised_by(name):
            proposed = self.sampler.sample(self.context(epoch), n)
        goals = proposed if isinstance(proposed, Goals) else frames_as_goals(self.experience, proposed, n, name)
        if np.shape(goals.params) == (n, self.representation.latent_dim):
            goals = self.policy.told(goals)
        expected = (n, self.policy.goal_space.dim)
        if np.shape(goals.params) != expected or np.shape(goals.rows) != (n,):
            raise UserError(
                f"{name} returned goals of shape {np.shape(goals.params)}, rows {np.shape(goals.rows)}; expected {expected}, ({n},)"
            )
        require_finite(f"a goal of {name}", goals.params)
        return goals if self.experience is self.replay else without_rows(self.experience, goals)

    def warmup_goals(self, n: int, epoch: int) -> Goals:
        """Return `n` goals for episodes that do not look at them: commanded ones where practice has those, else none (NaN)."""
        commanded = self.context(epoch).commanded
        if self.fitted and commanded is not None:
            return self.policy.told(commanded(n, self.generator))
        space = self.env.observation_space
        images = np.zeros((n, *(space["image"].shape or ())), np.uint8) if self.env.capabilities.images else None
        achieved = np.full((n, *(space["achieved_goal"].shape or ())), np.nan)
        return Goals(np.full((n, self.policy.goal_space.dim), np.nan, np.float32), np.full(n, -1), images, achieved)

    # steps of an epoch -------------------------------------------------------------------------------------------------

    def add(self, episodes: Episodes, goals_fit: int) -> None:
        """Store an epoch's episodes; goals that were encoded before the latest fit (`goals_fit`) are encoded again.

        Raises:
            NotFinite: an observation, latent or reward is NaN or infinite.
        """
        for key, values in episodes.observations.items():
            if values.dtype.kind == "f":
                require_finite(f"the observation '{key}' of {self.settings.env_id}", values)
        first_rows = self.replay.add(episodes)
        self.reached = share_reached(self.env, episodes, ever=self.practice.go_explore > 0)
        if self.fitted:
            self.replay.reencode(self.representation, first_rows, goals=goals_fit != self.fits)
            self.check_latents(self.replay, self.replay.episode_rows(first_rows))
            self.label(episodes, first_rows)

    def label(self, episodes: Episodes, first_rows: NDArray[np.int64]) -> None:
        """Fill the episodes' rewards: those of the practised goal (what the dataset file records), NaN where no goal was practised."""
        n, horizon = len(episodes), episodes.actions.shape[1]
        episodes.rewards = np.full((n, horizon), np.nan, np.float32)
        for index, (first, length) in enumerate(zip(first_rows, episodes.lengths, strict=True)):
            if np.isnan(episodes.goals[index]).any():
                continue
            rows = first + np.arange(length)
            episodes.rewards[index, :length], _ = self.batches.rewards(self.replay, rows, self.replay.rollout_goals(rows))

    def draw_rows(self, experience: Experience) -> RowPool:
        """Return training rows for a fit: uniform, or weighted by the sampler (Skew-Fit weights the representation's data)."""
        return RowPool(experience, self.sampler if self.fitted else None, self.generator)

    def fit_representation(self) -> dict[str, float]:
        """Fit or refit the representation and return its metrics; `reencode` must follow."""
        frames = self.frames
        with raised_by(f"representation {type(self.representation).__name__}"), flushed():
            metrics = self.representation.fit(frames, self.draw_rows(frames), self.generator, first=self.fits == 0)
        self.fits += 1
        self.fitted = True
        return metrics

    def reencode(self) -> None:
        """Encode all stored frames and goals anew."""
        for replay in (self.replay, *self.offline_replays):
            replay.reencode(self.representation)
            self.check_latents(replay, replay.ring.all_rows())

    def check_latents(self, replay: Replay, rows: NDArray[np.int64]) -> None:
        """Raise `NotFinite` naming the representation unless the latents of `rows` are finite; stored pictures always are."""
        if replay.latent_key:
            return
        require_finite(f"a latent of {type(self.representation).__name__}", replay.read("latent", rows))

    def prepare(self, epoch: int) -> dict[str, float]:
        """Fit what depends on the replay's present contents: sampler, reward scale, normaliser, pool of relabelling goals."""
        metrics: dict[str, float] = {}
        if hasattr(self.sampler, "fit"):
            with raised_by(f"goal sampler {type(self.sampler).__name__}"):
                metrics = self.sampler.fit(self.context(epoch), self.draw_rows(self.experience))
        if hasattr(self.policy.planner, "fit"):
            with raised_by(f"planner {type(self.policy.planner).__name__}"), flushed():
                found = self.policy.planner.fit(self.context(epoch))
            metrics |= {f"planner_{name}": value for name, value in found.items()}
        if hasattr(self.reward, "refit"):
            self.reward.refit(self.experience, self.generator)
        if self.practice.energy_share and self.replay.size:
            self.batches.energies.fit(self.replay)
        if self.practice.reached and self.replay.size:
            self.batches.reached.fit(self.replay)
        if not self.kept:
            self._standardise()
        told = self.policy.goal_space.dim > self.representation.latent_dim  # numbers beside the latent
        if any(mix.get("sampler", 0) > 0 for mix in (self.settings.relabel, self.settings.actor_goals)) or told:
            pool = self.propose(self.practice.pool_size, epoch)
            self.replay.set_goal_pool(pool)
            for replay in self.offline_replays:
                replay.set_goal_pool(without_rows(self.experience, pool))
        return metrics

    @property
    def kept(self) -> bool:
        """Whether the agent stays as it is from now on."""
        return self.practice.keep_agent and self.updates >= self.settings.offline_updates

    def _standardise(self) -> None:
        """Set the agent's normaliser by the spread of what is stored."""
        # A dataset's scales hold for good: networks that were trained on it would see everything moved when practice begins.
        source = self.replay if self.offline is None else self.offline
        rows = source.sample_rows(affordable(min(source.size, 10_000), self.representation.latent_dim), self.generator)
        latents, inputs = source.read("latent", rows), source.gather(rows, self.policy.inputs)
        width, latent_scale = latents.shape[1], self.spread(latents)
        scales, column = [], 0
        for name in self.policy.inputs:
            size = width if name == "latent" else source.read(name, rows[:1]).shape[1]
            scales.append(latent_scale if name == "latent" else inputs[:, column : column + size].std(0) + 1e-3)
            column += size
        told = self.policy.goal_space.dim - width  # numbers beside the latent, which are in proportion already
        goals_mean, goals_scale = np.pad(latents.mean(0), (0, told)), np.pad(latent_scale, (0, told), constant_values=1.0)
        self.agent.set_normalizer(inputs.mean(0), np.concatenate(scales).astype(np.float32), goals_mean, goals_scale)

    def spread(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (d,) scales for standardising latents.

        A learned latent is scaled as a whole: dividing each dimension by its own spread would blow up the dimensions that
        carry only noise. State factors have units of their own and are scaled one by one.
        """
        scale = latents.std(0)
        if self.representation.needs_fit:
            scale = np.full_like(scale, np.sqrt((scale**2).mean()))
        return np.asarray(scale + 1e-3, np.float32)

    def update(self, n: int, warn: Callable[[str], None] = lambda text: None) -> dict[str, float]:
        """Run `n` agent updates and return the last one's metrics; `warn` is told once where values diverge (``agent/diverging``).

        Raises:
            NotFinite: a loss or weight became NaN or infinite; checked every 100 updates and at the end.
        """
        name = f"agent {type(self.agent).__name__}"
        metrics: dict[str, float] = {}
        self.batches.largest_reward, warning = 0.0, ""
        for index in range(n):
            with flushed():
                latest = self.agent.update(self.batches(self.agent.batch_size))
            self.updates += 1
            if index % 100 == 99 or index == n - 1:
                metrics = {f"agent/{key}": float(value) for key, value in latest.items()}
                for key, value in metrics.items():
                    require_finite(f"{key} of {name} (update {self.updates})", value)
                if not warning and (warning := diverging(self.agent, metrics, self.batches.largest_reward, self.updates)):
                    warn(warning)
        if n:
            if judged(metrics):
                metrics["agent/diverging"] = float(bool(warning))
            for key, weights in self.agent.actor_state().items():
                require_finite(f"{key} of {name} (update {self.updates})", weights)
        return metrics

    def validate(self) -> dict[str, float]:
        """Return the agent's figures, averaged, on the held-out episodes of the dataset: on the same rows every time; nothing is learnt."""
        if self.dataset is None or self.dataset.valid is None or not hasattr(self.agent, "losses"):
            return {}
        # A generator of its own: that of training goes on as if nothing had been measured.
        batches = self.batches_of(self.dataset.valid, None, np.random.default_rng([self.settings.seed, 7]))
        found = [self.agent.losses(batches(self.agent.batch_size)) for _ in range(VALIDATION_BATCHES)]
        return {key: float(np.mean([float(metrics[key]) for metrics in found])) for key in found[0] if key != "finite"}

    # checkpoints -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the frames, which the practice dataset holds."""
        state: dict[str, Any] = {
            "agent": self.agent.state_dict(),
            "representation": self.representation.state_dict(),
            "replay": self.replay.state_dict(),
            "generator": self.generator.bit_generator.state,
            "fitted": self.fitted,
            "fits": self.fits,
            "updates": self.updates,
            "reached": self.reached,
            "dataset": self.offline_digest,
            "examples": json.dumps(self.example_digests),
        }
        for name, part in (("sampler", self.sampler), ("planner", self.policy.planner), ("reward", self.reward)):
            if hasattr(part, "state_dict"):
                state[name] = part.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any], reader: Any) -> None:
        """Restore a checkpoint; `reader` is the practice dataset, which the replay's frames are read from.

        Raises `UserError` where the dataset that is learnt from, or a file of examples, is no longer what it was.
        """
        if state.get("dataset", "") != self.offline_digest:
            raise UserError(f"dataset={self.settings.dataset} has changed since the checkpoint; expected the file that the run began with")
        for path, known in json.loads(state.get("examples", "{}")).items():
            if self.example_digests.get(path, known) != known:
                raise UserError(f"{path} has changed since the checkpoint; expected the examples that the run began with")
        self.agent.load_state_dict(state["agent"])
        self.representation.load_state_dict(state["representation"])
        self.replay.restore(reader, state["replay"])
        self.generator.bit_generator.state = state["generator"]
        self.fitted, self.fits, self.updates = state["fitted"], state["fits"], state["updates"]
        self.reached = float(state.get("reached", "nan"))
        for name, part in (("sampler", self.sampler), ("planner", self.policy.planner), ("reward", self.reward)):
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(state[name])
        if self.dataset and self.fitted:
            self.dataset.encode(self.representation, self.fits)

    def store_latents(self) -> None:
        """Keep the dataset's latents in the run's folder, so that resuming does not encode them again."""
        if self.dataset and self.fitted:
            self.dataset.store(self.representation, self.fits)

    def start_from(self, state: Mapping[str, Any]) -> None:
        """Take over representation and networks of another run's checkpoint: optimisers begin anew, and so do random numbers, by the seed.

        Raises `UserError` where they do not fit.
        """
        learnt = {name: part for name, part in state["agent"].items() if name in ("networks", "normalizer")}
        self.agent.load_state_dict({**self.agent.state_dict(), **learnt} if learnt else state["agent"])
        self.representation.load_state_dict(state["representation"])
        self.fitted, self.fits = state["fitted"], state["fits"]
        if self.offline is not None and self.fitted:
            self.reencode()

    def close(self) -> None:
        """Close the learner's own environment."""
        self.env.close()
