"""Replay: whole episodes in flat ring arrays, each frame stored once, with cached latents and the goal that each episode was after."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.errors import UserError, unknown
from gcrl.episodes import Episodes
from gcrl.goal_records import CHUNK, GoalBatch, GoalRecords, encode_goals
from gcrl.ring import Ring, expand
from goal_samplers.api import Goals
from goal_samplers.goal_space import GoalSpace
from representations.api import Floats, Representation, Rows
from representations.pixels import as_latents

NOT_STORED = ("desired_goal", "goal_image")
COLUMN_ORDER = ("latent", "proprioception", "observation", "achieved_goal")  # neighbours are read together


class EpisodeSource(Protocol):
    """What `Replay.restore` reads raw data from: the practice dataset's reader."""

    def __len__(self) -> int: ...

    def episodes(self, indices: Any) -> Episodes: ...


class Replay:
    """A ring of rows that implements `representations.api.Experience` and feeds relabelled minibatches.

    An episode of T steps owns T + 1 consecutive rows; the successor of row t is row t + 1. Vectors and the latent share one float32
    table (a row is one or two cache lines), pictures are uint8. The arrays are allocated zeroed, so memory grows with use only.
    The n-th episode ever added has number n, which is also its index in the practice dataset.

    horizon: longest episode in steps. capacity: rows. goal_space: what goals are, of d latents and k parameters; one of hindsight has the
    latent of a row.
    image_goal: keep a goal picture with every episode. latent_key: the key of pictures that are the latent (``stored_as`` of the
    representation), which then takes no room of its own; "": none are. Raises `UserError` where `capacity` holds no episode.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        *,
        horizon: int,
        capacity: int,
        goal_space: GoalSpace,
        image_goal: bool,
        latent_key: str = "",
    ) -> None:
        if capacity < horizon + 1:
            raise UserError(f"replay capacity {capacity} holds no episode of {horizon} steps; expected at least {horizon + 1} rows")
        latent_dim, goal_dim = goal_space.latent_dim, goal_space.dim
        self.horizon, self.goal_space, self.goal_dim, self.latent_key = horizon, goal_space, goal_dim, latent_key
        self.ring = Ring(capacity)
        shapes = {key: space.shape or () for key, space in observation_space.spaces.items() if key not in NOT_STORED}
        pictures = {key for key in shapes if observation_space[key].dtype == np.uint8 and len(shapes[key]) == 3}
        self._shapes = {"latent": (0 if latent_key else latent_dim,)} | {key: shape for key, shape in shapes.items() if key not in pictures}
        ordered = sorted(self._shapes, key=lambda key: COLUMN_ORDER.index(key) if key in COLUMN_ORDER else len(COLUMN_ORDER))
        widths = [int(np.prod(self._shapes[key])) for key in ordered]
        stops = np.cumsum(widths)
        self._columns = {key: slice(int(stop) - width, int(stop)) for key, width, stop in zip(ordered, widths, stops)}
        self._table = np.zeros((capacity, int(stops[-1])), dtype=np.float32)
        self._frames = {key: np.zeros((capacity, *shapes[key]), dtype=np.uint8) for key in pictures}
        discrete = isinstance(action_space, spaces.Discrete)
        self._actions: NDArray[Any] = np.zeros((capacity, *(action_space.shape or ())), dtype=np.int64 if discrete else np.float32)
        self._plans: dict[tuple[str, ...], slice | NDArray[np.int64]] = {}
        self.goal_image_shape = shapes["image"] if image_goal else ()
        self.achieved_dim = int(np.prod(shapes["achieved_goal"]))
        self.in_scene: Callable[[Floats, Floats], Floats] | None = None  # where the sampler imagines goals that depend on the scene
        self.goal_records = GoalRecords(goal_dim, self.achieved_dim, self.goal_image_shape if image_goal else None)
        self.pool: Goals | None = None
        self._pool_numbers: Rows = np.zeros(0, dtype=np.int64)

    # -- Experience -------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of stored rows."""
        return self.ring.rows

    @property
    def transitions(self) -> int:
        """Number of stored transitions."""
        return self.ring.steps

    def sample_rows(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows, uniform over the stored frames, with replacement."""
        return self.ring.draw_rows(n, generator)

    def read(self, key: str, rows: Rows) -> NDArray[Any]:
        """Return `key` at `rows`: (n, ...); float32 for vectors and the latent, uint8 for pictures, actions as they were given."""
        if key == "latent" and self.latent_key:
            return as_latents(self.read(self.latent_key, rows))
        if key in self._frames:
            return self._frames[key].take(rows, axis=0)
        if key == "action":
            return self._actions.take(rows, axis=0)
        if key not in self._columns:
            raise unknown("replay key", key, [*self._columns, *self._frames, "action"])
        return self.gather(rows, (key,)).reshape(len(rows), *self._shapes[key])

    def episodes(self) -> tuple[Rows, Rows]:
        """Return (first rows (e,), lengths in steps (e,)) of the stored episodes, oldest first."""
        return self.ring.starts(), self.ring.lengths()

    # -- Writing ----------------------------------------------------------------------------------------------------

    def add(self, episodes: Episodes) -> Rows:
        """Store whole episodes and return their first rows (n,); the oldest make room.

        The latents of the new rows are zero until `reencode`. ``episodes.goal_rows`` are rows of the replay as it was before this
        call. Goal parameters of NaN mean that the episode had no goal. Raises `UserError` where the episodes cannot all be kept.
        """
        needed = episodes.steps + len(episodes) + (self.horizon if len(episodes) > 1 else 0)
        if needed > self.ring.capacity:
            raise UserError(f"replay capacity {self.ring.capacity} cannot keep {len(episodes)} new episodes; expected at least {needed}")
        if episodes.lengths.min(initial=1) < 1 or episodes.lengths.max(initial=0) > self.horizon:
            raise ValueError(f"episode lengths must lie in 1..{self.horizon}, got {episodes.lengths.tolist()}")
        sources = np.asarray(episodes.goal_rows, dtype=np.int64)
        source_numbers = np.where(sources >= 0, self.ring.number[sources], -1)
        first = np.zeros(len(episodes), dtype=np.int64)
        for index, length in enumerate(episodes.lengths.tolist()):
            first[index] = self.ring.place(length)
            self._write(episodes, index, int(first[index]), length)
        self.goal_records.append(episodes, sources, source_numbers)
        self._forget_evicted()
        return first

    def episode_rows(self, first: Rows) -> Rows:
        """Return all rows of the episodes that begin at rows `first` (n,), in order."""
        return expand(first, self.ring.last[first] - first)

    def set_goal_pool(self, goals: Goals) -> None:
        """Take over the sampler's goals, from which relabelling draws; copies what would be lost when their source rows are evicted."""
        known = goals.rows >= 0
        achieved = np.full((len(goals), self.achieved_dim), np.nan, dtype=np.float32)
        if goals.achieved is not None:
            achieved[:] = goals.achieved
        achieved[known] = self.gather(goals.rows[known], ("achieved_goal",))
        images = goals.images
        if images is None and self.goal_records.images is not None:
            images = np.zeros((len(goals), *self.goal_image_shape), dtype=np.uint8)
            images[known] = self.read("image", goals.rows[known])
        self.pool = Goals(np.array(goals.params, dtype=np.float32), np.array(goals.rows, dtype=np.int64), images, achieved)
        self._pool_numbers = np.where(known, self.ring.number[goals.rows], -1)

    def goals_at(self, rows: Rows) -> Goals:
        """Return stored frames as goals: parameters (of their latents), pictures where goals have them, achieved goals."""
        images = self.read("image", rows) if self.goal_records.images is not None else None
        params = self.goal_space.points(self.read("latent", rows))
        return Goals(params, np.asarray(rows, dtype=np.int64), images, self.gather(rows, ("achieved_goal",)))

    # -- Minibatches ------------------------------------------------------------------------------------------------

    def sample_transitions(self, n: int, generator: np.random.Generator) -> Rows:
        """Return (n,) rows that have a successor (row + 1), uniform over the stored transitions, with replacement."""
        return self.ring.draw_steps(n, generator)

    def gather(self, rows: Rows, keys: tuple[str, ...]) -> Floats:
        """Return (n, i) float32: the vectors `keys` (latent, proprioception, observation, achieved_goal) side by side, in this order."""
        if self.latent_key and "latent" in keys:
            parts = [self.read(key, rows).reshape(len(rows), -1) for key in keys]
            return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._plans[keys] = self._plan(keys)
        vectors: Floats = np.ascontiguousarray(self._table.take(rows, axis=0)[:, plan])
        return vectors

    def rollout_goals(self, rows: Rows) -> GoalBatch:
        """Return the goals that the episodes of `rows` (n,) were after."""
        numbers = self.ring.number.take(rows)
        draw = None if self.goal_records.images is None else lambda: self.goal_records.images_of(numbers)
        return GoalBatch(*self.goal_records.at(numbers), draw)

    # -- Latents ----------------------------------------------------------------------------------------------------

    def reencode(self, representation: Representation, first_rows: Rows | None = None, *, goals: bool = True) -> None:
        """Encode the episodes that begin at `first_rows` (e,) or, after a refit (None), everything: all rows, goals and the pool.

        Batches are always CHUNK rows, aligned by row number, so that a latent's bits do not depend on what else was encoded with it.
        `goals` asks for the episodes' goals too: each is encoded from its picture or achieved goal, whichever the representation
        reads, else from its source row; one with none of these keeps its parameters.
        """
        stored = self.ring.all_rows() if first_rows is None else self.episode_rows(first_rows)
        latent = self._columns["latent"]
        for chunk in [] if self.latent_key else np.unique(stored // CHUNK).tolist():
            span = np.minimum(np.arange(chunk * CHUNK, (chunk + 1) * CHUNK), self.ring.capacity - 1)
            encoded = representation.encode({key: self.read(key, span) for key in representation.keys})
            wanted = stored[stored // CHUNK == chunk]
            self._table[wanted, latent] = encoded[wanted - chunk * CHUNK]
        if goals and len(stored):
            numbers = self.ring.number[stored]
            self.goal_records.reencode(representation, self.read, slice(int(numbers.min()), int(numbers.max()) + 1))
        if first_rows is None and self.pool is not None:
            encode_goals(representation, self.pool, self.read, 0)

    def latents_state(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return what encoding yields, as arrays named by `prefix`: latents of all rows, parameters of the episodes' goals."""
        latents = self._table[self.ring.all_rows(), self._columns["latent"]]
        return {f"{prefix}.latents": latents, f"{prefix}.goals": self.goal_records.state_dict()["params"]}

    def load_latents_state(self, prefix: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `latents_state` returned."""
        self._table[self.ring.all_rows(), self._columns["latent"]] = arrays[f"{prefix}.latents"]
        self.goal_records.load_state_dict(self.goal_records.state_dict() | {"params": arrays[f"{prefix}.goals"]})

    # -- Checkpoint -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what is derived: layout, latents, goals. Raw data stay in the practice dataset; the pool is set anew each epoch."""
        return {
            "ring": self.ring.state_dict(),
            "latents": self._table[self.ring.all_rows(), self._columns["latent"]],
            "goals": self.goal_records.state_dict(),
        }

    def restore(self, source: EpisodeSource, state: Mapping[str, Any]) -> None:
        """Rebuild the exact replay: layout and latents from `state`, frames, actions and goal pictures from the practice dataset.

        Raises `UserError` where the dataset does not hold the episodes that the checkpoint counts on.
        """
        self.ring.load_state_dict(state["ring"])
        if len(source) < self.ring.newest:
            raise UserError(f"the practice dataset holds {len(source)} episodes; the checkpoint expects at least {self.ring.newest}")
        starts, lengths = self.episodes()
        self.goal_records.clear(self.ring.oldest)
        for low in range(0, len(starts), 64):
            stored = source.episodes(np.arange(low, min(low + 64, len(starts))) + self.ring.oldest)
            if not np.array_equal(stored.lengths, lengths[low : low + 64]):
                raise UserError("the practice dataset's episode lengths differ from the checkpoint's; expected the dataset of the same run")
            for index, length in enumerate(stored.lengths.tolist()):
                self._write(stored, index, int(starts[low + index]), length)
            self.goal_records.append(stored, stored.goal_rows, stored.goal_rows)
        self._table[self.ring.all_rows(), self._columns["latent"]] = state["latents"]
        self.goal_records.load_state_dict(state["goals"])

    # -- Inside -----------------------------------------------------------------------------------------------------

    def _write(self, episodes: Episodes, index: int, start: int, length: int) -> None:
        span = slice(start, start + length + 1)
        self._table[span] = 0
        for key in self._shapes:
            if key != "latent":
                self._table[span, self._columns[key]] = episodes.observations[key][index, : length + 1].reshape(length + 1, -1)
        for key, frames in self._frames.items():
            frames[span] = episodes.observations[key][index, : length + 1]
        self._actions[start : start + length] = episodes.actions[index, :length]
        self._actions[start + length] = 0

    def _forget_evicted(self) -> None:
        self.goal_records.forget_before(self.ring.oldest)
        if self.pool is not None:
            self.pool.rows[self._pool_numbers < self.ring.oldest] = -1

    def _plan(self, keys: tuple[str, ...]) -> slice | NDArray[np.int64]:
        for key in keys:
            if key not in self._columns:
                raise unknown("input", key, self._columns)
        spans = [self._columns[key] for key in keys]
        if all(left.stop == right.start for left, right in itertools.pairwise(spans)):
            return slice(spans[0].start, spans[-1].stop)
        return np.concatenate([np.arange(span.start, span.stop) for span in spans])
