"""Requests that carry an Idempotency-Key: claimed before they are carried out, their answers kept for a day.

A claim whose request was cut off by a crash stays without an answer. Whether its work was done is not known, so it is not done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg2.extras import Json

from fileflux.storage.pool import Transaction

KEPT_HOURS = 24
SWEEP = 20
"""Old rows removed with each claim: more than a claim adds, so they never pile up, and too few to be felt."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An earlier request with the same key. ``status`` None: it has not been answered; ``age_s`` is in seconds."""

    route: str
    body_sha256: bytes
    status: int | None
    headers: dict[str, str]
    body: str
    age_s: float


def claim(tx: Transaction, actor: str, key: str, route: str, body_sha256: bytes) -> Claim | None:
    """None: the key is the caller's, who carries the request out and then calls ``answered`` or ``release``. Else the request that has it.

    Commit before doing anything: of two at the same time the second waits here for the first one's commit.
    """
    tx.execute(
        "DELETE FROM idempotency_keys WHERE (actor, key) IN (SELECT actor, key FROM idempotency_keys"
        " WHERE created_at < now() - make_interval(hours => %s) ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)",
        (KEPT_HOURS, SWEEP),
    )
    # An old row that the sweep has not reached yet is nobody's any more.
    made = tx.execute(
        "INSERT INTO idempotency_keys AS kept (actor, key, route, body_sha256) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (actor, key) DO UPDATE SET route = EXCLUDED.route, body_sha256 = EXCLUDED.body_sha256, status = NULL,"
        " headers = '{}', body = '', created_at = now() WHERE kept.created_at < now() - make_interval(hours => %s)",
        (actor, key, route, body_sha256, KEPT_HOURS),
    )
    if made:
        return None
    row = tx.one(
        "SELECT route, body_sha256, status, headers, body, extract(epoch FROM clock_timestamp() - created_at)::float8"
        " FROM idempotency_keys WHERE actor = %s AND key = %s",
        (actor, key),
    )
    assert row is not None  # noqa: S101  # for the type checker: the conflict was with this row, and rows of today stay
    return Claim(row[0], bytes(row[1]), *row[2:])


def answered(tx: Transaction, actor: str, key: str, status: int, headers: dict[str, Any], body: str) -> None:
    """Keep the answer, without the secrets that it showed."""
    tx.execute(
        "UPDATE idempotency_keys SET status = %s, headers = %s, body = %s WHERE actor = %s AND key = %s",
        (status, Json(headers), body, actor, key),
    )


def release(tx: Transaction, actor: str, key: str) -> None:
    """The request was refused, and nothing was done: the key may be used again."""
    tx.execute("DELETE FROM idempotency_keys WHERE actor = %s AND key = %s AND status IS NULL", (actor, key))
