"""Long-polling for agents (docs/protocol.md, Long-polling): ``POST /api/agent/connect``, ``GET /api/agent/poll``, ``POST /api/agent/messages``.

The token is looked up in the database once, when a link is opened. Every later request names the link and is held against what is in memory.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, cast

import structlog
from flask import Blueprint, Response, current_app, jsonify, request

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.sockets import bound_unsent
from fileflux.actors.session_port import LinkGate
from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import KIB
from fileflux.protocol.poll_peer import PollPeer
from fileflux.storage import tokens
from fileflux.web import context
from fileflux.web.agent_ws import EXTENSION, Accepting, authenticate, bearer_token, unknown_token
from fileflux.web.http_rules import read_whole
from fileflux.web.poll_parking import CONTENT_TYPE, HEADERS, RequestWaiter
from fileflux.web.polling_links import LinkEndedError, PollingLinks, UnknownLinkError
from fileflux.web.problems import problem

log = structlog.get_logger("fileflux.agents")

blueprint = Blueprint("agent_poll", __name__)
LINKS: Final = "fileflux_polling"
BUSY_S: Final = 2.0
"""While answers follow each other a poll waits in its greenlet: parking costs more than it saves."""
RETRY_AFTER_S: Final = 1
UNSENT_MAX: Final = 256 * KIB
"""What the system takes of an answer ahead of the network. At 64 kB/s all polls of an agent together show every half minute that it takes bytes."""
_NUMBER: Final = re.compile(r"[0-9]{1,15}")


@blueprint.post("/api/agent/connect")
def connect() -> Response:
    """Open a link: its id, and what the agent may do with it."""
    hub = _hub()
    identity = authenticate(hub, request)
    link_id, peer = _links().open(bearer_token(request), identity.peer)
    peer.link.start(LinkGate(peer.link, identity, hub.tree.hub, hub.tree.relay, hub.clock, hub.limits))
    limits = hub.limits
    return jsonify(
        session_id=link_id,
        poll_timeout_s=limits.poll_timeout,
        polls=limits.polls_max,
        slices=limits.slices_in_flight,
        slice_max=limits.slice_max,
    )


@blueprint.get("/api/agent/poll")
def poll() -> Response:
    """What the hub has to say, now or within ``timeout`` seconds."""
    try:
        peer = _peer()
        number = _header_number("X-FileFlux-Seq")
        acknowledged = _header_number("X-FileFlux-Ack") if "X-FileFlux-Ack" in request.headers else None
        if request.content_length or "Transfer-Encoding" in request.headers:
            raise RemoteProtocolError("a poll has no body", code="bad_request")
        if (connection := request.environ.get("gunicorn.socket")) is not None:
            bound_unsent(connection, UNSENT_MAX)
        waiter = RequestWaiter(number, peer.forget, peer.link.moving)
        peer.poll(number, acknowledged, _timeout(), waiter)
    except RemoteProtocolError as error:
        return _refused(error)
    except LinkEndedError as error:
        return _ended(error.close_code, error.message)
    hub = _hub()
    busy = hub.clock.monotonic() - peer.moved_at < BUSY_S
    if not waiter.wait(BUSY_S if busy else 0):
        parked = waiter.park(request.environ, hub.tree.pump, hub.limits.silence_timeout)
        if parked is not None:
            return parked
        waiter.wait(hub.limits.poll_timeout + BUSY_S)
    if waiter.body is None:
        return _ended(*(peer.link.ended or (1006, "the same poll came again")))
    answer = Response(
        waiter.parts(), HTTPStatus.OK if waiter.body else HTTPStatus.NO_CONTENT, content_type=CONTENT_TYPE
    )
    if waiter.body:
        answer.content_length = len(waiter.body)
    answer.headers["X-FileFlux-Seq"] = str(number)
    answer.headers.update(HEADERS)
    return answer


@blueprint.post("/api/agent/messages")
def messages() -> Response:
    """A slice of what the agent has to say, or a part of one (``X-FileFlux-Part: offset/size``)."""
    try:
        peer = _peer()
        number = _header_number("X-FileFlux-Seq")
        length = request.content_length
        if length is None:
            return problem(HTTPStatus.LENGTH_REQUIRED, "length_required", "send Content-Length")
        offset, total = _part(length)
        match peer.refuses(number, offset, length, total):
            case "too_large":
                most = _hub().limits.slice_max
                return problem(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"a slice has at most {most} bytes, not {total}"
                )
            case "overloaded":
                text = "too much waits for slices that are still on their way"
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", text, retry_after=RETRY_AFTER_S)
            case _:
                pass
        with peer.reading(number, length):
            data = read_whole(request.environ, length)
        if len(data) < length:
            raise RemoteProtocolError("the body is shorter than Content-Length says", code="bad_slice")
        peer.take(number, offset, total, data)
        while peer.link.deliver():
            runtime.yield_loop()
    except RemoteProtocolError as error:
        return _refused(error)
    except LinkEndedError as error:
        return _ended(error.close_code, error.message)
    if peer.link.ended is not None:
        return _ended(*peer.link.ended)
    return Response(status=HTTPStatus.NO_CONTENT)


def _hub() -> Accepting:
    return cast("Accepting", current_app.extensions[EXTENSION])


def _links() -> PollingLinks:
    return cast("PollingLinks", current_app.extensions[LINKS])


def _peer() -> PollPeer:
    """The link that the request names. Raises LinkEndedError, or AuthError for a token that is none: who has no token learns nothing of links."""
    token = bearer_token(request)
    try:
        return _links().find(request.headers.get("X-FileFlux-Session", ""), token)
    except UnknownLinkError:
        with _hub().database.transaction() as tx:
            known = tokens.find_live(tx, token) is not None
        if not known:
            raise unknown_token(request, "agent.link") from None
        raise


def _header_number(name: str) -> int:
    value = request.headers.get(name, "")
    if not _NUMBER.fullmatch(value):
        raise RemoteProtocolError(f"{name} must be a number", code="bad_request", field=name)
    return int(value)


def _timeout() -> float:
    value = request.args.get("timeout", "25")
    return float(value) if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value) else 0.0


def _part(length: int) -> tuple[int, int]:
    """Offset of this body in its slice, and the slice's size."""
    value = request.headers.get("X-FileFlux-Part")
    if value is None:
        return 0, length
    offset, _, total = value.partition("/")
    if not (_NUMBER.fullmatch(offset) and _NUMBER.fullmatch(total)):
        raise RemoteProtocolError("X-FileFlux-Part must be offset/size", code="bad_request", field="X-FileFlux-Part")
    return int(offset), int(total)


def _refused(error: RemoteProtocolError) -> Response:
    """Something no agent of ours sends: audited, answered, and the link is left to its own rules."""
    context.services().refusals.record(context.peer(), "agent", "link.refused", request.path, error.code)
    return problem(HTTPStatus.BAD_REQUEST, error.code, error.message)


def _ended(code: int, reason: str) -> Response:
    answer = problem(HTTPStatus.GONE, "link_ended", reason)
    answer.headers["X-FileFlux-Close"] = str(code)
    return answer
