"""Agents as the database knows them. Whether one is online is the hub's live knowledge and is not stored."""

# ruff: noqa: S608  # SQL is put together from names in this package only; every value is a parameter
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg2.extras import Json

from fileflux.errors import ConflictError, ForbiddenError, NotFoundError
from fileflux.storage.pages import Filter, Listing, Sort
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
    temporary: bool
    created_by: str
    bandwidth_limit: int | None
    bandwidth_timetable: list[dict[str, Any]]


_COLUMNS = columns(AgentRow)

_LIVE_STATUS: Final = (
    "CASE WHEN status IN ('pending', 'revoked') THEN status WHEN id IN (SELECT unnest(%(online_0)s::bigint[])) THEN 'online'"
    " WHEN last_seen IS NULL THEN 'new' ELSE 'offline' END"
)
LIST: Final = Listing(
    lambda values: AgentRow(*values),
    _COLUMNS,
    "agents",
    # There are thousands of agents and not millions: what no index has is sorted within milliseconds.
    sorts={"name": Sort("text"), "last_seen": Sort("time", "coalesce(last_seen, 'infinity')", optional=True)},
    filters={
        "name": Filter(("name = %(value)s",)),
        "tag": Filter(("tags @> ARRAY[%(value)s]::text[]",)),
        "temporary": Filter(("temporary = %(value)s",)),
        "online": Filter(("%(value)s::bigint[] IS NOT NULL",)),
        "status": Filter((f"{_LIVE_STATUS} = ANY(%(value)s::text[])",)),
    },
)
"""``status`` is a list of statuses as people see them; it needs ``online``, the agents that have a link now (``id_array``)."""


def id_array(ids: Iterable[int]) -> str:
    """Ids as PostgreSQL reads an array: ten thousand of them as a list would hold the loop for 10 ms."""
    return f"{{{','.join(map(str, ids))}}}"


def create(
    tx: Transaction,
    name: str,
    description: str = "",
    tags: Sequence[str] = (),
    *,
    temporary: bool = False,
    created_by: str = "",
) -> AgentRow:
    """Raises ConflictError when the name is taken."""
    row = tx.one(
        "INSERT INTO agents (name, description, tags, temporary, created_by) VALUES (%s, %s, %s::text[], %s, %s)"
        f" ON CONFLICT (name) DO NOTHING RETURNING {_COLUMNS}",
        (
            exact_text(name, "the name"),
            exact_text(description, "the description"),
            _tags(tags),
            temporary,
            created_by,
        ),
    )
    if row is None:
        raise ConflictError(f"an agent named {name} exists already")
    return AgentRow(*row)


def get(tx: Transaction, agent_id: int) -> AgentRow | None:
    return make(AgentRow, tx.one(f"SELECT {_COLUMNS} FROM agents WHERE id = %s", (agent_id,)))


def get_many(tx: Transaction, agent_ids: Sequence[int]) -> list[AgentRow]:
    """Those of these agents that exist, by id."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM agents WHERE id = ANY(%s::bigint[]) ORDER BY id", (list(agent_ids),))
    return [AgentRow(*row) for row in rows]


def by_name(tx: Transaction, name: str) -> AgentRow | None:
    return make(AgentRow, tx.one(f"SELECT {_COLUMNS} FROM agents WHERE name = %s", (name,)))


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
    """These agents gave a sign of life just now; to the minute, since thousands of them do."""
    tx.execute(
        "UPDATE agents SET last_seen = now() WHERE id = ANY(%s::bigint[]) AND last_seen < now() - interval '50 seconds'",
        (id_array(agent_ids),),
    )


def update(
    tx: Transaction,
    agent_id: int,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Sequence[str] | None = None,
    **limits: Any,
) -> AgentRow:
    """Change what is given; ``limits``: ``bandwidth_limit``, None for none, and ``bandwidth_timetable``, which are checked already.

    Raises NotFoundError for an unknown agent and ConflictError when the name is taken.
    """
    if name is not None:
        # Under READ COMMITTED two may pass this with one name; the unique key then refuses the second.
        taken = by_name(tx, exact_text(name, "the name"))
        if taken is not None and taken.id != agent_id:
            raise ConflictError(f"an agent named {name} exists already")
    _set_limits(tx, agent_id, **limits)
    row = tx.one(
        "UPDATE agents SET name = coalesce(%s, name), description = coalesce(%s, description), tags = coalesce(%s::text[], tags)"
        f" WHERE id = %s RETURNING {_COLUMNS}",
        (
            name,
            None if description is None else exact_text(description, "the description"),
            None if tags is None else _tags(tags),
            agent_id,
        ),
    )
    if row is None:
        raise _unknown(agent_id)
    return AgentRow(*row)


def revoke_left_over(tx: Transaction, limit: int) -> list[AgentRow]:
    """Revoke at most ``limit`` temporary agents that nobody will use again; which. After the commit, cut their sessions.

    One that never connected has a day; one that did ends an hour after its last token, when it has not been seen for as long.
    """
    rows = tx.all(
        "SELECT id FROM agents a WHERE temporary AND status <> 'revoked' AND CASE WHEN last_seen IS NULL"
        " THEN created_at < now() - interval '1 day'"
        " ELSE last_seen < now() - interval '1 hour' AND NOT EXISTS (SELECT FROM agent_tokens t WHERE t.agent_id = a.id"
        " AND (t.expires_at IS NULL OR t.expires_at > now() - interval '1 hour')"
        " AND (t.revoked_at IS NULL OR t.revoked_at > now() - interval '1 hour')) END ORDER BY id LIMIT %s",
        (page_size(limit),),
    )
    return [revoke(tx, row[0]) for row in rows]


def count_temporary(tx: Transaction, created_by: str) -> int:
    """How many temporary agents of this user are not revoked."""
    row = tx.one(
        "SELECT count(*) FROM agents WHERE temporary AND status <> 'revoked' AND created_by = %s", (created_by,)
    )
    return int(row[0]) if row is not None else 0


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


def _set_limits(tx: Transaction, agent_id: int, **limits: Any) -> None:
    if "bandwidth_limit" in limits:
        tx.execute("UPDATE agents SET bandwidth_limit = %s WHERE id = %s", (limits["bandwidth_limit"], agent_id))
    if "bandwidth_timetable" in limits:
        table = Json(limits["bandwidth_timetable"])
        tx.execute("UPDATE agents SET bandwidth_timetable = %s WHERE id = %s", (table, agent_id))


def _tags(tags: Sequence[str]) -> list[str]:
    return [exact_text(tag, "a tag") for tag in tags]


def _unknown(agent_id: int) -> NotFoundError:
    return NotFoundError(f"there is no agent {agent_id}")
