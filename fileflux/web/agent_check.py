"""``GET /api/agent/check`` and ``GET /ws/agent/check``: what ``flux-agent doctor`` asks with an agent's token.

Neither opens a session nor counts the agent's epoch up, so an agent that runs with the same token is not disturbed. The WebSocket gives back
what comes in, which shows that whatever stands in between lets more through than the upgrade.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, current_app, jsonify, request

from fileflux.actors.kernel import runtime, sockets
from fileflux.actors.kernel.liveness import watch_peer
from fileflux.clock import Clock
from fileflux.protocol.limits import KIB, Limits
from fileflux.protocol.link import Buffer, Link
from fileflux.protocol.websocket import WebSocketLink, server_accept
from fileflux.storage import agents, tokens
from fileflux.web import context
from fileflux.web.agent_ws import EXTENSION, Accepting, bearer_token, unknown_token
from fileflux.web.http_rules import take_unread
from fileflux.web.takeover import TakenResponse

blueprint = Blueprint("agent_check", __name__)
ECHO_MAX: Final = 64 * KIB


@blueprint.get("/api/agent/check")
def check() -> Response:
    """Whose token this is and when it expires."""
    hub: Accepting = current_app.extensions[EXTENSION]
    agent, token = _who(hub)
    return jsonify(
        product="fileflux",
        agent=agent.name,
        expires_at=token.expires_at.isoformat() if token.expires_at else None,
    )


@blueprint.route("/ws/agent/check", websocket=True)
def check_socket() -> Response:
    """One binary message of at most 64 KiB comes back; the connection ends soon after."""
    hub: Accepting = current_app.extensions[EXTENSION]
    _who(hub)
    connection = request.environ["gunicorn.socket"]
    answer, accepted = server_accept(request.environ)
    try:
        connection.sendall(answer)
    except OSError:
        # Who asked has hung up: there is nobody to tell.
        return TakenResponse()
    if accepted:
        watch_peer(connection, hub.limits.silence_timeout)
        stream = sockets.plain_socket(connection)
        pending = take_unread(request.environ) + sockets.take_unread(stream)
        link = WebSocketLink(stream, "server", hub.tree.pump, hub.limits, hub.clock, context.peer(), pending)
        link.start(_Echo(link, hub.limits, hub.clock))
    return TakenResponse()


def _who(hub: Accepting) -> tuple[agents.AgentRow, tokens.TokenRow]:
    """Raises AuthError (audited, a few for each address) for a token that is not valid just now."""
    value = bearer_token(request)
    with hub.database.transaction() as tx:
        token = tokens.find_live(tx, value) if value else None
        agent = agents.get(tx, token.agent_id) if token is not None else None
    if token is None or agent is None:
        raise unknown_token(request, "agent.check")
    return agent, token


class _Echo:
    """Listens to one link for at most ``handshake_timeout``."""

    def __init__(self, link: Link, limits: Limits, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._limit = runtime.spawn_later(limits.handshake_timeout, lambda: link.close(1000, "the check is over"))
        self._every = limits.handshake_timeout / 4
        self._ticking = runtime.spawn_later(self._every, self._tick)
        self._echoed = False

    def on_text(self, text: str) -> None:
        self._link.close(1008, f"a text of {len(text)} characters, where one binary message is expected")

    def on_binary(self, data: Buffer) -> None:
        if self._echoed or len(data) > ECHO_MAX:
            self._link.close(1008, "one message of at most 64 KiB is given back")
            return
        self._echoed = True
        self._link.send_binary(data)

    def on_life(self) -> None:
        """Its time is limited anyway."""

    def on_closed(self, code: int, reason: str) -> None:
        _ = code, reason
        self._limit.cancel()
        self._ticking.cancel()

    def _tick(self) -> None:
        self._ticking = runtime.spawn_later(self._every, self._tick)
        self._link.tick(self._clock.monotonic())
