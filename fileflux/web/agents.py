"""Agents as people see them: a stored row with live facts laid over it."""

from __future__ import annotations

from typing import Any

from fileflux.errors import NotFoundError
from fileflux.jobs.status import AgentStatus
from fileflux.storage import agents as rows
from fileflux.web import context, schemas
from fileflux.web.context import deps
from fileflux.web.paging import PageQuery, page
from fileflux.web.resource import Resource

agents = Resource("agents", "The programs beside the files.")


@agents.route("GET", "/api/agents", query=PageQuery, returns=schemas.AgentPage)
def list_agents(query: dict[str, Any]) -> dict[str, Any]:
    """All agents."""
    with deps().database.transaction() as tx:
        found = rows.list_page(tx, query["limit"] + 1, query["cursor"])
    return page(found, query["limit"], _fields)


@agents.route("POST", "/api/agents", body=schemas.AgentIn, returns=schemas.AgentOut, status=201)
def create_agent(body: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make an agent known. It can connect once it has a token (POST /api/tokens)."""
    with deps().database.transaction() as tx:
        row = rows.create(tx, body["name"], description=body["description"], tags=tuple(body["tags"]))
        context.audited(tx, "agent.created", f"agent:{row.id}", name=row.name)
    return _fields(row), 201, {"Location": f"/api/agents/{row.id}"}


@agents.route("GET", "/api/agents/<id:agent_id>", returns=schemas.AgentOut)
def show_agent(agent_id: int) -> dict[str, Any]:
    """One agent."""
    with deps().database.transaction() as tx:
        row = rows.get(tx, agent_id)
    if row is None:
        raise _unknown(agent_id)
    return _fields(row)


@agents.route("DELETE", "/api/agents/<id:agent_id>", status=204)
def revoke_agent(agent_id: int) -> None:
    """Shut an agent out for good: its tokens stop working and its session is cut. Its history stays."""
    with deps().database.transaction() as tx:
        rows.revoke(tx, agent_id)
        context.audited(tx, "agent.revoked", f"agent:{agent_id}")
    deps().agents.cut(agent_id, "the agent was revoked")


@agents.route("POST", "/api/agents/<id:agent_id>/test", returns=schemas.AgentTested)
def test_agent(agent_id: int) -> dict[str, Any]:
    """A real round trip to the agent; 503 when it is offline or does not answer."""
    with deps().database.transaction() as tx:
        if rows.get(tx, agent_id) is None:
            raise _unknown(agent_id)
    seconds = deps().agents.test(agent_id, deps().limits.handshake_timeout)
    return {"round_trip_ms": round(seconds * 1000, 3)}


def _unknown(agent_id: int) -> NotFoundError:
    return NotFoundError(f"there is no agent {agent_id}")


def _fields(row: rows.AgentRow) -> dict[str, Any]:
    live = deps().agents.status(row.id)
    online = live is not None and live.online
    status = row.status
    if status not in (AgentStatus.PENDING, AgentStatus.REVOKED):
        # Stored is only whether the agent was ever here.
        seen = row.last_seen is not None
        status = AgentStatus.ONLINE if online else AgentStatus.OFFLINE if seen else AgentStatus.NEW
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "tags": list(row.tags),
        "status": str(status),
        "transport": live.transport if live is not None and online else None,
        "transport_reason": live.reason or None if live is not None and online else None,
        "connected_since": live.since if live is not None and online else None,
        "last_seen": row.last_seen,
        "info": row.info,
        "created_at": row.created_at,
    }
