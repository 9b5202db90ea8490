"""Append to the audit log and read it. Write an entry in the transaction that changes the state it speaks of.

The database itself refuses to change or remove entries. Texts are made storable rather than refused: an attacker's file name must
not keep an entry out.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, page_size
from fileflux.storage.values import safe_json, safe_text


@dataclass(frozen=True, slots=True)
class NewEntry:
    """``actor`` and ``object`` are like ``user:5`` or ``run:17``, ``action`` is like ``job.created``, ``outcome`` ok, refused or failed."""

    actor: str
    action: str
    object: str = ""
    outcome: str = "ok"
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    at: datetime
    actor: str
    action: str
    object: str
    outcome: str
    detail: dict[str, Any]


_COLUMNS = columns(AuditRow)


def append(
    tx: Transaction,
    actor: str,
    action: str,
    object: str = "",  # noqa: A002  # the column's and the API's word
    outcome: str = "ok",
    detail: Mapping[str, Any] | None = None,
) -> None:
    append_many(tx, [NewEntry(actor, action, object, outcome, detail or {})])


def append_many(tx: Transaction, entries: Sequence[NewEntry]) -> None:
    """In this order."""
    tx.values(
        "INSERT INTO audit (actor, action, object, outcome, detail) VALUES %s RETURNING id",
        [
            (safe_text(e.actor), safe_text(e.action), safe_text(e.object), safe_text(e.outcome), safe_json(e.detail))
            for e in entries
        ],
    )


def list_page(tx: Transaction, limit: int, cursor: int | None = None) -> list[AuditRow]:
    """Newest first, those before ``cursor``."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM audit WHERE (%(cursor)s::bigint IS NULL OR id < %(cursor)s) ORDER BY id DESC LIMIT %(limit)s",
        {"cursor": cursor, "limit": page_size(limit)},
    )
    return [AuditRow(*row) for row in rows]
