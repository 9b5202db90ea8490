"""Rows of small files that are not in the database yet, owned by the persistence actor (decision 16).

Sans-I/O: ``take`` says what is to be written now. Whoever writes it tells the owners.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from fileflux.actors import messages as a
from fileflux.actors.kernel.ref import ActorRef
from fileflux.storage.delivered import Delivered
from fileflux.storage.transfers import TransferRow

ENDED_SECONDS: Final = 0.7
"""How long a row whose file has ended waits for company."""
PENDING_SECONDS: Final = 2.0
"""How long a row waits for its file to end; then it is written as pending."""
ROWS_MAX: Final = 20_000
"""About 20 MB of memory; with more, everything is written."""

_Key = tuple[int, int]


@dataclass(slots=True)
class Batch:
    """What is to be written of one run under one lease."""

    owner: ActorRef[Any] | None = None
    new: list[tuple[TransferRow, Delivered | None]] = field(default_factory=list)
    """Rows that are not there, with how they ended."""
    known: list[Delivered] = field(default_factory=list)
    """Ends of rows that were written as pending."""
    saves: list[a.SaveBundle] = field(default_factory=list)


class Unwritten:
    """``now`` is of one monotonic clock in all methods."""

    def __init__(self) -> None:
        self._rows: dict[_Key, dict[int, tuple[TransferRow, float]]] = {}
        self._owners: dict[_Key, ActorRef[Any]] = {}
        self._saves: deque[tuple[a.SaveBundle, float]] = deque()
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._rows or self._saves)

    @property
    def full(self) -> bool:
        return self._count >= ROWS_MAX

    def add(self, key: _Key, owner: ActorRef[Any], rows: Iterable[TransferRow], now: float) -> None:
        """Rows of a run's listing; ``key``: run and epoch."""
        waiting = self._rows.setdefault(key, {})
        self._owners[key] = owner
        before = len(waiting)
        waiting.update((row.id, (row, now)) for row in rows)
        self._count += len(waiting) - before

    def save(self, message: a.SaveBundle, now: float) -> None:
        """Files have ended."""
        self._saves.append((message, now))
        self._count += len(message.ended)

    def forget(self, key: _Key) -> None:
        """Somebody else has the run."""
        self._count -= len(self._rows.pop(key, ()))
        self._owners.pop(key, None)

    def take(self, now: float, most: int) -> dict[_Key, Batch]:
        """What is due, taken out: about ``most`` rows, and more with the next call."""
        return self._take(lambda _: now - ENDED_SECONDS, lambda _: now - PENDING_SECONDS, most)

    def take_all(self, run_id: int | None) -> dict[_Key, Batch]:
        """Everything of one run, or of all with None."""

        def until(run: int) -> float:
            return inf if run_id is None or run == run_id else -inf

        return self._take(until, until, ROWS_MAX * 2)

    def _take(
        self, ended_until: Callable[[int], float], pending_until: Callable[[int], float], most: int
    ) -> dict[_Key, Batch]:
        batches: dict[_Key, Batch] = {}
        kept: deque[tuple[a.SaveBundle, float]] = deque()
        while self._saves and most > 0:
            message, since = self._saves.popleft()
            if since <= ended_until(message.run_id):
                batch = batches.setdefault((message.run_id, message.epoch), Batch(message.owner))
                self._take_ended(batch, message)
                most -= len(message.ended)
            else:
                kept.append((message, since))
        self._saves.extendleft(reversed(kept))
        for key in tuple(self._rows):
            most -= self._take_pending(key, batches, pending_until(key[0]), most)
        return batches

    def _take_pending(self, key: _Key, batches: dict[_Key, Batch], until: float, most: int) -> int:
        rows = self._rows[key]
        due: list[TransferRow] = []
        for row, since in rows.values():
            # In the order in which they came, so none behind the first that is not due is due.
            if since > until or len(due) >= most:
                break
            due.append(row)
        if due:
            batch = batches.setdefault(key, Batch(self._owners[key]))
            batch.new.extend((row, None) for row in due)
            for row in due:
                del rows[row.id]
            self._count -= len(due)
        if not rows:
            self.forget(key)
        return len(due)

    def _take_ended(self, batch: Batch, message: a.SaveBundle) -> None:
        rows = self._rows.get((message.run_id, message.epoch), {})
        batch.saves.append(message)
        self._count -= len(message.ended)
        for end in message.ended:
            waiting = rows.pop(end.id, None)
            if waiting is None:
                batch.known.append(end)
            else:
                self._count -= 1
                batch.new.append((waiting[0], end))
