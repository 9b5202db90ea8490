"""Agents' tokens: the value is shown once, revoking one cuts the session that came in with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fileflux.errors import ConflictError
from fileflux.jobs.status import AgentStatus
from fileflux.storage import agents as agent_rows
from fileflux.storage import settings as stored
from fileflux.storage import tokens as rows
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Transaction
from fileflux.web import agent_schemas as schemas
from fileflux.web import context
from fileflux.web.context import deps
from fileflux.web.own_ca import pin
from fileflux.web.paging import listed
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource

tokens = Resource("tokens", "What agents prove themselves with.")


@tokens.route("GET", "/api/tokens", query=schemas.TokenQuery, returns=schemas.TokenPage)
def list_tokens(query: Ask) -> dict[str, Any]:
    """All tokens, without their values; revoked and expired ones too."""
    with deps().database.transaction() as tx:
        found = rows.LIST.page(tx, query)
    return listed(query, found, _fields)


@tokens.route("POST", "/api/tokens", body=schemas.TokenIn, returns=schemas.TokenMade, status=201)
def create_token(body: dict[str, Any]) -> dict[str, Any]:
    """Make a token for an agent. Its value is in this answer and can never be seen again; with `--tls auto` it names the hub's CA too."""
    with deps().database.transaction() as tx:
        agent = agent_rows.get(tx, body["agent_id"])
        if agent is None:
            raise InvalidFieldsError({"agent_id": ["There is no such agent."]})
        if agent.status == AgentStatus.REVOKED:
            raise ConflictError(f"agent {agent.name} is revoked; make a new agent")
        days = body["expires_in_days"] if "expires_in_days" in body else stored.hub(tx).default_token_days
        expires_at = None if days is None else deps().clock.utc_now() + timedelta(days=days)
        row, value = rows.create(tx, agent.id, body["name"], expires_at)
        context.audited(tx, "token.created", f"token:{row.id}", agent_id=agent.id, prefix=row.prefix)
    return {"token": _fields(row), "value": with_own_pin(value)}


@tokens.route("POST", "/api/tokens/<id:token_id>/rotate", body=schemas.RotateIn, returns=schemas.TokenMade, status=201)
def rotate_token(body: dict[str, Any], token_id: int) -> dict[str, Any]:
    """Make a token in place of this one, which ends after the overlap: give the agent the new one until then.

    The new one lives as long as this one was made for.
    """
    with deps().database.transaction() as tx:
        overlap = timedelta(hours=body["overlap_hours"])
        replaced = rows.replace(tx, token_id, overlap, _default_life(tx))
        old, new = replaced.old, replaced.new
        context.audited(
            tx, "token.rotated", f"token:{token_id}", agent_id=old.agent_id, new_id=new.id, prefix=new.prefix
        )
    if old.expires_at is not None:
        deps().agents.limit_token(old.agent_id, old.id, old.expires_at)
    return {"token": _fields(new), "value": with_own_pin(replaced.value)}


@tokens.route("DELETE", "/api/tokens/<id:token_id>", status=204)
def revoke_token(token_id: int) -> None:
    """Make a token worthless and cut the session that came in with it; the agent can come back with another token."""
    with deps().database.transaction() as tx:
        row = rows.revoke(tx, token_id)
        context.audited(tx, "token.revoked", f"token:{token_id}", agent_id=row.agent_id)
    deps().agents.cut(row.agent_id, "its token was revoked", token_id)


def with_own_pin(value: str) -> str:
    """A new token's value as people get it."""
    ca_pem = deps().ca_pem
    return value if ca_pem is None else rows.with_pin(value, pin(ca_pem))


def _default_life(tx: Transaction) -> timedelta | None:
    days = stored.hub(tx).default_token_days
    return None if days is None else timedelta(days=days)


def _fields(row: rows.TokenRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in schemas.TokenOut().fields}
