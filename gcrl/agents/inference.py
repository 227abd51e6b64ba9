"""Calling a network on any number of rows so that a row's result does not depend on the other rows, nor on how many there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from envs.errors import UserError
from gcrl.agents.api import Floats

ACT_ROWS = 8  # simulators stepped in lockstep
VALUE_ROWS = 256


@torch.inference_mode()
def in_chunks(function: Callable[[Tensor, Tensor], Tensor], inputs: Floats, goals: Floats, rows: int, device: str) -> Floats:
    """Return `function(inputs (n, i), goals (n, k))` as float32 numpy (n, ...), computed in chunks of exactly `rows` rows.

    Matrix kernels round differently at different batch sizes, so the last chunk is filled up with zero rows and cut again. On some
    processors they also round by a row's place in its chunk, which does not change from one call to the next either.
    Raises `UserError` where the two differ in their number of rows.
    """
    n = len(inputs)
    if len(goals) != n:
        raise UserError(f"{n} input rows with {len(goals)} goals; expected one goal per row")
    filled = rows * max(1, -(-n // rows))
    s, g = _fill(inputs, filled, device), _fill(goals, filled, device)
    if filled == rows:
        results = function(s, g)
    else:
        results = torch.cat([function(s[i : i + rows], g[i : i + rows]) for i in range(0, filled, rows)])
    result: Floats = results.cpu().numpy()[:n]
    return result


def _fill(values: Floats, rows: int, device: str) -> Tensor:
    if len(values) == rows:
        filled = np.ascontiguousarray(values, np.float32)
    else:
        filled = np.zeros((rows, *np.shape(values)[1:]), np.float32)
        filled[: len(values)] = values
    return torch.from_numpy(filled).to(device)
