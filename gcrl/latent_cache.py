"""A dataset's latents kept in the run's folder, so that resuming reads them instead of encoding every picture anew."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from envs.errors import UserError
from gcrl.replay import Replay
from representations.api import Representation

FILE = "dataset_latents.safetensors"
log = logging.getLogger(__name__)


def cache_key(dataset: str, representation: Representation) -> str:
    """Return a name of what latents follow from: the episodes (`dataset` names them), the encoder and its weights."""
    found = hashlib.blake2b(digest_size=16)
    encoder = {"class": type(representation).__qualname__, "keys": "".join(representation.keys), "dim": representation.latent_dim}
    _add(found, {"dataset": dataset, **encoder, "weights": representation.state_dict()})
    return found.hexdigest()


def store_latents(folder: Path, key: str, replays: Sequence[Replay]) -> None:
    """Write latents and goals of `replays` into `folder` under `key`, over what was there. Raises `UserError`: the disk is full."""
    arrays = {name: array for index, replay in enumerate(replays) for name, array in replay.latents_state(str(index)).items()}
    partial = folder / (FILE + ".tmp")
    try:
        save_file(arrays, partial, metadata={"key": key, "digest": _digest(arrays)})
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, folder / FILE)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"could not write {folder / FILE}: {' '.join(str(error).split())}; expected room on the disk") from error


def load_latents(folder: Path, key: str, replays: Sequence[Replay]) -> bool:
    """Fill in what was stored in `folder` under `key`; return False, with nothing changed, where it is missing, another's or damaged."""
    path = folder / FILE
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        log.warning("%s is damaged (%s): the dataset is encoded anew", path, error)
        return False
    if metadata.get("key") != key:
        return False
    if metadata.get("digest") != _digest(arrays):
        log.warning("%s was altered: the dataset is encoded anew", path)
        return False
    for index, replay in enumerate(replays):
        replay.load_latents_state(str(index), arrays)
    return True


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    found = hashlib.blake2b(digest_size=16)
    _add(found, arrays)
    return found.hexdigest()


def _add(found: Any, node: Any) -> None:
    """Add a nested mapping or sequence of arrays, tensors and plain values to a hash: kinds, shapes and contents."""
    if isinstance(node, Mapping):
        for key in sorted(node, key=str):
            found.update(f"[{key}]".encode())
            _add(found, node[key])
    elif isinstance(node, list | tuple):
        for item in node:
            _add(found, item)
    elif isinstance(node, np.ndarray) or hasattr(node, "detach"):
        array = np.ascontiguousarray(node.detach().cpu().numpy() if hasattr(node, "detach") else node)
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(array.tobytes())
    else:
        found.update(f"{type(node).__name__}:{node!r};".encode())
