"""What every process that acts has in common: one thread, no main script of its own, no Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute as a collector process does, which has one thread: the number of threads changes the last bits of a product."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Hide the main script from a process being spawned, which would run it again: scripts need no ``__main__`` guard then."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Start a process that Ctrl-C does not reach from its first instruction on; an ignored signal is inherited."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def begin_process() -> None:
    """Set up a process that acts: Ctrl-C is its parent's, who decides when it ends; SIGTERM lets simulators remove their files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.unraisablehook = _quietly
    torch.set_num_threads(1)


def _quietly(unraisable: Any) -> None:
    """Report an exception that Python drops, but for the end by SIGTERM: whoever sent that makes sure of it."""
    if not isinstance(unraisable.exc_value, SystemExit):
        sys.__unraisablehook__(unraisable)
