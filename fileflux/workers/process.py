"""One life of one worker process: its channel, who reads it and who writes it.

Writing has a thread of its own so that whoever submits never waits for a child that is busy. Everything is in blocking style: under a
patched standard library the threads are greenlets.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any, Protocol

import structlog

from fileflux.errors import FluxError, LocalProtocolError
from fileflux.workers.tasks import error_from

if sys.platform == "win32":
    from fileflux.workers.windows import start_child
else:
    from fileflux.workers.posix import start_child

log = structlog.get_logger("fileflux.workers")

_REAP_S = 5.0
"""A killed process is gone at once unless it hangs in the kernel (a dead network disk): it is not waited for then."""


class Owner(Protocol):
    """Who feeds a process. Calls come from the process's threads."""

    def ready(self, process: WorkerProcess) -> None:
        """It takes tasks."""

    def next_request(self, process: WorkerProcess) -> bytes | None:
        """The next encoded request, waiting for one; None when there will be no more."""

    def answered(self, process: WorkerProcess, number: int, answer: dict[str, Any]) -> None:
        """One answer, in the order of the requests."""

    def ended(self, process: WorkerProcess, error: FluxError | None) -> None:
        """It is gone and reaped; called once, last. ``error`` is what it said when it could not begin."""


class WorkerProcess:
    """Start it from a thread that lives at least as long as the process (see ``posix.start_child``)."""

    def __init__(
        self,
        owner: Owner,
        number: int,
        first: dict[str, Any],
        arena: tuple[int, int] | None,
        name: str,
    ) -> None:
        self.number = number
        self._owner = owner
        self._popen, self._link = start_child(arena)
        self._writer = threading.Thread(target=self._write, args=(first,), name=f"{name}-{number}-writer", daemon=True)
        self._reader = threading.Thread(target=self._read, name=f"{name}-{number}-reader", daemon=True)
        self._begun = threading.Event()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def begin(self) -> None:
        """Let its threads run; the owner's calls begin."""
        self._reader.start()

    def finish(self) -> None:
        """No more requests: it ends after those it has."""
        self._link.finish()

    def kill(self) -> None:
        """End it now."""
        self._popen.kill()

    def join(self, timeout: float) -> bool:
        """Wait until ``ended`` was called; False when the time ran out first."""
        self._reader.join(timeout)
        return not self._reader.is_alive()

    def _write(self, first: dict[str, Any]) -> None:
        try:
            self._link.send(first)
            self._begun.wait()
            while (request := self._owner.next_request(self)) is not None:
                self._link.send_encoded(request)
        except OSError:
            # The process is gone: its reader sees that too and tells the owner.
            return

    def _read(self) -> None:
        error: FluxError | None = None
        self._writer.start()
        try:
            error = self._receive_all()
        except (LocalProtocolError, LookupError, TypeError) as problem:
            log.warning("a worker talks nonsense", pid=self.pid, problem=str(problem))
        finally:
            self._reap()
            self._owner.ended(self, error)
            self._begun.set()

    def _receive_all(self) -> FluxError | None:
        first = self._link.receive()
        if first is None:
            return None
        if "error" in first:
            return error_from(first["error"])
        self._owner.ready(self)
        self._begun.set()
        while (answer := self._link.receive()) is not None:
            self._owner.answered(self, answer["id"], answer)
        return None

    def _reap(self) -> None:
        self._popen.kill()
        self._link.close()
        try:
            self._popen.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            log.warning("a killed worker does not end", pid=self.pid)
