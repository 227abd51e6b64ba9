"""What `envs.real_robot` asks of a robot, how it keeps time, and how it keeps the hand within its box."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.api import Floats, Images
from envs.errors import UserError

MAX_LEAD = 0.04  # m and axis that the commanded point may run ahead of a hand that something holds back


class Hardware(Protocol):
    """A robot arm with a camera, its fingertips commanded in metres. None of the calls may wait longer than a control period."""

    def hand(self) -> NDArray[np.float64]:
        """Return where the fingertips are, (3,) m, from the arm's own encoders."""
        ...

    def measure(self) -> NDArray[np.float64]:
        """Return the achieved goal (g,): what the laboratory measures to judge an attempt. The learner from pictures never reads it."""
        ...

    def picture(self, size: int) -> Images:
        """Return the camera's newest picture, (size, size, 3) uint8."""
        ...

    def move(self, point: Floats) -> None:
        """Command the fingertips toward `point` (3,) m, which lies in the workspace, and return at once."""
        ...

    def hold(self) -> None:
        """Stand still from now on."""
        ...

    def stopped(self) -> str:
        """Return why the robot may not move now ("emergency stop pressed", "joint 4: torque limit"), or ""."""
        ...

    def close(self) -> None:
        """Hold, and let go of the robot."""
        ...


class Pacer:
    """Keeps a control rate: `wait` returns at the next tick of `rate_hz`; None does not wait at all.

    clock: seconds that only go forward. sleep: waits for as many.
    """

    def __init__(
        self, rate_hz: float | None, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        if rate_hz is not None and not (isinstance(rate_hz, (int, float)) and 0 < rate_hz < float("inf")):
            raise UserError(f"rate_hz={rate_hz!r}; expected control steps a second such as 20, or null for no waiting")
        self.period = 0.0 if rate_hz is None else 1.0 / rate_hz
        self._clock, self._sleep = clock, sleep
        self._due: float | None = None

    def begin(self) -> None:
        """Start counting anew: what happened since the last tick (a reset, the learner's turn) is not lateness."""
        self._due = None

    def wait(self) -> float:
        """Wait for the end of this control period; return by how many seconds it had been missed, 0 if it was kept.

        A period that was missed is not made up for by shorter ones.
        """
        if not self.period:
            return 0.0
        now = self._clock()
        due = now + self.period if self._due is None else self._due
        if now < due:
            self._sleep(due - now)
        self._due = max(now, due) + self.period
        return max(0.0, now - due)


class Workspace:
    """A box (m) that no command leaves. limits: "clip" moves a command that would to the wall, "refuse" does not carry it out."""

    def __init__(self, low: Any, high: Any, limits: str) -> None:
        self.low, self.high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self.refuses = limits == "refuse"

    def next_point(self, target: Floats, displacement: Floats, hand: Floats) -> tuple[Floats, bool]:
        """Return the point to command, (3,) m, after `target`, and whether the box changed what was asked for.

        The commanded point moves and not the hand, or a held arm would sag; `MAX_LEAD` keeps a blocked one from winding up.
        """
        wanted = np.clip(target + displacement, hand - MAX_LEAD, hand + MAX_LEAD)
        inside = np.clip(wanted, self.low, self.high)
        limited = bool(np.any(inside != wanted))
        return (np.clip(target, self.low, self.high) if limited and self.refuses else inside), limited

    def outside(self, hand: Floats) -> float:
        """Return how far (m) the hand (3,) is outside the box along its worst axis; 0 inside."""
        return float(np.maximum(self.low - hand, hand - self.high).max(initial=0.0))
