"""Agents' tokens. The value is shown once and stored as its SHA-256 only: 256 random bits need no slow hash."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fileflux.errors import ConflictError, NotFoundError
from fileflux.storage import agents
from fileflux.storage.pages import Filter, Listing
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make
from fileflux.storage.values import exact_text

VALUE_PREFIX: Final = "ffx_"
VALUE_LENGTH: Final = len(VALUE_PREFIX) + 43
_PIN: Final = re.compile(r"\.[0-9a-f]{64}")
SHOWN_CHARACTERS: Final = 12
"""Of the value, enough to tell tokens apart: 8 characters leave 208 bits unknown."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    id: int
    agent_id: int
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    replaced_by: int | None


@dataclass(frozen=True, slots=True)
class Replaced:
    """``value`` is the new token's, which nobody can find out again."""

    old: TokenRow
    new: TokenRow
    value: str


_COLUMNS = columns(TokenRow)

LIST: Final = Listing(
    lambda values: TokenRow(*values),
    _COLUMNS,
    "agent_tokens",
    filters={"agent_id": Filter(("agent_id = %(value)s",))},
)
"""Revoked and expired ones too."""


def create(tx: Transaction, agent_id: int, name: str, expires_at: datetime | None = None) -> tuple[TokenRow, str]:
    """A new token and its value, which nobody can find out again.

    Raises NotFoundError for an unknown agent and ConflictError for a revoked one.
    """
    agent = agents.get(tx, agent_id)
    if agent is None:
        raise NotFoundError(f"there is no agent {agent_id}")
    if agent.status == "revoked":
        raise ConflictError(f"the agent {agent.name} was revoked")
    value = VALUE_PREFIX + secrets.token_urlsafe(32)
    row = tx.one(
        f"INSERT INTO agent_tokens (agent_id, name, prefix, sha256, expires_at) VALUES (%s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
        (agent_id, exact_text(name, "the name"), value[:SHOWN_CHARACTERS], _digest(value), expires_at),
    )
    assert row is not None  # noqa: S101  # for the type checker: INSERT … RETURNING gives its row
    return TokenRow(*row), value


def with_pin(value: str, pin: str) -> str:
    """The value that tells an agent the hub's CA as well: 64 hex digits behind a dot, which are no part of the secret."""
    return f"{value}.{pin}"


def get(tx: Transaction, token_id: int) -> TokenRow | None:
    return make(TokenRow, tx.one(f"SELECT {_COLUMNS} FROM agent_tokens WHERE id = %s", (token_id,)))


def find_live(tx: Transaction, value: str) -> TokenRow | None:
    """The token with this value, unless it is unknown, expired, revoked, or its agent is. A pin behind it does not matter.

    Found by its hash, so that the time it takes says nothing about the value.
    """
    if _PIN.fullmatch(value, VALUE_LENGTH):
        value = value[:VALUE_LENGTH]
    if len(value) != VALUE_LENGTH or not value.isascii() or not value.startswith(VALUE_PREFIX):
        return None
    row = tx.one(
        f"SELECT {columns(TokenRow, 't.')} FROM agent_tokens t JOIN agents a ON a.id = t.agent_id"
        " WHERE t.sha256 = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())"
        " AND a.status <> 'revoked'",
        (_digest(value),),
    )
    return make(TokenRow, row)


def used(tx: Transaction, token_ids: Sequence[int]) -> None:
    """These tokens are in use; to the minute, since agents that flap must not make a write each time."""
    tx.execute(
        "UPDATE agent_tokens SET last_used_at = now() WHERE id = ANY(%s::bigint[])"
        " AND (last_used_at IS NULL OR last_used_at < now() - interval '50 seconds')",
        (agents.id_array(token_ids),),
    )


def replace(tx: Transaction, token_id: int, overlap: timedelta, default_life: timedelta | None) -> Replaced:
    """Make a new token for the agent of this one, which ends after ``overlap`` unless it ends sooner anyway. After the commit, tell the hub.

    The new one lives as long as this one was made for, from now on; ``default_life`` if that was without an end. Raises NotFoundError for
    an unknown token and ConflictError for one that is revoked, has expired or was replaced already.
    """
    found = tx.one(
        f"SELECT {_COLUMNS}, coalesce(expires_at <= now(), false), expires_at - created_at, now() FROM agent_tokens WHERE id = %s FOR UPDATE",
        (token_id,),
    )
    if found is None:
        raise _unknown(token_id)
    *values, expired, life, now = found
    old = TokenRow(*values)
    if old.revoked_at is not None or expired:
        raise ConflictError(f"token {token_id} is worth nothing any more: make a new one for the agent")
    if old.replaced_by is not None:
        raise ConflictError(f"token {token_id} was replaced already: rotate token {old.replaced_by} instead")
    life = life or default_life
    new, value = create(tx, old.agent_id, old.name, None if life is None else now + life)
    row = tx.one(
        "UPDATE agent_tokens SET replaced_by = %s, expires_at = least(expires_at, %s)"
        f" WHERE id = %s RETURNING {_COLUMNS}",
        (new.id, now + overlap, token_id),
    )
    assert row is not None  # noqa: S101  # for the type checker: its row is locked above
    return Replaced(TokenRow(*row), new, value)


def revoke(tx: Transaction, token_id: int) -> TokenRow:
    """Revoke it; again is a no-op. After the commit, cut the session that came in with it.

    Raises NotFoundError for an unknown token.
    """
    row = tx.one(
        f"UPDATE agent_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s RETURNING {_COLUMNS}",
        (token_id,),
    )
    if row is None:
        raise _unknown(token_id)
    return TokenRow(*row)


def _unknown(token_id: int) -> NotFoundError:
    return NotFoundError(f"there is no token {token_id}")


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("ascii")).digest()
