"""A pool of worker processes.

A key belongs to one worker (its *shard*) by rendezvous hashing over the numbers 0 … count-1, so what a worker holds open for a key is found
again; a worker that is restarted keeps its number and what waited for it. Tasks of one worker are done one by one in the order of
submission. Every task ends: with a value, with the error of the task, or with the reason why it was not done.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from fileflux.clock import Clock, SystemClock
from fileflux.errors import ConfigError, FluxError, OverloadedError, UnavailableError, WorkerDiedError
from fileflux.protocol.limits import DEFAULT_LIMITS, Limits
from fileflux.workers.link import encode
from fileflux.workers.process import WorkerProcess
from fileflux.workers.shards import Done, QueuedTask, Shard, TaskResult, shard_of
from fileflux.workers.slots import Arena
from fileflux.workers.tasks import error_from

__all__ = ["PoolStatistics", "TaskResult", "WorkerPool"]

log = structlog.get_logger("fileflux.workers")

_DOUBLINGS_MAX = 6
"""A worker that dies before it is ready is tried again after twice the time, doubled at most so often."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """``queued`` tasks are not yet handed to a process; ``done`` and ``failed`` count since the pool was made."""

    workers: int
    alive: int
    restarts: int
    queued: int
    in_flight: int
    done: int
    failed: int


class WorkerPool:
    """A Service: ``start``, then ``submit`` or ``run``, then ``stop``; it can be started again."""

    def __init__(
        self,
        count: int,
        factory: str,
        init: Mapping[str, Any] | None = None,
        arena: Arena | None = None,
        limits: Limits = DEFAULT_LIMITS,
        name: str = "workers",
        clock: Clock | None = None,
    ) -> None:
        if count < 1:
            raise ConfigError(f"{count} worker processes cannot work; give at least 1")
        self._first = {"factory": factory, "init": dict(init or {})}
        self._arena = arena
        self._limits = limits
        self._name = name
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._shards = tuple(Shard(number, threading.Condition(self._lock)) for number in range(count))
        self._manage = threading.Condition(self._lock)
        """Wakes the manager, and whoever waits in ``start``."""
        self._undone: deque[tuple[QueuedTask, FluxError]] = deque()
        self._numbers = itertools.count(1)
        self._queued = 0
        self._manager: threading.Thread | None = None
        self._running = False
        self._start_error: FluxError | None = None
        self._restarts = self._done = self._failed = 0

    def start(self) -> None:
        """Start the processes and return when all take tasks. Raises ConfigError when one cannot begin, UnavailableError when it takes too long."""
        with self._lock:
            if self._running:
                return
            self._running, self._start_error = True, None
            for shard in self._shards:
                shard.due, shard.failures = 0.0, 0
            # One thread starts all processes, for the pool's whole life: they die with the thread that started them.
            self._manager = threading.Thread(target=self._run_manager, name=f"{self._name}-manager", daemon=True)
            self._manager.start()
            settled = self._manage.wait_for(
                lambda: self._start_error or not self._running or all(shard.ready for shard in self._shards),
                self._limits.stop_timeout,
            )
            error = self._start_error
        if error is not None or not settled:
            self.stop()
            if error is not None:
                raise ConfigError(f"the {self._name} processes did not start: {error}")
            raise UnavailableError(f"the {self._name} processes are not ready; try again")

    def stop(self) -> None:
        """Finish what the processes have in hand, within ``limits.stop_timeout``; what is queued ends with UnavailableError."""
        with self._lock:
            manager, self._manager = self._manager, None
            if manager is None:
                return
            self._running = False
            self._manage.notify_all()
            processes = [shard.process for shard in self._shards if shard.process is not None]
            for shard in self._shards:
                shard.due = None
                while shard.queue:
                    self._undone.append((shard.queue.popleft(), UnavailableError(f"the {self._name} are stopping")))
                shard.wake.notify_all()
            self._queued = 0
        deadline = self._clock.monotonic() + self._limits.stop_timeout
        for process in processes:
            process.finish()
        for process in processes:
            if not process.join(max(deadline - self._clock.monotonic(), 0.0)):
                process.kill()
                process.join(self._limits.stop_timeout)
        manager.join(self._limits.stop_timeout)

    def shard(self, key: str, beside: str = "") -> int:
        """The number of the worker that ``key`` belongs to; see ``shard_of``."""
        return shard_of(key, len(self._shards), beside)

    def submit(self, key: str, task: str, args: dict[str, Any], done: Done, beside: str = "") -> None:
        """Queue a task for the worker of ``key`` (see ``shard_of``); never waits. ``args`` are JSON and are taken as they are now.

        ``done`` is called exactly once, in another (green) thread, and must not block. Its error is the task's own, WorkerDiedError when
        the process ended in the middle of it, OverloadedError when too much is queued, UnavailableError when the pool stops. Raises
        LocalProtocolError when ``args`` are not JSON or longer than 4 MiB. On a stopped pool ``done`` is called before this returns.
        """
        entry = self._encoded(task, args, done)
        shard = self._shards[self.shard(key, beside)]
        with self._lock:
            if self._running:
                if self._queued >= self._limits.worker_backlog:
                    # Told from the manager: a caller that submits again in ``done`` must not end up deep in itself.
                    self._undone.append((entry, OverloadedError(f"too many tasks wait for the {self._name}")))
                    self._manage.notify_all()
                else:
                    self._enqueue(shard, entry)
                return
        self._tell(entry, TaskResult(None, UnavailableError(f"the {self._name} are not running")))

    def run(self, key: str, task: str, args: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Do a task and wait for its value. Raises its error; UnavailableError after ``timeout`` seconds (it is done all the same)."""
        results: list[TaskResult] = []
        finished = threading.Event()

        def done(result: TaskResult) -> None:
            results.append(result)
            finished.set()

        self.submit(key, task, args, done)
        if not finished.wait(timeout):
            raise UnavailableError(f"{task} was not done within {timeout:g} s; try again")
        result = results[0]
        if result.error is not None:
            raise result.error
        return result.value or {}

    def broadcast(self, task: str, args: dict[str, Any]) -> None:
        """Have every worker do a task, behind what was submitted before; nobody hears of the result.

        The backlog's bound does not count here: closing what is open must work when too much waits.
        """
        entries = [self._encoded(task, args, lambda _: None) for _ in self._shards]
        with self._lock:
            if self._running:
                for shard, entry in zip(self._shards, entries, strict=True):
                    self._enqueue(shard, entry)

    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that live, by number."""
        with self._lock:
            return tuple(shard.process.pid for shard in self._shards if shard.process is not None)

    def statistics(self) -> PoolStatistics:
        with self._lock:
            return PoolStatistics(
                workers=len(self._shards),
                alive=sum(shard.ready for shard in self._shards),
                restarts=self._restarts,
                queued=self._queued,
                in_flight=sum(len(shard.in_flight) for shard in self._shards),
                done=self._done,
                failed=self._failed,
            )

    # Owner of the processes: called from their threads

    def ready(self, process: WorkerProcess) -> None:
        """See process.Owner."""
        with self._lock:
            shard = self._shard_of(process)
            shard.ready, shard.failures = True, 0
            self._manage.notify_all()

    def next_request(self, process: WorkerProcess) -> bytes | None:
        """See process.Owner."""
        with self._lock:
            shard = self._shard_of(process)
            shard.wake.wait_for(
                lambda: (
                    shard.process is not process
                    or not self._running
                    or (shard.queue and len(shard.in_flight) < self._limits.worker_in_flight)
                )
            )
            if shard.process is not process or not self._running:
                return None
            task = shard.queue.popleft()
            self._queued -= 1
            shard.in_flight[task.number] = task
            return task.request

    def answered(self, process: WorkerProcess, number: int, answer: dict[str, Any]) -> None:
        """See process.Owner."""
        error = error_from(answer["error"]) if "error" in answer else None
        value: dict[str, Any] | None = None if error is not None else answer["value"]
        with self._lock:
            shard = self._shard_of(process)
            task = shard.in_flight.pop(number)
            self._done += error is None
            self._failed += error is not None
            shard.wake.notify_all()
        self._tell(task, TaskResult(value, error))

    def ended(self, process: WorkerProcess, error: FluxError | None) -> None:
        """See process.Owner."""
        with self._lock:
            shard = self._shard_of(process)
            lost, shard.in_flight = shard.in_flight, {}
            was_ready, shard.ready, shard.process = shard.ready, False, None
            self._failed += len(lost)
            if self._running:
                if not was_ready:
                    self._could_not_start(shard, error or WorkerDiedError("a process ended at once"))
                self._start_later(shard)
                log.warning(
                    "a worker ended",
                    pool=self._name,
                    worker=shard.number,
                    tasks_lost=len(lost),
                    error=error and str(error),
                )
            shard.wake.notify_all()
            self._manage.notify_all()
        for task in lost.values():
            self._tell(task, TaskResult(None, WorkerDiedError("the worker process ended before it answered")))

    # Inside

    def _encoded(self, task: str, args: dict[str, Any], done: Done) -> QueuedTask:
        number = next(self._numbers)
        return QueuedTask(number, encode({"id": number, "task": task, "args": args}), done)

    def _enqueue(self, shard: Shard, task: QueuedTask) -> None:
        shard.queue.append(task)
        self._queued += 1
        shard.wake.notify_all()

    def _shard_of(self, process: WorkerProcess) -> Shard:
        return self._shards[process.number]

    def _could_not_start(self, shard: Shard, error: FluxError) -> None:
        self._start_error = self._start_error or error
        shard.failures = min(shard.failures + 1, _DOUBLINGS_MAX)

    def _start_later(self, shard: Shard) -> None:
        self._restarts += 1
        shard.due = self._clock.monotonic() + self._limits.worker_restart_delay * 2**shard.failures

    def _tell(self, task: QueuedTask, result: TaskResult) -> None:
        try:
            task.done(result)
        except Exception:
            log.exception("who waited for a task failed over its result", pool=self._name)

    def _run_manager(self) -> None:
        over = False
        while not over:
            with self._lock:
                while not (self._undone or self._due() or self._over()):
                    self._manage.wait(self._seconds_to_next_start())
                undone, self._undone = self._undone, deque()
                due = self._due()
                for shard in due:
                    shard.due = None
                over = self._over()
            for task, error in undone:
                self._tell(task, TaskResult(None, error))
            for shard in due:
                self._start_process(shard)

    def _over(self) -> bool:
        return not self._running and all(shard.process is None for shard in self._shards)

    def _due(self) -> list[Shard]:
        now = self._clock.monotonic()
        return [shard for shard in self._shards if shard.due is not None and shard.due <= now]

    def _seconds_to_next_start(self) -> float | None:
        times = [shard.due for shard in self._shards if shard.due is not None]
        return max(min(times) - self._clock.monotonic(), 0.0) if times else None

    def _start_process(self, shard: Shard) -> None:
        arena = None if self._arena is None else (self._arena.fd, self._arena.size)
        try:
            process = WorkerProcess(self, shard.number, self._first, arena, self._name)
        except (OSError, FluxError) as error:
            log.warning("a worker cannot be started", pool=self._name, worker=shard.number, error=str(error))
            with self._lock:
                if self._running:
                    self._could_not_start(shard, FluxError(f"cannot start a process: {error}"))
                    self._start_later(shard)
                    self._manage.notify_all()
            return
        with self._lock:
            shard.process = process
            process.begin()
            if not self._running:
                process.kill()
