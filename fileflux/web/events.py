"""The live feed: ``GET /api/events`` (server-sent events) and ``GET /api/events/ws`` (the same over WebSocket, by flask-sock)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import marshmallow as ma
from flask import Flask, Response, current_app, g, request
from flask.blueprints import BlueprintSetupState
from flask_sock import Sock
from marshmallow import fields
from simple_websocket import Server
from werkzeug.exceptions import BadRequest
from wsproto.events import Ping

from fileflux.actors.kernel.liveness import watch_peer
from fileflux.actors.kernel.sockets import bound_unsent
from fileflux.errors import ForbiddenError
from fileflux.web import access, context, problems
from fileflux.web.context import deps, principal, services
from fileflux.web.event_stream import UNSENT_BYTES, FeedSocket, Place, Rights, as_text, follow, server_sent
from fileflux.web.http_rules import take_unread
from fileflux.web.resource import MAX_ID, Resource

PATH: Final = "/api/events"
SOCKET_PATH: Final = access.PROTOCOL_ROUTE
SUBPROTOCOL: Final = "fileflux.events"
MESSAGE_MAX: Final = 4096
"""Of a client, who has nothing to say."""
GOING_AWAY: Final = 1001
_SHOWN_BY: Final[dict[str, access.Route]] = {
    "agent": ("GET", "/api/agents/<id:agent_id>"),
    "alert": ("GET", "/api/alerts"),
    "job": ("GET", "/api/jobs/<id:job_id>"),
    "run": ("GET", "/api/runs/<id:run_id>"),
    "transfer": ("GET", "/api/transfers/<id:transfer_id>"),
}
"""Who may call the route may see the events that show the same."""

events = Resource("events", "What happens, as it happens.")
sockets = Resource("event_sockets", "The same over WebSocket.")
_sock = Sock()


class EventQuery(ma.Schema):
    run_id = fields.Integer(
        load_default=None,
        validate=ma.validate.Range(1, MAX_ID),
        metadata={"description": "only this run and its transfers"},
    )
    last_event_id = fields.String(
        load_default=None,
        validate=ma.validate.Length(max=64),
        metadata={"description": "as the header Last-Event-ID, for clients that cannot set it"},
    )


@events.route("GET", PATH, query=EventQuery)
def event_stream(query: dict[str, Any]) -> Response:
    """Server-sent events: agents, runs, transfers, jobs and alerts as they change, each shown as by its own route.

    The answer does not end by itself. ``reset`` says that some events were missed: read the state anew.
    """
    connection = request.environ.get("gunicorn.socket")
    place = services().feeds.enter(principal().user_id, connection)
    try:
        rights = _rights()
        listener = place.takes(services().feed.listen(_last_id(query), query["run_id"]))
        listener.types = rights()
    except BaseException:
        place.leave()
        raise
    if connection is not None:
        _prepare(connection)
    batches = follow(listener, rights, deps().clock, deps().limits.feed_heartbeat)
    response = Response(server_sent(listener.position, batches), content_type="text/event-stream")
    # A proxy that gathers answers would hold events back for minutes.
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(place.leave)
    return response


@sockets.blueprint.record_once  # type: ignore[untyped-decorator]  # flask-smorest has no types
def _configure(state: BlueprintSetupState) -> None:
    state.app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": [SUBPROTOCOL], "max_message_size": MESSAGE_MAX}


@sockets.blueprint.before_app_request  # type: ignore[untyped-decorator]  # as above
def _check_other_requests() -> Response | None:
    """What asks for the path in another way needs a token too, and is then told what is wrong."""
    if request.path != SOCKET_PATH or request.url_rule is not None:
        return None
    access.authenticate(access.bearer_token(SOCKET_PATH))
    response = problems.problem(426, "upgrade_required", f"this is a WebSocket; {PATH} is the same feed without")
    response.headers["Upgrade"] = "websocket"
    return response


@sockets.blueprint.before_request  # type: ignore[untyped-decorator]  # as above
def _before_upgrade() -> Response | None:
    """Everything that may be refused is, while the answer can still say why."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        # A browser lets any page open a WebSocket to any place.
        raise ForbiddenError("this page is of another origin than the hub", code="bad_origin")
    if request.headers.get("Sec-WebSocket-Version") != "13":
        response = problems.problem(426, "upgrade_required", "the version of WebSocket is 13")
        response.headers["Sec-WebSocket-Version"] = "13"
        return response
    if not _is_key(request.headers.get("Sec-WebSocket-Key", "")):
        raise BadRequest("Sec-WebSocket-Key must be 16 bytes in base64")
    try:
        query = EventQuery().load(request.args)
    except ma.ValidationError as error:
        raise problems.InvalidFieldsError(dict(problems.flatten(error.messages))) from None
    connection = request.environ["gunicorn.socket"]
    g.feed_place = place = services().feeds.enter(principal().user_id, connection)
    g.feed_rights = _rights()
    g.feed = place.takes(services().feed.listen(_last_id(query), query["run_id"]))
    g.feed.types = g.feed_rights()
    _prepare(connection)
    g.feed_socket = FeedSocket(connection, take_unread(request.environ), deps().limits, g.feed.close)
    request.environ["gunicorn.socket"] = g.feed_socket
    # simple-websocket would agree to compress: 300 KiB for each client, and room for bombs.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    return None


@sockets.blueprint.teardown_request  # type: ignore[untyped-decorator]  # as above
def _after_upgrade(_error: BaseException | None) -> None:
    place: Place | None = g.pop("feed_place", None)
    if place is not None:
        place.leave()


@_sock.route(SOCKET_PATH, bp=sockets.blueprint)  # type: ignore[untyped-decorator]  # flask-sock has no types
def event_socket(socket: Server) -> None:
    """The feed as JSON texts ``{"id", "type", "data"}``; a ping instead of a heartbeat's comment."""
    feed_socket: FeedSocket = g.feed_socket
    for batch in follow(g.feed, g.feed_rights, deps().clock, deps().limits.feed_heartbeat):
        for event in batch:
            socket.send(as_text(event))
        if not batch:
            feed_socket.send(socket.ws.send(Ping()))
            feed_socket.heard()
        # simple-websocket keeps what the client says until somebody asks for it.
        socket.input_buffer.clear()
    socket.close(GOING_AWAY, "the feed has ended; connect again")


def _rights() -> Rights:
    """The client's rights, looked up anew with each call."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's way to keep the app beyond the request
    route: access.Route = ("GET", request.url_rule.rule if request.url_rule is not None else PATH)
    token = access.bearer_token(route[1])

    def look() -> frozenset[str]:
        with app.app_context():
            who = access.authenticate(token)
            access.authorise(who, route)
            return frozenset(kind for kind, shown_by in _SHOWN_BY.items() if _may(who, shown_by))

    return look


def _may(who: context.Principal, route: access.Route) -> bool:
    try:
        access.authorise(who, route)
    except ForbiddenError:
        return False
    return True


def _last_id(query: dict[str, Any]) -> str | None:
    given: str | None = request.headers.get("Last-Event-ID") or query["last_event_id"]
    return given


def _prepare(connection: Any) -> None:
    bound_unsent(connection, UNSENT_BYTES)
    watch_peer(connection, deps().limits.silence_timeout)


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
