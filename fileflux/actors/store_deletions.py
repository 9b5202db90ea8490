"""Persistence's part in ``delete_extra``: what to store for each of its messages, and what to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from fileflux.actors import messages as a
from fileflux.storage import deletions
from fileflux.storage.pool import Transaction

T = TypeVar("T")


class Transact(Protocol):
    """Runs work in a transaction."""

    def __call__(self, work: Callable[[Transaction], T], /) -> T: ...


def store(message: a.DeletionMessage, transact: Transact) -> a.ExtrasMessage | a.Fenced:
    """Carry it out."""
    match message:
        case a.BeginDeletions():
            held = transact(lambda tx: deletions.begin(tx, message.run_id, message.epoch))
            return a.DeletionsBegun() if held else a.Fenced()
        case a.StoreExtras():
            stored = transact(lambda tx: deletions.add_extra(tx, message.run_id, message.epoch, message.found))
            return a.Fenced() if stored is None else a.ExtrasStored(message.last)
        case a.FetchDeletions():
            return transact(lambda tx: _due(tx, message.run_id, message.limit))
        case a.SaveDeletions():
            held = transact(lambda tx: deletions.settle(tx, message.run_id, message.epoch, message.outcomes))
            return a.DeletionsSaved() if held else a.Fenced()


def _due(tx: Transaction, run_id: int, limit: int) -> a.DueDeletions:
    rows = tuple(deletions.due(tx, run_id, limit))
    return a.DueDeletions(rows, (0, 0) if rows else deletions.count(tx, run_id))
