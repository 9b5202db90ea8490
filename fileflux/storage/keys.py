"""API keys of users. The value is shown once and stored as its SHA-256 only: 256 random bits need no slow hash."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fileflux.errors import ConflictError, NotFoundError
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make, page_size
from fileflux.storage.users import UserRow
from fileflux.storage.values import exact_text

VALUE_PREFIX: Final = "ffk_"
VALUE_LENGTH: Final = len(VALUE_PREFIX) + 43
SHOWN_CHARACTERS: Final = 12
"""Of the value, enough to tell keys apart: 8 characters leave 208 bits unknown."""
MAX_KEYS: Final = 200
"""Of one user that are good at the same time: enough for one per script, too few to fill a table with."""
USE_NOTED_EVERY: Final = timedelta(minutes=1)
"""A script that polls must not make a write with each request."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    id: int
    user_id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = columns(KeyRow)
_WIDTH: Final = len(_COLUMNS.split(","))


def create(
    tx: Transaction, user_id: int, name: str, scopes: Sequence[str], now: datetime, expires_at: datetime
) -> tuple[KeyRow, str]:
    """A new key and its value, which nobody can find out again. Raises ConflictError when the user has MAX_KEYS."""
    # Those who make keys for one user at once wait for each other.
    tx.one("SELECT 1 FROM users WHERE id = %s FOR UPDATE", (user_id,))
    row = tx.one(
        "SELECT count(*) FROM api_keys WHERE user_id = %s AND revoked_at IS NULL AND expires_at > %s", (user_id, now)
    )
    if row is not None and row[0] >= MAX_KEYS:
        raise ConflictError(f"this user has {MAX_KEYS} keys already; revoke some first", code="too_many_keys")
    value = VALUE_PREFIX + secrets.token_urlsafe(32)
    made = tx.one(
        "INSERT INTO api_keys (user_id, name, prefix, sha256, scopes, created_at, expires_at)"
        f" VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
        (
            user_id,
            exact_text(name, "the name"),
            value[:SHOWN_CHARACTERS],
            _digest(value),
            list(scopes),
            now,
            expires_at,
        ),
    )
    assert made is not None  # noqa: S101  # for the type checker: INSERT … RETURNING gives its row
    return KeyRow(*made), value


def find_live(tx: Transaction, value: str, now: datetime) -> tuple[KeyRow, UserRow] | None:
    """The key with this value and its user, in one query; None when it is unknown, expired, revoked, or its user is disabled.

    Found by its hash, so that the time it takes says nothing about the value. Now and then it notes the use.
    """
    if len(value) != VALUE_LENGTH or not value.isascii() or not value.startswith(VALUE_PREFIX):
        return None
    row = tx.one(
        f"SELECT {columns(KeyRow, 'k.')}, {columns(UserRow, 'u.')} FROM api_keys k JOIN users u ON u.id = k.user_id"
        " WHERE k.sha256 = %s AND k.revoked_at IS NULL AND k.expires_at > %s AND u.disabled_at IS NULL",
        (_digest(value), now),
    )
    if row is None:
        return None
    key = KeyRow(*row[:_WIDTH])
    if key.last_used_at is None or key.last_used_at <= now - USE_NOTED_EVERY:
        tx.execute(
            "UPDATE api_keys SET last_used_at = %(now)s"
            " WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at <= %(now)s - %(every)s)",
            {"now": now, "id": key.id, "every": USE_NOTED_EVERY},
        )
    return key, UserRow(*row[_WIDTH:])


def get(tx: Transaction, key_id: int) -> KeyRow | None:
    return make(KeyRow, tx.one(f"SELECT {_COLUMNS} FROM api_keys WHERE id = %s", (key_id,)))


def revoke(tx: Transaction, key_id: int, now: datetime) -> KeyRow:
    """Revoke it; again is a no-op. Raises NotFoundError for an unknown key."""
    row = tx.one(
        f"UPDATE api_keys SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s RETURNING {_COLUMNS}", (now, key_id)
    )
    if row is None:
        raise NotFoundError(f"there is no key {key_id}")
    return KeyRow(*row)


def list_page(tx: Transaction, limit: int, cursor: int | None, user_id: int) -> list[KeyRow]:
    """Keys of one user by id, those after ``cursor``. Revoked and expired ones too."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM api_keys WHERE user_id = %s AND id > %s ORDER BY id LIMIT %s",
        (user_id, cursor or 0, page_size(limit)),
    )
    return [KeyRow(*row) for row in rows]


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("ascii")).digest()
