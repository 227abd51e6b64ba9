"""What every process that acts has in common: one thread, no main script of its own, no Ctrl-C."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any

import torch

GRACE = 5.0  # seconds that a process has to end in an orderly way once its parent is gone


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
def flushed() -> Iterator[None]:
    """Learn without denormal numbers, which are zero meanwhile: Adam's averages of a weight that no longer moves end up among them for good
    (0.9 times the smallest one is rounded to itself), and a step then takes several times as long."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


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
def interrupts_deferred() -> Iterator[None]:
    """Start a process that Ctrl-C does not reach from its first instruction on; one that comes meanwhile reaches this process afterwards.

    A new process inherits what is blocked, until `begin_process`. Ignoring the signal instead would be inherited too, but lose it here.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # starting it unblocks the signal
    came: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # other threads do not block it
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        signal.signal(signal.SIGINT, previous)
        if came:
            signal.raise_signal(signal.SIGINT)


def begin_process() -> None:
    """Set up a process that acts: Ctrl-C is its parent's, who decides when it ends; SIGTERM lets simulators remove their files.

    It ends when its parent has, whatever it is at.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.unraisablehook = _quietly
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True, name="gcrl-end-with-parent").start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)  # SIGTERM's exception was dropped in a finaliser, or something waits for ever


def _quietly(unraisable: Any) -> None:
    """Report an exception that Python drops, but for the end by SIGTERM: whoever sent that makes sure of it."""
    if not isinstance(unraisable.exc_value, SystemExit):
        sys.__unraisablehook__(unraisable)
