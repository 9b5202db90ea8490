"""Agents for as long as one command runs: `fileflux send` makes one for its own machine, and takes it away when it ends.

Operators may do this, who otherwise make no agents: such an agent dies within a day, and its user's others are bounded.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import Any, Final

from fileflux.bus.events import AgentChanged
from fileflux.errors import ConflictError, NotFoundError
from fileflux.storage import agents as rows
from fileflux.storage import tokens
from fileflux.storage.pool import Transaction
from fileflux.web import agent_schemas as schemas
from fileflux.web import context
from fileflux.web.agents import agent_fields
from fileflux.web.context import Role, deps
from fileflux.web.resource import Resource
from fileflux.web.tokens import with_own_pin

temporary_agents = Resource("temporary agents", "Agents for as long as one command runs.")
LIFE: Final = timedelta(hours=24)
EACH_MAX: Final = 20
"""Of one user at once: each is a command that runs, or one that was killed within the last day."""
_NAME_TRIES: Final = 3
_UNFIT: Final = re.compile(r"[\s:/\\]|^[.#-]")
"""Of a user's name in an agent's (``fields.Name``)."""


@temporary_agents.route(
    "POST", "/api/temporary-agents", body=schemas.TemporaryAgentIn, returns=schemas.TemporaryAgentMade, status=201
)
def create_temporary_agent(body: dict[str, Any]) -> dict[str, Any]:
    """Make an agent with a token that is good for a day. Delete it when it has done its work."""
    user = context.principal().email
    with deps().database.transaction() as tx:
        if rows.count_temporary(tx, user) >= EACH_MAX:
            raise ConflictError(
                f"{user} has {EACH_MAX} temporary agents: stop a `fileflux send`, or delete one that was left over",
                code="too_many_temporary_agents",
            )
        row = _create(tx, f"{_UNFIT.sub('_', user.partition('@')[0][:30])}@{body['name']}", user)
        _, value = tokens.create(tx, row.id, "temporary", deps().clock.utc_now() + LIFE)
        context.audited(tx, "agent.created", f"agent:{row.id}", name=row.name, temporary=True)
    deps().bus.publish(AgentChanged(row.id))
    return {"agent": agent_fields(row), "value": with_own_pin(value)}


@temporary_agents.route("DELETE", "/api/temporary-agents/<id:agent_id>", status=204)
def delete_temporary_agent(agent_id: int) -> None:
    """Revoke a temporary agent of one's own; an administrator may do it for everybody."""
    who = context.principal()
    with deps().database.transaction() as tx:
        row = rows.get(tx, agent_id)
        if row is None or not row.temporary or (row.created_by != who.email and who.role is not Role.ADMIN):
            raise NotFoundError(f"you have no temporary agent {agent_id}")
        rows.revoke(tx, agent_id)
        context.audited(tx, "agent.revoked", f"agent:{agent_id}", temporary=True)
    deps().agents.cut(agent_id, "the agent was revoked")
    deps().bus.publish(AgentChanged(agent_id))


def _create(tx: Transaction, name: str, user: str) -> rows.AgentRow:
    for digits in range(2, 2 + _NAME_TRIES):
        try:
            return rows.create(tx, f"{name}-{secrets.token_hex(digits)}", temporary=True, created_by=user)
        except ConflictError:
            continue
    raise ConflictError(f"no free name for {name}: try again")
