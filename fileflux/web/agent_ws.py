"""``GET /ws/agent``: agents come in here over WebSocket (docs/protocol.md, Transports).

The token is checked before the upgrade. Afterwards the connection leaves the HTTP server: the hub's pump serves a duplicate of its
descriptor, and the greenlet that answered the request ends, so an idle agent costs no stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Blueprint, Request, Response, current_app, request

from fileflux.actors.kernel.sockets import plain_socket
from fileflux.actors.messages import AgentIdentity
from fileflux.actors.session_port import LinkGate
from fileflux.actors.tree import Tree
from fileflux.audit import log as audit
from fileflux.clock import Clock
from fileflux.errors import AuthError
from fileflux.protocol.limits import Limits
from fileflux.protocol.websocket import WebSocketLink, server_accept
from fileflux.storage import agents, tokens
from fileflux.storage.pool import Database

log = structlog.get_logger("fileflux.agents")

blueprint = Blueprint("agent_ws", __name__)
EXTENSION = "fileflux_agents"


@dataclass(frozen=True, slots=True)
class Accepting:
    """What the route needs; set as ``app.extensions[EXTENSION]``."""

    database: Database
    tree: Tree
    limits: Limits
    clock: Clock


class _Taken(Response):
    """Tells the HTTP server that the connection was taken over."""

    def __call__(self, _environ: dict[str, Any], _start_response: Callable[..., Any]) -> Iterable[bytes]:
        # gunicorn takes this for "the connection is done with" and lets go of its own descriptor.
        raise StopIteration


@blueprint.route("/ws/agent", websocket=True)
def agent_socket() -> Response:
    """Authenticate, upgrade, hand over."""
    hub: Accepting = current_app.extensions[EXTENSION]
    identity = authenticate(hub.database, request)
    connection = request.environ["gunicorn.socket"]
    answer, accepted = server_accept(request.environ)
    connection.sendall(answer)
    if not accepted:
        return _Taken()
    link = WebSocketLink(plain_socket(connection), "server", hub.tree.pump, hub.limits, hub.clock, peer=identity.peer)
    gate = LinkGate(link, identity, hub.tree.hub, hub.tree.relay, hub.clock, hub.limits)
    link.start(gate)
    return _Taken()


def authenticate(database: Database, incoming: Request) -> AgentIdentity:
    """The agent behind the request's bearer token; counts its epoch up.

    Raises AuthError (audited) for no token, an unknown, expired or revoked one, and for a revoked agent. A token in the URL is not looked at.
    """
    scheme, _, value = incoming.headers.get("Authorization", "").partition(" ")
    peer = incoming.remote_addr or ""
    with database.transaction() as tx:
        token = tokens.find_live(tx, value.strip()) if scheme.lower() == "bearer" and value else None
        agent = agents.get(tx, token.agent_id) if token is not None else None
        if token is None or agent is None or agent.status == "revoked":
            audit.append(tx, "agent:unknown", "agent.login", peer, "refused", {})
        else:
            tokens.touch(tx, token.id)
            epoch = agents.connected(tx, agent.id)
            return AgentIdentity(agent.id, agent.name, token.id, epoch, peer)
    raise AuthError("no valid agent token: create one with `fileflux tokens create` and give it to the agent")
