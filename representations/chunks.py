"""Batched inference in chunks of fixed shape, so that a row's bits do not depend on how many other rows come with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

SMALL = 8  # acting: a handful of simulators
LARGE = 256  # re-encoding a buffer


def in_chunks(function: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, width: int) -> NDArray[np.float32]:
    """Apply `function` (c, ...) -> (c, width) to `rows` (n, ...) chunk by chunk and return (n, width) float32.

    Kernels choose their order of summation by the shape of a batch, so every call has one of two shapes: up to `SMALL` rows are
    padded to `SMALL`, more are cut into chunks of `LARGE`, the last one padded. A row encoded at both shapes may differ in its last bits.
    """
    count = len(rows)
    size = SMALL if count <= SMALL else LARGE
    result = np.empty((count, width), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, count, size):
            chunk = rows[start : start + size]
            used = len(chunk)
            if used < size:
                chunk = torch.cat([chunk, chunk[-1:].expand(size - used, *chunk.shape[1:])])
            result[start : start + used] = function(chunk)[:used].to(device="cpu", dtype=torch.float32).numpy()
    return result
