"""What both transfer machines share: tasks that are running, lost workers, failing and closing.

Sans-I/O: methods take what happened and ``now`` and return effects (``effects.py``). An effect that was returned will be carried out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from fileflux.errors import TRANSFER_CODES, FluxError, RemoteProtocolError, WorkerDiedError
from fileflux.protocol import messages as m
from flux_agent.transfer.effects import Broadcast, DropUnsent, Effect, Finished, RunTask, SendItem
from flux_agent.transfer.regions import Slot

LOST_TASKS_MAX: Final = 5
"""A file whose tasks took so many workers with them is not tried again here: its content may be what kills them."""
MESSAGE_MAX: Final = 1000


@dataclass(slots=True)
class Stages:
    """Seconds spent so far, by stage."""

    read: float = 0.0
    hash: float = 0.0
    compress: float = 0.0
    window: float = 0.0
    write: float = 0.0
    sync: float = 0.0

    def add(self, microseconds: dict[str, int]) -> None:
        """Of one task, by stage."""
        for name, spent in microseconds.items():
            setattr(self, name, getattr(self, name) + spent / 1e6)

    def shown(self) -> m.StageTimes:
        return m.StageTimes(*(int(getattr(self, name) * 1000) for name in self.__slots__))


class Machine(ABC):
    """One end of one transfer under one wire id."""

    close_task: ClassVar[str]

    def __init__(self, request: m.TransferRequestItem | m.BundleRequestItem) -> None:
        self.role = request.role
        self.wire_id = request.transfer_id
        self.key = str(request.transfer_id)
        """Tasks with this key run on one worker, in order."""
        self.handle: Any = None
        self.size = 0
        self.total = 1
        self.times = Stages()
        self.running = 0
        """Tasks asked for and not yet done."""
        self._lost = 0

    # To be had from outside

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Nothing follows any more."""

    @property
    @abstractmethod
    def moving(self) -> bool:
        """Worth a line in ``transfer_progress``."""

    @abstractmethod
    def begin(self) -> list[Effect]:
        """The first call."""

    @abstractmethod
    def progress(self) -> m.TransferProgressItem:
        """How far it is."""

    def task_done(
        self, task: RunTask, value: dict[str, Any] | None, error: FluxError | None, now: float
    ) -> list[Effect]:
        """A task that this machine asked for has ended, with a value or an error."""
        self.running -= 1
        if isinstance(error, WorkerDiedError) and not self._is_closing():
            self._lost += 1
            if self._lost <= LOST_TASKS_MAX:
                self.running += 1
                return [self._redone(task)]
        if self._is_closing():
            if task.slot is not None:
                task.slot.release()
            if value is not None:
                self._late(task, value)
            return self._drained()
        if error is not None:
            if task.slot is not None:
                task.slot.release()
            return self._task_failed(task, error)
        try:
            return self._handlers()[task.task](task, value or {}, now)
        except RemoteProtocolError as broken:
            return self.fail("protocol", str(broken), retryable=False)

    def fail(self, code: str, message: str, *, retryable: bool) -> list[Effect]:
        """Tell the hub and close. The part, if any, stays for a later attempt."""
        if self._is_closing():
            return []
        known = code if code in TRANSFER_CODES else "internal"
        item = m.TransferErrorItem(self.wire_id, known, printable(message), retryable=retryable, role=self.role)
        return [SendItem(m.TransferErrorMessage, item), *self._close()]

    @abstractmethod
    def cancel(self, *, discard: bool) -> list[Effect]:
        """Close without a word to the hub: it asked for it, or the session is gone."""

    @abstractmethod
    def link_lost(self) -> list[Effect]:
        """The link is gone; the hub says by ``transfer_resume`` how this transfer goes on, if it does."""

    # For the machines

    @abstractmethod
    def _handlers(self) -> dict[str, Callable[[RunTask, dict[str, Any], float], list[Effect]]]: ...

    @abstractmethod
    def _is_closing(self) -> bool: ...

    @abstractmethod
    def _close(self) -> list[Effect]:
        """Step to closing; ends with ``_drained()``."""

    @abstractmethod
    def _close_now(self) -> None:
        """Step to closed."""

    def _redone(self, task: RunTask) -> RunTask:
        return replace(task)

    def _late(self, task: RunTask, value: dict[str, Any]) -> None:
        """A task was done after the machine began to close."""
        del task, value

    def _task_failed(self, task: RunTask, error: FluxError) -> list[Effect]:
        del task
        return self.fail(error.code, str(error), retryable=error.retryable)

    def _run(
        self,
        task: str,
        *,
        key: str | None = None,
        beside: str = "",
        context: Any = None,
        slot: Slot | None = None,
        **args: Any,
    ) -> RunTask:
        self.running += 1
        if slot is not None:
            args["slot"] = [slot.offset, slot.size]
        return RunTask(key or self.key, task, {"wire": self.wire_id, **args}, context, slot, beside=beside)

    def _chunk_key(self, what: object) -> str:
        """Chunks of one file spread over the workers; a file of one chunk stays on one, so that only that one has it open."""
        return self.key if self.total == 1 else f"{self.wire_id}:{what}"

    def _drained(self) -> list[Effect]:
        """When nothing of it runs any more: let the workers close the file, then the end."""
        if self.running or self.closed:
            return []
        self._close_now()
        return [
            Broadcast(self.close_task, self._close_args(), self.key if self.total == 1 else ""),
            DropUnsent(),
            Finished(),
        ]

    def _close_args(self) -> dict[str, Any]:
        return {"wire": self.wire_id}


def printable(message: str) -> str:
    """Text that the codec accepts: bounded, without NUL and lone surrogates."""
    return message[:MESSAGE_MAX].replace("\0", "?").encode("utf-8", "replace").decode("utf-8")
