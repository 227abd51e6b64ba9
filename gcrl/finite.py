"""Where figures stop being numbers: the error that ends a run, and who is to blame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np


class NotFinite(RuntimeError):
    """A loss, latent, reward, goal or action became NaN or infinite. The message names the culprit in one line."""


def require_finite(name: str, values: Any) -> None:
    """Raise `NotFinite` naming `name` unless all `values` are finite."""
    array = np.asarray(values)
    finite = np.isfinite(array)
    if not finite.all():
        raise NotFinite(f"{name} became {array[~finite].ravel()[0]} ({int((~finite).sum())} of {array.size} values)")


@contextlib.contextmanager
def raised_by(part: str) -> Iterator[None]:
    """Name `part` in whatever the body raises: diverged figures become `NotFinite`, other errors carry a note beside their traceback."""
    try:
        yield
    except FloatingPointError as error:
        raise NotFinite(f"{part}: {error}") from error
    except Exception as error:
        error.add_note(f"raised by {part}")
        raise
