"""Exact environment states as bytes: JSON for numbers, npz for arrays, never a pickle."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import UserError

_HEADER = "__values__"


def pack(kind: str, values: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return `values` (what JSON can hold) and `arrays` as bytes that only an environment of the same `kind` accepts."""
    header = np.frombuffer(json.dumps({"kind": kind, "values": values}).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_HEADER: header}, **arrays)
    return buffer.getvalue()


def unpack(kind: str, state: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what `pack` was given. Raises `UserError` for bytes that are truncated, foreign or of another environment."""
    try:
        with np.load(io.BytesIO(state), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
        found, values = header["kind"], header["values"]
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"state of {len(state)} bytes cannot be read ({error}); expected one that get_state of {kind} returned") from error
    if found != kind:
        raise UserError(f"state belongs to {found}; expected one of {kind}")
    return values, arrays


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """Return the generator's state as what JSON can hold (PCG64, NumPy's and Gymnasium's default, holds integers only)."""
    return dict(generator.bit_generator.state)
