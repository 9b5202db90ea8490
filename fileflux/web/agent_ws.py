"""``GET /ws/agent``: agents come in here over WebSocket (docs/protocol.md, Transports).

The token is checked before the upgrade. Afterwards the connection leaves the HTTP server: the hub's pump serves a duplicate of its
descriptor, and the greenlet that answered the request ends, so an idle agent costs no stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog
from flask import Blueprint, Request, Response, current_app, request

from fileflux.actors.kernel import sockets
from fileflux.actors.kernel.liveness import watch_peer
from fileflux.actors.messages import AgentIdentity
from fileflux.actors.session_port import LinkGate
from fileflux.actors.tree import Tree
from fileflux.clock import Clock
from fileflux.errors import AuthError
from fileflux.protocol.limits import Limits
from fileflux.protocol.websocket import WebSocketLink, server_accept
from fileflux.storage import agents, tokens
from fileflux.storage.pool import Database
from fileflux.web import context
from fileflux.web.http_rules import take_unread
from fileflux.web.takeover import TakenResponse

log = structlog.get_logger("fileflux.agents")

blueprint = Blueprint("agent_ws", __name__)
PATH: Final = "/ws/agent"
EXTENSION = "fileflux_agents"


@dataclass(frozen=True, slots=True)
class Accepting:
    """What the route needs; set as ``app.extensions[EXTENSION]``."""

    database: Database
    tree: Tree
    limits: Limits
    clock: Clock


@blueprint.before_app_request
def check_other_requests() -> Response | None:
    """What asks for the path in another way is told what is wrong with it, and that only with a token: otherwise 401, as for any route."""
    return agent_socket() if request.path == PATH and request.url_rule is None else None


@blueprint.route(PATH, websocket=True)
def agent_socket() -> Response:
    """Authenticate, upgrade, hand over."""
    hub: Accepting = current_app.extensions[EXTENSION]
    identity = authenticate(hub, request)
    connection = request.environ["gunicorn.socket"]
    answer, accepted = server_accept(request.environ)
    try:
        connection.sendall(answer)
    except OSError as error:
        log.info("an agent hung up before its answer", agent=identity.name, reason=error.strerror or str(error))
        return TakenResponse()
    if not accepted:
        reason = answer.partition(b"\r\n")[0].decode("ascii", "replace")
        context.services().refusals.record(identity.peer, f"agent:{identity.name}", "agent.upgrade", PATH, reason)
        return TakenResponse()
    watch_peer(connection, hub.limits.silence_timeout)
    stream = sockets.plain_socket(connection)
    pending = take_unread(request.environ) + sockets.take_unread(stream)
    link = WebSocketLink(stream, "server", hub.tree.pump, hub.limits, hub.clock, identity.peer, pending)
    gate = LinkGate(link, identity, hub.tree.hub, hub.tree.relay, hub.clock, hub.limits)
    link.start(gate)
    return TakenResponse()


def authenticate(hub: Accepting, incoming: Request) -> AgentIdentity:
    """The agent behind the request's bearer token; counts its epoch up.

    Raises AuthError (audited) for no token, an unknown, expired or revoked one, for a revoked agent, and for a token in the URL, which is in
    the log of every proxy by now.
    """
    value = "" if tokens.VALUE_PREFIX.encode() in incoming.query_string else bearer_token(incoming)
    peer = incoming.remote_addr or ""
    # Before the look: whatever becomes of the token after it is known to come later.
    now = hub.clock.monotonic()
    with hub.database.transaction() as tx:
        token = tokens.find_live(tx, value) if value else None
        agent = agents.get(tx, token.agent_id) if token is not None else None
        if token is not None and agent is not None and agent.status != "revoked":
            tokens.used(tx, [token.id])
            epoch = agents.connected(tx, agent.id)
            return AgentIdentity(agent.id, agent.name, token.id, epoch, peer, now, token.expires_at)
    raise unknown_token(incoming, "agent.login")


def unknown_token(incoming: Request, action: str) -> AuthError:
    """The error for a request without a valid agent token, audited as ``action``."""
    error = AuthError("no valid agent token: create one with `fileflux tokens create` and give it to the agent")
    context.services().refusals.record(incoming.remote_addr or "", "agent:unknown", action, incoming.path, error.code)
    return error


def bearer_token(incoming: Request) -> str:
    """The request's bearer token, or an empty text."""
    scheme, _, value = incoming.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""
