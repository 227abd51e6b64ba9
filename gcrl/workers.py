"""Numbered jobs done by several processes, their results in order: the same whatever the number of processes, and after deaths."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from envs.errors import UserError
from gcrl.finite import NotFinite
from gcrl.processes import begin_process, interrupts_deferred, one_thread, without_main

ATTEMPTS = 3  # a process that dies this often over one job would die for ever
AT_HAND = 2  # jobs that a process has, so that it goes on while this one is busy with results
AHEAD = 3  # jobs per process that may be done before their turn, so that results do not pile up behind a slow one


class Maker(Protocol):
    """Does job number `index`; its result is a function of that number and of how the maker was built, nothing else."""

    def __call__(self, index: int) -> Any: ...

    def close(self) -> None: ...


class Workers:
    """`count` processes, each with a maker of its own that `build` (importable by name) makes there; with one, this process does the jobs.

    A process that dies is replaced and its job done again: `restarts` counts. No process outlives this one, whatever ends it.
    """

    def __init__(self, build: Callable[[], Maker], count: int) -> None:
        self.build, self.count = build, count
        self.restarts = 0

    def results(self, jobs: range, stop: Callable[[], bool] = lambda: False) -> Iterator[Any]:
        """Yield the result of each of `jobs` in order; once `stop` says so, only of those that are being done or are done.

        Raises:
            UserError, NotFinite: what a maker raised, or a process died three times over one job.
            RuntimeError: a maker failed; its traceback is in the message.
        """
        if self.count > 1 and len(jobs) > 1:
            yield from self._by_processes(jobs, stop)
            return
        with one_thread():
            maker = self.build()
        try:
            for job in jobs:
                if stop():
                    return
                with one_thread():
                    result = maker(job)
                yield result
        finally:
            maker.close()

    def _by_processes(self, jobs: range, stop: Callable[[], bool]) -> Iterator[Any]:
        crew = [_Worker(self.build) for _ in range(min(self.count, len(jobs)))]
        done: dict[int, Any] = {}
        waiting, turn = jobs, jobs.start
        try:
            while turn < jobs.stop:
                for worker in [worker for depth in range(AT_HAND) for worker in crew if len(worker.jobs) <= depth]:
                    if waiting and waiting.start < turn + AHEAD * len(crew) and not stop():
                        worker.give(waiting.start)
                        waiting = waiting[1:]
                busy = [worker.connection for worker in crew if worker.jobs]
                if not busy:
                    return
                for connection in multiprocessing.connection.wait(busy):
                    worker = next(one for one in crew if one.connection is connection)
                    self._take(worker, done)
                while turn in done:
                    yield done.pop(turn)
                    turn += 1
        except BaseException:  # nobody waits for what they are at
            for worker in crew:
                worker.process.terminate()
            raise
        finally:
            for worker in crew:
                worker.stop()

    def _take(self, worker: _Worker, done: dict[int, Any]) -> None:
        """Take a worker's answer into `done`, or replace the worker where it died."""
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):  # OSError: it died in the middle of its answer
            worker.deaths += 1
            self.restarts += 1
            if worker.deaths >= ATTEMPTS:
                raise UserError(
                    f"a worker process died {ATTEMPTS} times over the same work (out of memory?); "
                    "expected fewer workers, or workers=1 to see why"
                ) from None
            worker.restart()
            return
        if isinstance(answer, Exception):
            raise answer
        done[worker.jobs.popleft()], worker.deaths = answer, 0


class _Worker:
    """One process; `jobs` is what it was given and has not answered, in order, `deaths` how often it died over the first."""

    def __init__(self, build: Callable[[], Maker]) -> None:
        self.build = build
        self.jobs: deque[int] = deque()
        self.deaths = 0
        self._start()

    def give(self, job: int) -> None:
        self.jobs.append(job)
        self._send(job)

    def _send(self, job: int) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is gone: the reader of its answer finds out
            self.connection.send(job)

    def restart(self) -> None:
        """Start anew, and give again what was not answered."""
        self.stop()
        self._start()
        for job in self.jobs:
            self._send(job)

    def stop(self) -> None:
        self.connection.close()  # it ends by itself when it next listens, or speaks
        self.process.join(timeout=3)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(timeout=3)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.build), daemon=True, name="gcrl-worker")
        with without_main(), interrupts_deferred():
            self.process.start()
        theirs.close()


def _serve(connection: Any, build: Callable[[], Maker]) -> None:
    """Body of a worker process: do jobs until the other side hangs up, and the next one while an answer waits to be taken."""
    begin_process()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError), ThreadPoolExecutor(1) as courier:
        sending: Future[None] | None = None
        try:
            with contextlib.closing(build()) as maker:
                while True:
                    answer = maker(connection.recv())
                    if sending is not None:
                        sending.result()
                    sending = courier.submit(connection.send, answer)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except (UserError, NotFinite) as error:
            courier.submit(connection.send, error).result()
        except Exception as error:
            courier.submit(connection.send, RuntimeError(f"a worker failed: {error}\n{traceback.format_exc()}")).result()
