"""Checkpoints that survive a crash: one safetensors file each, structure and checksums in JSON, nothing ever unpickled."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from envs.errors import UserError
from gcrl.faults import fault

FORMAT = 1
INDEX = "latest.json"
log = logging.getLogger(__name__)


def save(directory: str | Path, tree: Mapping[str, Any], keep: int = 2) -> Path:
    """Write `tree` (nested dicts, lists and tuples of arrays, tensors, bytes, numbers, strings, None); return the new file.

    Atomic: killed at any point, the previous checkpoint stays the current one. The newest `keep` files are kept.
    Raises `UserError` when the disk is full, `TypeError` naming the entry that cannot be stored without pickling.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, NDArray[Any]] = {}
    structure = _pack(tree, "", tensors)
    kept = _entries(folder) if (folder / INDEX).exists() else []
    number = 1 + max((int(path.stem) for path in folder.glob("*.safetensors") if path.stem.isdigit()), default=0)
    target = folder / f"{number:06d}.safetensors"
    partial = folder / "partial.tmp"
    try:
        save_file(tensors, partial, metadata={"format": str(FORMAT), "structure": json.dumps(structure)})
        _flush(partial)
        fault("checkpoint:mid")
        entry = {"file": target.name, "sha256": _sha256(partial), "bytes": partial.stat().st_size}
        os.replace(partial, target)
        fault("checkpoint:named")
        kept = [entry, *kept][: max(1, keep)]
        write_atomically(folder / INDEX, json.dumps({"format": FORMAT, "checkpoints": kept}, indent=1))
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"could not write the checkpoint {target}: {_one_line(error)}; the previous checkpoint is intact") from error
    names = {str(entry["file"]) for entry in kept}
    for path in folder.glob("*.safetensors"):
        if path.name not in names:
            path.unlink(missing_ok=True)
    return target


def load(directory: str | Path) -> dict[str, Any]:
    """Return the newest checkpoint's tree, bit for bit as saved; arrays come back as arrays, tensors as tensors on the CPU.

    A deleted newest file falls back to the one before, with a warning in the log. Raises `UserError` naming the file when there is no
    checkpoint, or when one is truncated, altered, or of a newer format.
    """
    folder = Path(directory)
    if not (folder / INDEX).exists():
        raise UserError(f"no checkpoint in {folder} ({INDEX} is missing); give the folder of a run that ended its first epoch")
    entries = _entries(folder)
    present = [entry for entry in entries if (folder / entry["file"]).exists()]
    if not present:
        names = ", ".join(entry["file"] for entry in entries)
        raise UserError(f"checkpoint files named in {folder / INDEX} are missing ({names}); restore them or start a new run")
    if present[0] is not entries[0]:
        log.warning("checkpoint %s is missing: using the older %s", folder / entries[0]["file"], present[0]["file"])
    path = folder / present[0]["file"]
    older = f"; delete it to go on from the older {present[1]['file']}" if len(present) > 1 else "; restore it or start a new run"
    size = path.stat().st_size
    if size != present[0]["bytes"]:
        state = "is truncated" if size < present[0]["bytes"] else "was altered"
        raise UserError(f"checkpoint {path} {state}: {size} bytes, expected {present[0]['bytes']}{older}")
    if _sha256(path) != present[0]["sha256"]:
        raise UserError(f"checkpoint {path} was altered: its sha256 differs from {INDEX}{older}")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != str(FORMAT):
                raise UserError(f"checkpoint {path} has format {metadata.get('format')}, expected {FORMAT}; use the gcrl that wrote it")
            tree = _unpack(json.loads(metadata["structure"]), file)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise UserError(f"checkpoint {path} cannot be read ({_one_line(error)}){older}") from error
    assert isinstance(tree, dict)
    return tree


def write_atomically(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`: readers and crashes see the old or the new content, never a part."""
    partial = path.with_name(path.name + ".tmp")
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    _flush(path.parent)


def _pack(node: Any, path: str, tensors: dict[str, NDArray[Any]]) -> Any:
    """Return the JSON form of `node`; arrays go to `tensors` under their path in the tree."""
    if node is None or isinstance(node, bool | str) or type(node) in (int, float):
        return node
    if isinstance(node, Mapping):
        for key in node:
            if type(key) not in (str, int):
                raise TypeError(f"checkpoint entry '{path}': keys must be str or int, got {type(key).__name__}")
        return {"dict": [[key, _pack(value, f"{path}/{key}" if path else str(key), tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        kind = "tuple" if isinstance(node, tuple) else "list"
        return {kind: [_pack(value, f"{path}/{index}", tensors) for index, value in enumerate(node)]}
    if isinstance(node, bytes):
        return _store("bytes", np.frombuffer(node, np.uint8), path, tensors)
    if isinstance(node, np.generic):
        return _store("scalar", np.asarray(node), path, tensors)
    if isinstance(node, np.ndarray):
        return _store("array", node, path, tensors)
    if hasattr(node, "detach"):
        tensor = node.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":  # numpy has none: its bits travel as int16
            import torch

            return _store("bfloat16", tensor.contiguous().view(torch.int16).numpy(), path, tensors)
        return _store("tensor", tensor.numpy(), path, tensors)
    raise TypeError(
        f"checkpoint entry '{path}' is a {type(node).__name__}; only arrays, tensors, bytes, numbers, strings and None are stored"
    )


def _store(kind: str, array: NDArray[Any], path: str, tensors: dict[str, NDArray[Any]]) -> dict[str, str]:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"checkpoint entry '{path}' has dtype {array.dtype}; only bool, integer and float arrays are stored")
    name = path
    while name in tensors:  # keys may hold the separator
        name += "'"
    # safetensors writes memory as it lies, and ascontiguousarray would turn a 0-d array into 1-d.
    tensors[name] = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return {kind: name}


def _unpack(node: Any, file: Any) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "dict":
        return {key: _unpack(value, file) for key, value in content}
    if kind in ("list", "tuple"):
        values = [_unpack(value, file) for value in content]
        return tuple(values) if kind == "tuple" else values
    array = file.get_tensor(content)
    if kind in ("array", "scalar"):
        return array if kind == "array" else array[()]
    if kind == "bytes":
        return array.tobytes()
    import torch

    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if kind == "bfloat16" else tensor


def _entries(folder: Path) -> list[dict[str, Any]]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        entries = [{"file": str(e["file"]), "sha256": str(e["sha256"]), "bytes": int(e["bytes"])} for e in index["checkpoints"]]
        version = index["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / INDEX} is damaged ({_one_line(error)}); restore it from a copy or start a new run") from error
    if version != FORMAT:
        raise UserError(f"{folder / INDEX} has format {version}, expected {FORMAT}; use the gcrl that wrote it")
    return entries


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Force a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
