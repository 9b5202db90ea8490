"""Agents as people see them: a stored row with live facts laid over it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fileflux.bus.events import AgentChanged
from fileflux.errors import NotFoundError
from fileflux.jobs.status import AgentStatus
from fileflux.storage import agents as rows
from fileflux.storage.pages import Ask
from fileflux.web import agent_schemas as schemas
from fileflux.web import context
from fileflux.web.agent_view import answered_page, answered_report
from fileflux.web.context import deps
from fileflux.web.paging import listed
from fileflux.web.resource import Resource

agents = Resource("agents", "The programs beside the files.")


@agents.route("GET", "/api/agents", query=schemas.AgentQuery, returns=schemas.AgentPage)
def list_agents(query: Ask) -> dict[str, Any]:
    """All agents but temporary ones. `status` is that of the moment in which each page is read."""
    if "status" in query.filters:
        query = replace(query, filters={**query.filters, "online": rows.id_array(deps().agents.online())})
    with deps().database.transaction() as tx:
        found = rows.LIST.page(tx, query)
    return listed(query, found, agent_fields)


@agents.route("POST", "/api/agents", body=schemas.AgentIn, returns=schemas.AgentOut, status=201)
def create_agent(body: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make an agent known. It can connect once it has a token (POST /api/tokens)."""
    with deps().database.transaction() as tx:
        row = rows.create(tx, body["name"], description=body["description"], tags=tuple(body["tags"]))
        context.audited(tx, "agent.created", f"agent:{row.id}", name=row.name)
    deps().bus.publish(AgentChanged(row.id))
    return agent_fields(row), 201, {"Location": f"/api/agents/{row.id}"}


@agents.route("GET", "/api/agents/<id:agent_id>", returns=schemas.AgentOut)
def show_agent(agent_id: int) -> dict[str, Any]:
    """One agent."""
    return agent_fields(_get(agent_id))


@agents.route("PATCH", "/api/agents/<id:agent_id>", body=schemas.AgentPatch, returns=schemas.AgentOut)
def change_agent(body: dict[str, Any], agent_id: int) -> dict[str, Any]:
    """Change its name, description, tags or limits. Jobs name agents by id, so they go on; limits take effect on what moves now."""
    with deps().database.transaction() as tx:
        row = rows.update(tx, agent_id, **body)
        context.audited(tx, "agent.changed", f"agent:{agent_id}", **body)
    deps().bus.publish(AgentChanged(agent_id))
    return agent_fields(row)


@agents.route("DELETE", "/api/agents/<id:agent_id>", status=204)
def revoke_agent(agent_id: int) -> None:
    """Shut an agent out for good: its tokens stop working and its session is cut. Its history stays."""
    with deps().database.transaction() as tx:
        rows.revoke(tx, agent_id)
        context.audited(tx, "agent.revoked", f"agent:{agent_id}")
    deps().agents.cut(agent_id, "the agent was revoked")
    deps().bus.publish(AgentChanged(agent_id))


@agents.route("POST", "/api/agents/<id:agent_id>/test", returns=schemas.AgentTested)
def test_agent(agent_id: int) -> dict[str, Any]:
    """A real round trip to the agent; 503 when it is offline or does not answer."""
    _get(agent_id)
    trip = deps().agents.test(agent_id)
    return {"round_trip_ms": round(trip.seconds * 1000, 3), "transport": trip.transport}


@agents.route("GET", "/api/agents/<id:agent_id>/browse", query=schemas.BrowseQuery, returns=schemas.BrowseOut)
def browse_agent(query: dict[str, Any], agent_id: int) -> dict[str, Any]:
    """What stands in one of its directories, in the order of names; without `path` its roots. Links are shown and not followed."""
    _get(agent_id)
    return answered_page(deps().agents.browse(agent_id, query["path"], query["cursor"], query["limit"]))


@agents.route("POST", "/api/agents/<id:agent_id>/doctor", returns=schemas.DoctorOut)
def examine_agent(agent_id: int) -> dict[str, Any]:
    """Let the agent look at its own way to the hub and at its roots, as `flux-agent doctor` does; takes up to a minute."""
    _get(agent_id)
    return answered_report(deps().agents.examine(agent_id))


def _get(agent_id: int) -> rows.AgentRow:
    with deps().database.transaction() as tx:
        row = rows.get(tx, agent_id)
    if row is None:
        raise NotFoundError(f"there is no agent {agent_id}")
    return row


def agent_fields(row: rows.AgentRow) -> dict[str, Any]:
    """An agent as the API shows it."""
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
        "load_average": live.load if live is not None and online else None,
        "last_seen": row.last_seen,
        "info": row.info,
        "temporary": row.temporary,
        "created_by": row.created_by,
        "bandwidth_limit": row.bandwidth_limit,
        "bandwidth_timetable": row.bandwidth_timetable,
        "created_at": row.created_at,
    }
