"""What somebody should look at. The same thing again counts up its open alert, so that repetition fills no table."""

# ruff: noqa: S608  # SQL is put together from names in this module only; every value is a parameter
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from fileflux.errors import NotFoundError
from fileflux.storage import outbox
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make, page_size
from fileflux.storage.values import safe_text

AlertKind = Literal[
    "token_on_two_hosts", "refresh_reused", "expectation_failed", "notification_failed", "delete_refused"
]
KEPT_DAYS: Final = 90
"""How long a dismissed alert is kept; the audit log has what it was about for longer."""


@dataclass(frozen=True, slots=True)
class AlertRow:
    """``object`` is like ``agent:5`` or ``user:7``; ``count`` is how often it happened since ``first_at``."""

    id: int
    kind: str
    object: str
    message: str
    count: int
    first_at: datetime
    last_at: datetime
    dismissed_at: datetime | None
    dismissed_by: str | None


_COLUMNS = columns(AlertRow)


def raise_alert(tx: Transaction, kind: AlertKind, object: str, message: str) -> AlertRow:  # noqa: A002  # the column's and the API's word
    """Open an alert, or count up the open one of this kind and object; its message becomes the newest.

    ``message`` says what happened and what to do. After the commit, publish AlertRaised on the bus.
    """
    row = tx.one(
        "INSERT INTO alerts (kind, object, message) VALUES (%s, %s, %s)"
        " ON CONFLICT (kind, object) WHERE dismissed_at IS NULL"
        " DO UPDATE SET message = EXCLUDED.message, count = alerts.count + 1, last_at = now()"
        f" RETURNING {_COLUMNS}",
        (kind, safe_text(object), safe_text(message)),
    )
    assert row is not None  # noqa: S101  # for the type checker: INSERT … RETURNING gives its row
    raised = AlertRow(*row)
    if raised.count == 1:
        _tell(tx, raised)
    return raised


def get(tx: Transaction, alert_id: int) -> AlertRow | None:
    return make(AlertRow, tx.one(f"SELECT {_COLUMNS} FROM alerts WHERE id = %s", (alert_id,)))


def get_many(tx: Transaction, alert_ids: Sequence[int]) -> list[AlertRow]:
    """Those of these alerts that exist, by id."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM alerts WHERE id = ANY(%s::bigint[]) ORDER BY id", (list(alert_ids),))
    return [AlertRow(*row) for row in rows]


def list_page(tx: Transaction, limit: int, cursor: int | None = None, *, dismissed: bool = False) -> list[AlertRow]:
    """Alerts, newest first by id, those before ``cursor``; with ``dismissed`` the dismissed ones too."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM alerts WHERE (%(cursor)s::bigint IS NULL OR id < %(cursor)s)"
        " AND (%(dismissed)s OR dismissed_at IS NULL) ORDER BY id DESC LIMIT %(limit)s",
        {"cursor": cursor, "dismissed": dismissed, "limit": page_size(limit)},
    )
    return [AlertRow(*row) for row in rows]


def dismiss(tx: Transaction, alert_id: int, by: str) -> AlertRow:
    """Done with; again is a no-op. The same thing opens a new alert when it happens again. Raises NotFoundError for an unknown one."""
    row = tx.one(
        "UPDATE alerts SET dismissed_at = coalesce(dismissed_at, now()), dismissed_by = coalesce(dismissed_by, %s)"
        f" WHERE id = %s RETURNING {_COLUMNS}",
        (by, alert_id),
    )
    if row is None:
        raise NotFoundError(f"there is no alert {alert_id}")
    return AlertRow(*row)


def remove_old(tx: Transaction, limit: int) -> int:
    """Remove at most ``limit`` alerts that were dismissed KEPT_DAYS ago; how many."""
    return tx.execute(
        "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE dismissed_at < now() - make_interval(days => %s) LIMIT %s)",
        (KEPT_DAYS, page_size(limit)),
    )


def count_open(tx: Transaction) -> dict[str, int]:
    """How many are open, by kind."""
    return dict(tx.all("SELECT kind, count(*)::int FROM alerts WHERE dismissed_at IS NULL GROUP BY kind"))


def _tell(tx: Transaction, row: AlertRow) -> None:
    """The world outside hears of a new one, not of each time that it happens again."""
    what, _, number = row.object.partition(":")
    about = {f"{what}_id": int(number)} if what in ("agent", "job") and number.isdecimal() else {}
    detail = {"alert": {"id": row.id, "kind": row.kind, "object": row.object, "message": row.message}}
    outbox.add(tx, "alert.raised", **about, detail=detail)
