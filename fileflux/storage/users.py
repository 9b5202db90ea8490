"""People who may use the hub. Passwords come here hashed already."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fileflux.errors import ConflictError, NotFoundError
from fileflux.storage.pages import Filter, Listing, Sort
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make
from fileflux.storage.values import exact_text


@dataclass(frozen=True, slots=True)
class UserRow:
    """``role`` is admin, operator, viewer or auditor. Tokens made for an older ``session_version`` are void."""

    id: int
    email: str
    name: str
    password_hash: str
    role: str
    session_version: int
    created_at: datetime
    last_login_at: datetime | None
    disabled_at: datetime | None


_COLUMNS = columns(UserRow)
ROLES: Final = ("admin", "operator", "viewer", "auditor")
_CHANGEABLE = frozenset({"email", "name", "password_hash", "role", "disabled_at"})

# A hub has people by the hundred: orders and filters need no index of their own.
LIST = Listing(
    lambda values: UserRow(*values),
    _COLUMNS,
    "users",
    sorts={
        "email": Sort("text"),
        "created_at": Sort("time"),
        "last_login_at": Sort("time", "coalesce(last_login_at, 'infinity')", optional=True),
    },
    filters={"role": Filter(("role = %(value)s",), of=ROLES), "email": Filter(("email ILIKE %(value)s",))},
)


def create(tx: Transaction, email: str, password_hash: str, role: str, name: str = "") -> UserRow:
    """Raises ConflictError when the address is taken, in whatever case it is written."""
    row = tx.one(
        "INSERT INTO users (email, password_hash, role, name) VALUES (%s, %s, %s, %s)"
        f" ON CONFLICT (lower(email)) DO NOTHING RETURNING {_COLUMNS}",
        (exact_text(email, "the address"), password_hash, role, exact_text(name, "the name")),
    )
    if row is None:
        raise _taken(email)
    return UserRow(*row)


def get(tx: Transaction, user_id: int) -> UserRow | None:
    """Disabled users too: the caller looks at ``disabled_at``."""
    return make(UserRow, tx.one(f"SELECT {_COLUMNS} FROM users WHERE id = %s", (user_id,)))


def locked(tx: Transaction, user_id: int) -> UserRow:
    """The user, whom nobody else changes until the end of the transaction. Raises NotFoundError.

    Whoever may take an admin away calls ``lock_admins`` before this.
    """
    row = make(UserRow, tx.one(f"SELECT {_COLUMNS} FROM users WHERE id = %s FOR UPDATE", (user_id,)))
    if row is None:
        raise NotFoundError(f"there is no user {user_id}")
    return row


def by_email(tx: Transaction, email: str) -> UserRow | None:
    """Case makes no difference. Disabled users too."""
    if "\0" in email or any("\ud800" <= character <= "\udfff" for character in email):
        return None
    return make(UserRow, tx.one(f"SELECT {_COLUMNS} FROM users WHERE lower(email) = lower(%s)", (email,)))


def count_admins(tx: Transaction) -> int:
    """Admins who can log in."""
    row = tx.one("SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL")
    return int(row[0]) if row is not None else 0


def lock_all(tx: Transaction) -> None:
    """Nobody else adds or changes a user until the end of the transaction: for a first one, when there is no row to lock."""
    tx.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")


def lock_admins(tx: Transaction) -> frozenset[int]:
    """Ids of the admins who can log in; none of them stops being one until the end of the transaction, except by its own hand.

    Two who take each other's role away at once wait for each other here, and the second finds the first one gone.
    """
    rows = tx.all("SELECT id FROM users WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR UPDATE")
    return frozenset(row[0] for row in rows)


def update(tx: Transaction, user_id: int, changes: Mapping[str, Any]) -> UserRow:
    """Change columns by name: email, name, password_hash, role, disabled_at.

    Raises NotFoundError, and ConflictError when the address is another's. End the user's sessions where the change calls for it.
    """
    unknown = changes.keys() - _CHANGEABLE
    if unknown:
        raise ValueError(f"users have no changeable {sorted(unknown)}")
    names = sorted(changes)
    if "email" in changes and (other := by_email(tx, changes["email"])) is not None and other.id != user_id:
        raise _taken(changes["email"])
    assigned = ", ".join(f"{name} = %s" for name in names) or "name = name"
    values = [exact_text(value, name) if isinstance(value := changes[name], str) else value for name in names]
    row = tx.one(f"UPDATE users SET {assigned} WHERE id = %s RETURNING {_COLUMNS}", (*values, user_id))
    if row is None:
        raise NotFoundError(f"there is no user {user_id}")
    return UserRow(*row)


def rehash(tx: Transaction, user: UserRow, password_hash: str) -> None:
    """The same password under newer parameters; nothing when it was changed since ``user`` was read."""
    tx.execute(
        "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s",
        (password_hash, user.id, user.password_hash),
    )


def delete(tx: Transaction, user_id: int) -> None:
    """With sessions and keys. What the user did stays in the audit log."""
    tx.execute("DELETE FROM users WHERE id = %s", (user_id,))


def _taken(email: str) -> ConflictError:
    return ConflictError(f"a user with the address {email} exists already")
