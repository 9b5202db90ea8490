"""Logins of people. A session is a row; it ends by being removed, and by its time.

A refresh token is ``ffr_``, 128 bits that all tokens of a session share, and 256 bits of its own; stored are SHA-256 of the first and of
the whole. Each is good once and is answered with the next. So a token with the right first part that is not the present one was good
once: two have it, its owner and somebody else, and the session ends. That needs no memory of old tokens, however often they are renewed.
"""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make
from fileflux.storage.users import UserRow
from fileflux.storage.values import safe_text

VALUE_PREFIX: Final = "ffr_"
_FAMILY_END: Final = len(VALUE_PREFIX) + 22
VALUE_LENGTH: Final = _FAMILY_END + 43

IDLE_LIFETIME: Final = timedelta(days=7)
"""Without a renewal. Long enough for a person to stay logged in over a weekend and its week."""
MAX_LIFETIME: Final = timedelta(days=30)
"""However often it is renewed: a stolen session that nobody notices ends too."""
MAX_SESSIONS: Final = 1000
"""Of one user; the oldest go first. A script that logs in every minute would fill the table otherwise."""
_CLEANED: Final = 100
"""Rows removed with a login: more than one login adds, few enough not to be felt."""
_CLIENT_CHARS: Final = 200
_USER: Final = columns(UserRow, "u.")


@dataclass(frozen=True, slots=True)
class Session:
    """A login that has just been made or renewed. ``value`` is its refresh token, which nobody can find out again."""

    id: int
    user: UserRow
    value: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reused:
    """An old refresh token came again; its session has ended."""

    session_id: int
    user_id: int
    email: str


def create(tx: Transaction, user: UserRow, now: datetime, address: str, client: str) -> Session | None:
    """Log ``user`` in. None when the user was disabled, removed or logged out everywhere since the row was read.

    ``user`` was read with the password that was checked: a password that changes meanwhile counts up ``session_version``.
    """
    row = tx.one(
        "UPDATE users u SET last_login_at = %s WHERE id = %s AND session_version = %s AND disabled_at IS NULL"
        f" RETURNING {_USER}",
        (now, user.id, user.session_version),
    )
    if row is None:
        return None
    value = _new_value(VALUE_PREFIX + secrets.token_urlsafe(16))
    expires_at = now + IDLE_LIFETIME
    made = tx.one(
        "INSERT INTO user_sessions (user_id, family_sha256, refresh_sha256, address, client, created_at, last_used_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        (user.id, *_digests(value), safe_text(address), safe_text(client[:_CLIENT_CHARS]), now, now, expires_at),
    )
    assert made is not None  # noqa: S101  # for the type checker: INSERT … RETURNING gives its row
    _clean(tx, user.id, now)
    return Session(made[0], UserRow(*row), value, expires_at)


def refresh(tx: Transaction, value: str, now: datetime) -> Session | Reused | None:
    """Exchange a refresh token; None when it is unknown or its session has ended. Of two who do it at once one wins.

    Commit what Reused says: the session is removed.
    """
    if len(value) != VALUE_LENGTH or not value.isascii() or not value.startswith(VALUE_PREFIX):
        return None
    family, present = _digests(value)
    following = _new_value(value[:_FAMILY_END])
    row = tx.one(
        "UPDATE user_sessions s SET refresh_sha256 = %(next)s, last_used_at = %(now)s,"
        " expires_at = least(%(now)s + %(idle)s, s.created_at + %(most)s)"
        " FROM users u WHERE u.id = s.user_id AND u.disabled_at IS NULL"
        " AND s.family_sha256 = %(family)s AND s.refresh_sha256 = %(present)s AND s.expires_at > %(now)s"
        f" RETURNING s.id, s.expires_at, {_USER}",
        {
            "next": _digests(following)[1],
            "now": now,
            "idle": IDLE_LIFETIME,
            "most": MAX_LIFETIME,
            "family": family,
            "present": present,
        },
    )
    if row is not None:
        return Session(row[0], UserRow(*row[2:]), following, row[1])
    old = tx.one(
        "DELETE FROM user_sessions s USING users u WHERE u.id = s.user_id"
        " AND s.family_sha256 = %s AND s.refresh_sha256 <> %s AND s.expires_at > %s RETURNING s.id, u.id, u.email",
        (family, present, now),
    )
    return make(Reused, old)


def live_user(tx: Transaction, session_id: int, user_id: int, session_version: int, now: datetime) -> UserRow | None:
    """The user of a session that lives, in one query; this is asked with every request."""
    row = tx.one(
        f"SELECT {_USER} FROM users u JOIN user_sessions s ON s.user_id = u.id"
        " WHERE s.id = %s AND u.id = %s AND u.session_version = %s AND u.disabled_at IS NULL AND s.expires_at > %s",
        (session_id, user_id, session_version, now),
    )
    return make(UserRow, row)


def knows_address(tx: Transaction, email: str, address: str, now: datetime) -> bool:
    """Whether the user has a session that was begun at this address."""
    row = tx.one(
        "SELECT 1 FROM users u JOIN user_sessions s ON s.user_id = u.id"
        " WHERE lower(u.email) = lower(%s) AND s.address = %s AND s.expires_at > %s LIMIT 1",
        (email, address, now),
    )
    return row is not None


def end(tx: Transaction, session_id: int) -> None:
    """End one session; its tokens are void from the commit on."""
    tx.execute("DELETE FROM user_sessions WHERE id = %s", (session_id,))


def end_all(tx: Transaction, user_id: int) -> int:
    """End every session of the user, also one whose login is under way; how many there were.

    After this ``session_version`` is another one: read the row again before ``create``.
    """
    tx.execute("UPDATE users SET session_version = session_version + 1 WHERE id = %s", (user_id,))
    return tx.execute("DELETE FROM user_sessions WHERE user_id = %s", (user_id,))


def _clean(tx: Transaction, user_id: int, now: datetime) -> None:
    """Remove what has expired, of anybody, and what the user has too many of."""
    tx.execute(
        "DELETE FROM user_sessions WHERE id IN (SELECT id FROM user_sessions WHERE expires_at <= %s"
        " ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED)",
        (now, _CLEANED),
    )
    tx.execute(
        "DELETE FROM user_sessions WHERE id IN (SELECT id FROM user_sessions WHERE user_id = %s"
        " ORDER BY id DESC OFFSET %s LIMIT %s)",
        (user_id, MAX_SESSIONS, _CLEANED),
    )


def _new_value(family: str) -> str:
    return family + secrets.token_urlsafe(32)


def _digests(value: str) -> tuple[bytes, bytes]:
    """Of the part that stays and of the whole."""
    return hashlib.sha256(value[:_FAMILY_END].encode("ascii")).digest(), hashlib.sha256(value.encode("ascii")).digest()
