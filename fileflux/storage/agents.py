"""Agents as the database knows them. Whether one is online is the hub's live knowledge and is not stored."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fileflux.errors import ConflictError, ForbiddenError, NotFoundError
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make, page_size
from fileflux.storage.values import exact_text, safe_json


@dataclass(frozen=True, slots=True)
class AgentRow:
    """``status`` is ``new`` (never connected), ``pending``, ``known`` (shown as online or offline) or ``revoked``."""

    id: int
    name: str
    description: str
    tags: list[str]
    epoch: int
    status: str
    info: dict[str, Any]
    last_seen: datetime | None
    created_at: datetime


_COLUMNS = columns(AgentRow)


def create(tx: Transaction, name: str, description: str = "", tags: Sequence[str] = ()) -> AgentRow:
    """Raises ConflictError when the name is taken."""
    row = tx.one(
        "INSERT INTO agents (name, description, tags) VALUES (%s, %s, %s::text[])"
        f" ON CONFLICT (name) DO NOTHING RETURNING {_COLUMNS}",
        (
            exact_text(name, "the name"),
            exact_text(description, "the description"),
            [exact_text(t, "a tag") for t in tags],
        ),
    )
    if row is None:
        raise ConflictError(f"an agent named {name} exists already")
    return AgentRow(*row)


def get(tx: Transaction, agent_id: int) -> AgentRow | None:
    return make(AgentRow, tx.one(f"SELECT {_COLUMNS} FROM agents WHERE id = %s", (agent_id,)))


def by_name(tx: Transaction, name: str) -> AgentRow | None:
    return make(AgentRow, tx.one(f"SELECT {_COLUMNS} FROM agents WHERE name = %s", (name,)))


def list_page(tx: Transaction, limit: int, cursor: int | None = None) -> list[AgentRow]:
    """Agents by id, those after ``cursor`` (the last id of the page before)."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM agents WHERE id > %s ORDER BY id LIMIT %s", (cursor or 0, page_size(limit)))
    return [AgentRow(*row) for row in rows]


def connected(tx: Transaction, agent_id: int) -> int:
    """Count the agent's connections up and return the new epoch.

    Raises NotFoundError for an unknown agent and ForbiddenError for a revoked one.
    """
    row = tx.one(
        "UPDATE agents SET epoch = epoch + 1, last_seen = now(), status = CASE status WHEN 'new' THEN 'known' ELSE status END"
        " WHERE id = %s AND status <> 'revoked' RETURNING epoch",
        (agent_id,),
    )
    if row is not None:
        return int(row[0])
    if get(tx, agent_id) is None:
        raise _unknown(agent_id)
    raise ForbiddenError("the agent was revoked")


def save_info(tx: Transaction, agent_id: int, info: Mapping[str, Any]) -> None:
    """Store what the agent says of its host; texts that PostgreSQL cannot hold are escaped. An unknown agent is ignored."""
    tx.execute("UPDATE agents SET info = %s, last_seen = now() WHERE id = %s", (safe_json(info), agent_id))


def seen(tx: Transaction, agent_ids: Sequence[int]) -> None:
    """These agents gave a sign of life just now: one statement for all heartbeats of a second."""
    tx.execute("UPDATE agents SET last_seen = now() WHERE id = ANY(%s::bigint[])", (list(agent_ids),))


def rename(tx: Transaction, agent_id: int, name: str) -> AgentRow:
    """Raises NotFoundError for an unknown agent and ConflictError when the name is taken."""
    # Under READ COMMITTED two renames to one name may both pass this; the unique key then refuses the second.
    taken = by_name(tx, exact_text(name, "the name"))
    if taken is not None and taken.id != agent_id:
        raise ConflictError(f"an agent named {name} exists already")
    row = make(AgentRow, tx.one(f"UPDATE agents SET name = %s WHERE id = %s RETURNING {_COLUMNS}", (name, agent_id)))
    if row is None:
        raise _unknown(agent_id)
    return row


def revoke(tx: Transaction, agent_id: int) -> AgentRow:
    """Revoke the agent and all its tokens; again is a no-op. After the commit, cut its live session.

    Raises NotFoundError for an unknown agent.
    """
    row = make(
        AgentRow, tx.one(f"UPDATE agents SET status = 'revoked' WHERE id = %s RETURNING {_COLUMNS}", (agent_id,))
    )
    if row is None:
        raise _unknown(agent_id)
    tx.execute("UPDATE agent_tokens SET revoked_at = now() WHERE agent_id = %s AND revoked_at IS NULL", (agent_id,))
    return row


def _unknown(agent_id: int) -> NotFoundError:
    return NotFoundError(f"there is no agent {agent_id}")
