"""People who may use the hub. Passwords come here hashed already."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fileflux.errors import ConflictError
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make
from fileflux.storage.values import exact_text


@dataclass(frozen=True, slots=True)
class UserRow:
    """``role`` is admin, operator, viewer or auditor. Tokens made for an older ``session_version`` are void."""

    id: int
    email: str
    password_hash: str
    role: str
    session_version: int
    created_at: datetime
    disabled_at: datetime | None


_COLUMNS = columns(UserRow)


def create(tx: Transaction, email: str, password_hash: str, role: str) -> UserRow:
    """Raises ConflictError when the address is taken, in whatever case it is written."""
    row = tx.one(
        "INSERT INTO users (email, password_hash, role) VALUES (%s, %s, %s)"
        f" ON CONFLICT (lower(email)) DO NOTHING RETURNING {_COLUMNS}",
        (exact_text(email, "the address"), password_hash, role),
    )
    if row is None:
        raise ConflictError(f"a user with the address {email} exists already")
    return UserRow(*row)


def get(tx: Transaction, user_id: int) -> UserRow | None:
    """Disabled users too: the caller looks at ``disabled_at``."""
    return make(UserRow, tx.one(f"SELECT {_COLUMNS} FROM users WHERE id = %s", (user_id,)))


def by_email(tx: Transaction, email: str) -> UserRow | None:
    """Case makes no difference. Disabled users too."""
    if "\0" in email or any("\ud800" <= character <= "\udfff" for character in email):
        return None
    return make(UserRow, tx.one(f"SELECT {_COLUMNS} FROM users WHERE lower(email) = lower(%s)", (email,)))


def count_admins(tx: Transaction) -> int:
    """Admins who can log in."""
    row = tx.one("SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL")
    return int(row[0]) if row is not None else 0


def end_sessions(tx: Transaction, user_id: int) -> None:
    """Make every token of the user void."""
    tx.execute("UPDATE users SET session_version = session_version + 1 WHERE id = %s", (user_id,))
