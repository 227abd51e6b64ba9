"""A dataset to learn from before and while practising: a second replay beside the practised one, and a third that is held out."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.api import TaskEnv
from envs.errors import UserError
from gcrl.data import Reader
from gcrl.data.schema import Header
from gcrl.latent_cache import cache_key, load_latents, store_latents
from gcrl.parts import build_replay
from gcrl.policy import Policy
from gcrl.replay import Replay
from gcrl.settings import Settings
from representations.api import Representation, Rows

CHUNK = 64  # episodes read at a time
VALID = "valid"  # the split of a file that is held out
BLOCK = 1 << 22  # bytes


@dataclass
class Offline:
    """A dataset as replays: what is learnt from, and what is held out to measure losses on (None: nothing).

    episodes: (e,) indices in the file of those in `train`, which lie there in this order, one behind the other from row 0.
    digest: a name of the file's contents; part: one of which episodes are held out. folder: the run's, where latents are kept.
    stored: the fit of the representation whose latents lie there; -1: none that is known of. differs: in which of the environment's
    arguments the dataset's differs from the run's; "": in none.
    """

    train: Replay
    episodes: Rows
    valid: Replay | None
    digest: str
    part: str
    folder: Path
    stored: int = -1
    differs: str = ""

    def replays(self) -> list[Replay]:
        """Return both, or the one that there is."""
        return [self.train] if self.valid is None else [self.train, self.valid]

    def store(self, representation: Representation, fits: int) -> None:
        """Keep the latents of fit number `fits` in the run's folder, unless they are there already or cost nothing to make."""
        if representation.needs_fit and self.stored != fits:
            store_latents(self.folder, cache_key(self.digest + self.part, representation), self.replays())
            self.stored = fits

    def encode(self, representation: Representation, fits: int) -> None:
        """Fill in the latents of fit number `fits`: those kept in the run's folder, or encoded anew."""
        key = cache_key(self.digest + self.part, representation)
        if representation.needs_fit and load_latents(self.folder, key, self.replays()):
            self.stored = fits
            return
        for replay in self.replays():
            replay.reencode(representation)


def load_offline(settings: Settings, env: TaskEnv, policy: Policy) -> Offline:
    """Return the episodes of ``settings.dataset`` as replays; latents are zero until `Replay.reencode`.

    The goals that its episodes were commanded, where it knows them, become theirs here too. Raises `UserError` for a file that is
    missing, damaged, of another environment, with other actions or pictures of another size, empty or without actions.
    """
    path = Path(settings.dataset)
    with Reader(path) as reader:
        check_same(path, reader.header, settings.env_id, env)
        if not len(reader):
            raise UserError(f"dataset={path} holds no episodes; expected some to learn from")
        held_out = held_out_episodes(reader, settings.offline_validation, settings.seed)
        train, valid = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        if not len(train):
            raise UserError(f"dataset={path} has all its {len(reader)} episodes in the split 'valid'; expected some to learn from")
        read = functools.partial(_read, reader, settings, env, policy)
        part = f" {settings.offline_validation} {settings.seed}"
        folder, differs = Path(settings.run_dir), differing(reader.header, settings)
        offline = Offline(read(train), train, read(valid) if len(valid) else None, digest(path), part, folder, differs=differs)
    if settings.relabel.get("rollout") == 1 and not offline.train.goal_records.known.any():
        raise UserError(f"dataset={path} lacks goals, and relabel.rollout=1 learns for no others; expected another mix, as relabel=future")
    return offline


def held_out_episodes(reader: Reader, share: float, seed: int) -> NDArray[np.bool_]:
    """Return (episodes,) which are held out: the file's own split "valid", else `share` of them drawn by `seed`; one at least of two."""
    n = len(reader)
    if share and VALID in reader.file["mask"]:
        return reader.mask(VALID)
    chosen = np.zeros(n, np.bool_)
    if share and n > 1:
        chosen[np.random.default_rng([seed, 8]).permutation(n)[: min(n - 1, max(1, round(share * n)))]] = True
    return chosen


def _read(reader: Reader, settings: Settings, env: TaskEnv, policy: Policy, chosen: Rows) -> Replay:
    """Return a replay of the `chosen` episodes of a dataset."""
    horizon = int(reader.lengths[chosen].max())
    capacity = int(reader.lengths[chosen].sum()) + len(chosen) + horizon + 1
    replay = build_replay(settings, env, policy, horizon=horizon, capacity=capacity)
    for low in range(0, len(chosen), CHUNK):
        episodes = reader.episodes(chosen[low : low + CHUNK])
        if not np.isfinite(episodes.actions).all():
            raise UserError(f"dataset={reader.path} lacks actions (NaN); every agent learns from them: expected what was done")
        commanded = np.isfinite(episodes.goal_achieved).all(1) if episodes.goal_achieved is not None else np.zeros(len(episodes), bool)
        # Parameters belong to the representation that made the file; re-encoding takes them from pictures or achieved goals.
        params = policy.goal_space.points(np.zeros((len(episodes), policy.goal_space.latent_dim), np.float32)).copy()
        params[~commanded] = np.nan
        replay.add(dataclasses.replace(episodes, goals=params, goal_rows=np.full(len(episodes), -1)))
    return replay


def check_same(path: Path, header: Header, env_id: str, env: TaskEnv) -> None:
    """Raise `UserError` naming the first thing in which a dataset's environment differs from the run's: id, actions, an observation."""
    mine: dict[str, Any] = {"env_id": env_id, "action_space": env.action_space, **env.observation_space.spaces}
    theirs = {"env_id": header.env_id, "action_space": header.action_space, **header.observation_space.spaces}
    for name in [*mine, *theirs]:
        if mine.get(name) != theirs.get(name):
            has = f"has {name} {theirs[name]}" if name in theirs else f"lacks {name}"
            raise UserError(f"dataset={path} {has}; expected {mine.get(name, f'no {name}')}, as in this run's environment")


def differing(header: Header, settings: Settings) -> str:
    """Return "env.camera=top instead of env.camera=None, ..." for the arguments of one environment that another dataset was made with.

    The horizon is left out: how long episodes are changes nothing about their steps.
    """
    mine, theirs = settings.env_arguments, header.env_arguments
    names = [name for name in mine if name != "horizon" and name in theirs and theirs[name] != mine[name]]
    return ", ".join(f"env.{name}={theirs[name]} instead of {mine[name]}" for name in names)


def digest(path: str | Path) -> str:
    """Return a name of a file's contents."""
    found = hashlib.blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()
