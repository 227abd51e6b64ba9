"""Where the time of a practice epoch goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Stopwatch:
    """Adds up the seconds spent in named stages, per lap (epoch) and in total."""

    def __init__(self) -> None:
        self.total: dict[str, float] = {}
        self._lap: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of a ``with`` statement as `stage`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self._lap[stage] = self._lap.get(stage, 0.0) + spent
            self.total[stage] = self.total.get(stage, 0.0) + spent

    def lap(self) -> dict[str, float]:
        """Return the seconds per stage since the last lap and start a new one; stage names with underscores."""
        lap, self._lap = self._lap, {}
        return {stage.replace(" ", "_") + "_s": seconds for stage, seconds in lap.items()}

    def table(self) -> str:
        """Return the stages with their seconds and shares, longest first."""
        whole = sum(self.total.values()) or 1.0
        rows = sorted(self.total.items(), key=lambda item: -item[1])
        return "\n".join(f"  {stage:<24}{seconds:>9.1f} s {100 * seconds / whole:>5.1f} %" for stage, seconds in rows)
