"""One progress line with rate, time left and last success: redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """Shows how far a run of `total` epochs is; `done` of them and `env_steps` environment steps lie before this start.

    `unit` is what is counted; away from a terminal a line is written at most every `pause` seconds, and at the end.
    `limit` is the wall time in seconds after which the run will end (0: none); time left never exceeds it. Writes to `stream`
    (standard error by default); `clock` is for tests.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        env_steps: int = 0,
        limit: float = 0.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        unit: str = "epoch",
        pause: float = 0.0,
    ) -> None:
        self.total, self.done, self.env_steps, self.limit = total, done, env_steps, limit
        self.success: float | None = None
        self.stream = stream if stream is not None else sys.stderr
        self.terminal = self.stream.isatty()
        self._clock, self._start = clock, clock()
        self._first, self._first_steps = done, env_steps
        self.unit, self.pause = unit, pause
        self._said = self._start
        self._width = 0

    def phase(self, name: str) -> None:
        """Show what the running epoch is busy with ("fit representation"); on a terminal only."""
        if self.terminal:
            self._draw(f"{self.line()}  {name}")

    def epoch(self, env_steps: int, success: float | None = None) -> None:
        """Count an epoch as done: `env_steps` steps so far in all; `success` where it was evaluated."""
        self.success = self.success if success is None else success
        self.advance(1, env_steps)

    def advance(self, count: int, env_steps: int) -> None:
        """Count `count` more as done: `env_steps` steps so far in all."""
        self.done, self.env_steps = self.done + count, env_steps
        if self.terminal:
            self._draw(self.line())
        elif self.done >= self.total or self._clock() - self._said >= self.pause:
            self._said = self._clock()
            self.say(self.line())

    def say(self, text: str) -> None:
        """Print a line of its own above the progress line."""
        if self.terminal and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self._width = 0
        self.stream.write(text + "\n")
        self.stream.flush()

    def close(self) -> None:
        """End the progress line."""
        if self.terminal and self._width:
            self.stream.write("\n")
            self.stream.flush()
            self._width = 0

    def line(self) -> str:
        """Return the progress in words: epoch, steps, rate, last success, time taken and left."""
        elapsed = self._clock() - self._start
        parts = [f"{self.unit} {self.done}/{self.total}"] + (
            [f"{self.env_steps:,} steps"] if self.env_steps or self.unit == "epoch" else []
        )
        if elapsed > 0 and self.unit != "epoch":
            parts.append(f"{(self.done - self._first) / elapsed:,.1f} {self.unit}s/s")
        if elapsed > 0 and self.env_steps > self._first_steps:
            parts.append(f"{(self.env_steps - self._first_steps) / elapsed:,.0f} steps/s")
        if self.success is not None:
            parts.append(f"success {self.success:.2f}")
        left = self.seconds_left()
        parts.append(f"{duration(elapsed)} taken" + ("" if left is None else f", {duration(left)} left"))
        return "  ".join(parts)

    def seconds_left(self) -> float | None:
        """Return the expected seconds to the end, None before the first epoch is done."""
        elapsed, epochs = self._clock() - self._start, self.done - self._first
        if epochs <= 0:
            return max(0.0, self.limit - elapsed) if self.limit else None
        left = elapsed / epochs * (self.total - self.done)
        return min(left, max(0.0, self.limit - elapsed)) if self.limit else left

    def _draw(self, text: str) -> None:
        columns = shutil.get_terminal_size().columns
        filled = round(12 * self.done / max(1, self.total))
        shown = f"[{'█' * filled}{'·' * (12 - filled)}] {text}"[: max(1, columns - 1)]
        self.stream.write("\r" + shown + " " * max(0, self._width - len(shown)))
        self.stream.flush()
        self._width = len(shown)


def duration(seconds: float) -> str:
    """Return seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
