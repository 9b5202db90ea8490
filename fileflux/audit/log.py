"""Append to the audit log and read it. Write an entry in the transaction that changes the state it speaks of.

The database itself refuses to change or remove entries. Texts are made storable rather than refused: an attacker's file name must
not keep an entry out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fileflux.storage.pages import Filter, Listing
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns
from fileflux.storage.values import safe_json, safe_text


@dataclass(frozen=True, slots=True)
class NewEntry:
    """``actor`` and ``object`` are like ``user:5`` or ``run:17``, ``action`` is like ``job.created``, ``outcome`` one of OUTCOMES."""

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
OUTCOMES: Final = ("ok", "refused", "failed", "succeeded", "partial", "cancelled")
"""The last three, and ``failed``, are how a run ended."""

# Entries are numbered when they are written and carry the time at which their transaction began, less than an hour before. So whatever is
# an hour outside a bound of time has its number outside too. Without that the list would be read to its end for a time long past.
_SINCE: Final = (
    "at >= %(value)s AND id > coalesce((SELECT id FROM audit"
    " WHERE at < %(value)s - interval '1 hour' ORDER BY at DESC, id DESC LIMIT 1), 0)"
)
_UNTIL: Final = (
    "at < %(value)s AND id < coalesce((SELECT id FROM audit"
    " WHERE at >= %(value)s + interval '1 hour' ORDER BY at, id LIMIT 1), 9223372036854775807)"
)
LIST = Listing(
    lambda values: AuditRow(*values),
    _COLUMNS,
    "audit",
    filters={
        "actor": Filter(("actor = %(value)s",)),
        "action": Filter(("action = %(value)s",)),
        "object": Filter(("object = %(value)s",)),
        "outcome": Filter(("outcome = %(value)s",)),
        "since": Filter((_SINCE,)),
        "until": Filter((_UNTIL,)),
    },
    default="-id",
)


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
