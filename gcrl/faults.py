"""Fault points: places where a test (or `make soak`) can kill the process, to show that nothing is lost there."""

from __future__ import annotations

import os
import signal

_visits: dict[str, int] = {}


def fault(name: str) -> None:
    """Kill this process with SIGKILL when the variable GCRL_FAULT is `name` (first visit) or ``name:N`` (N-th visit)."""
    wanted = os.environ.get("GCRL_FAULT")
    if not wanted:
        return
    _visits[name] = _visits.get(name, 0) + 1
    if wanted == f"{name}:{_visits[name]}" or (wanted == name and _visits[name] == 1):
        os.kill(os.getpid(), signal.SIGKILL)
