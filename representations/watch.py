"""What conformance checks watch: generators that nobody should touch, states that can be written without pickles, figures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

PLAIN = (int, float, str, bool, np.ndarray, np.generic, torch.Tensor)


def global_generators() -> dict[str, str]:
    """Return the state of every global generator by its library's name."""
    torch_state = torch.get_rng_state().numpy().tobytes().hex()
    numpy_state = str(np.random.get_state(legacy=False))  # noqa: NPY002
    return {"random": str(random.getstate()), "numpy.random": numpy_state, "torch": torch_state}


def touched(before: dict[str, str]) -> list[str]:
    """Return the libraries whose global generator was drawn from since `before`."""
    return [name for name, state in global_generators().items() if state != before[name]]


def odd_leaves(tree: Any, path: str = "") -> Iterator[str]:
    """Yield what of a state is neither an array, a tensor, a number nor a string: its path and its type."""
    if not isinstance(tree, dict):
        if not isinstance(tree, PLAIN):
            yield f"{path or 'state'} ({type(tree).__name__})"
        return
    for key, value in tree.items():
        yield from odd_leaves(value, f"{path}.{key}" if path else str(key))


def odd_metrics(metrics: Any) -> Iterator[str]:
    """Yield what is wrong with the figures that a fit returned, a line each."""
    if not isinstance(metrics, dict):
        yield f"fit returned {type(metrics).__name__}; expected a dict of figures, perhaps empty"
        return
    for name, value in metrics.items():
        if not isinstance(name, str) or not np.isscalar(value) or not np.isfinite(float(value)):  # type: ignore[arg-type]
            yield f"fit returned {name!r}: {value!r}; expected finite numbers by name"
