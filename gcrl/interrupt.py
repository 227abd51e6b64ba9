"""Ctrl-C that ends work in an orderly way: it is noted at once and acted on between two pieces of work.

Without this, Python raises `KeyboardInterrupt` wherever it happens to be; in a finaliser or a weak reference's callback the exception is
printed and dropped, and the work goes on as if nobody had asked.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any


def _to_standard_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Interrupt:
    """While entered, the first Ctrl-C sets `asked` and says `message` by way of `say`; the second raises `KeyboardInterrupt`.

    The message says what will be done before the work ends; "" for nothing to say.
    """

    def __init__(self, message: str, say: Callable[[str], None] = _to_standard_error) -> None:
        self.asked = False
        self.message, self.say = message, say
        self._previous: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # signals reach no other thread
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _on_signal(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if not self.message:
            return
        with contextlib.suppress(RuntimeError):  # it came in the middle of a line that is being written
            self.say(f"{self.message}; press Ctrl-C again to stop at once")


@contextlib.contextmanager
def interrupted_after() -> Iterator[None]:
    """Let a Ctrl-C that comes while something short runs raise `KeyboardInterrupt` when that is done.

    For imports above all, whose weak references drop one that comes at the wrong moment.
    """
    with Interrupt("") as interrupt:
        yield
    if interrupt.asked:
        raise KeyboardInterrupt
