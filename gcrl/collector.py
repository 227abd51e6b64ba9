"""The collector: a process that steps several simulators with a snapshot of the policy while the learner learns.

A collection is a function of its `Request` alone, so a request that was lost (a killed run, a dead process) can be sent
again and returns the same episodes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import traceback
from typing import Any

from envs.errors import UserError
from gcrl.finite import NotFinite
from gcrl.processes import begin_process, interrupts_deferred, one_thread, without_main
from gcrl.request import Request
from gcrl.settings import Settings
from gcrl.world import Result, World

ATTEMPTS = 3  # a process that dies this often over one request would die for ever


class Collector:
    """Sends requests to a collector process and receives results; a dead process is restarted and counted.

    At most one request is in flight. With ``practice.collector_process=false`` the same work happens in this process.
    `restarts` counts from the given number (that of the run so far).
    """

    def __init__(self, settings: Settings, restarts: int = 0) -> None:
        self.settings = settings
        self.restarts = restarts
        self.in_flight: Request | None = None
        self._inline: World | None = None
        self._process: Any = None
        self._connection: Any = None
        if settings.practice.collector_process:
            self._start()
        else:
            with one_thread():
                self._inline = World(settings)

    @property
    def pid(self) -> int | None:
        """The collector process's id; None when collecting in this process."""
        return None if self._process is None else self._process.pid

    def send(self, request: Request) -> None:
        """Hand over a request; returns at once when collecting in a process."""
        self.in_flight = request
        if self._connection is not None:
            # A process that is gone has either said why, or is started again: `receive` finds out which.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.send(request)

    def receive(self) -> Result:
        """Return the result of the request in flight.

        Raises:
            UserError: the environment or policy cannot be built in the collector, or its process died three times over one request.
            NotFinite: an action or latent became NaN or infinite. RuntimeError: collecting failed; the collector's traceback is in it.
        """
        assert self.in_flight is not None, "nothing was requested"
        if self._inline is not None:
            with one_thread():
                result: Any = self._inline.serve(self.in_flight)
        else:
            result = self._answer()
        self.in_flight = None
        if isinstance(result, Exception):
            raise result
        answer: Result = result
        return answer

    def close(self) -> None:
        """Stop the process or close the simulators."""
        if self._inline is not None:
            self._inline.close()
        elif self._process is not None:
            with contextlib.suppress(OSError):
                if self.in_flight is None:
                    self._connection.send(None)
                    self._process.join(timeout=5)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(timeout=5)
            self._connection.close()

    def _answer(self) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._connection.recv()
            except (EOFError, OSError):  # OSError: it died in the middle of its answer
                if attempt < ATTEMPTS:
                    self._restart()
        raise UserError(
            f"the collector process died {ATTEMPTS} times over the same request (out of memory?); "
            f"expected fewer than practice.simulators={self.settings.practice.simulators}, or practice.collector_process=false to see why"
        )

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.settings), daemon=True, name="gcrl-collector")
        with without_main(), interrupts_deferred():
            self._process.start()
        theirs.close()

    def _restart(self) -> None:
        self.restarts += 1
        self._connection.close()
        self._process.kill()
        self._process.join()
        self._start()
        assert self.in_flight is not None
        self.send(self.in_flight)


def _serve(connection: Any, settings: Settings) -> None:
    """Body of the collector process: answer requests until the learner hangs up."""
    begin_process()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the learner is gone
        try:
            world = World(settings)
            while (request := connection.recv()) is not None:
                connection.send(world.serve(request))
        except (UserError, NotFinite) as error:
            connection.send(error)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            connection.send(RuntimeError(f"the collector failed: {error}\n{traceback.format_exc()}"))
