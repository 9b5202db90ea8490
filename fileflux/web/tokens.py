"""Agents' tokens: the value is shown once, revoking one cuts its agent's session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fileflux.errors import ConflictError
from fileflux.jobs.status import AgentStatus
from fileflux.storage import agents as agent_rows
from fileflux.storage import tokens as rows
from fileflux.web import context, schemas
from fileflux.web.context import deps
from fileflux.web.own_ca import pin
from fileflux.web.paging import PageQuery, page
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource

tokens = Resource("tokens", "What agents prove themselves with.")


@tokens.route("GET", "/api/tokens", query=PageQuery, returns=schemas.TokenPage)
def list_tokens(query: dict[str, Any]) -> dict[str, Any]:
    """All tokens, without their values."""
    with deps().database.transaction() as tx:
        found = rows.list_page(tx, query["limit"] + 1, query["cursor"])
    return page(found, query["limit"], _fields)


@tokens.route("POST", "/api/tokens", body=schemas.TokenIn, returns=schemas.TokenMade, status=201)
def create_token(body: dict[str, Any]) -> dict[str, Any]:
    """Make a token for an agent. Its value is in this answer and can never be seen again; with `--tls auto` it names the hub's CA too."""
    days = body["expires_in_days"]
    expires_at = None if days is None else deps().clock.utc_now() + timedelta(days=days)
    with deps().database.transaction() as tx:
        agent = agent_rows.get(tx, body["agent_id"])
        if agent is None:
            raise InvalidFieldsError({"agent_id": ["There is no such agent."]})
        if agent.status == AgentStatus.REVOKED:
            raise ConflictError(f"agent {agent.name} is revoked; make a new agent")
        row, value = rows.create(tx, agent.id, body["name"], expires_at)
        context.audited(tx, "token.created", f"token:{row.id}", agent_id=agent.id, prefix=row.prefix)
    ca_pem = deps().ca_pem
    return {"token": _fields(row), "value": value if ca_pem is None else rows.with_pin(value, pin(ca_pem))}


@tokens.route("DELETE", "/api/tokens/<id:token_id>", status=204)
def revoke_token(token_id: int) -> None:
    """Make a token worthless and cut its agent's session; the agent can come back with another token."""
    with deps().database.transaction() as tx:
        row = rows.revoke(tx, token_id)
        context.audited(tx, "token.revoked", f"token:{token_id}", agent_id=row.agent_id)
    deps().agents.cut(row.agent_id, "its token was revoked")


def _fields(row: rows.TokenRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in schemas.TokenOut().fields}
