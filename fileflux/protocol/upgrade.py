"""The HTTP handshake that opens a WebSocket, for both ends, by the ``websockets`` package's sans-I/O classes.

permessage-deflate is never offered nor taken: chunks are compressed already, and a compressed message is a bomb in waiting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidURI
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Origin
from websockets.uri import parse_uri

from fileflux.clock import Clock, SystemClock
from fileflux.errors import AuthError, ConfigError, UnavailableError
from fileflux.protocol.limits import KIB, Limits

ANSWER_MAX: Final = 16 * KIB
"""Bytes of an answer's head. Ours has 200; proxies add a few headers of their own."""
RETRY_AFTER_MAX: Final = 3600.0
"""Seconds that an answer may ask to wait; whoever asks for more is asked again by then."""
_HEAD_END: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([\x20-\x7e]{0,200}))?[^\r\n]*\r\n")
_VERSION: Final = "13"
_HEADER_NAMES: Final = {
    "Host": "HTTP_HOST",
    "Connection": "HTTP_CONNECTION",
    "Upgrade": "HTTP_UPGRADE",
    "Origin": "HTTP_ORIGIN",
    "Sec-WebSocket-Key": "HTTP_SEC_WEBSOCKET_KEY",
    "Sec-WebSocket-Version": "HTTP_SEC_WEBSOCKET_VERSION",
}


class UpgradeRefusedError(UnavailableError):
    """The other end answered, but not with a WebSocket: a proxy in between, or no hub. ``status`` is 0 for what is no HTTP at all.

    ``location`` is where it redirects to, ``page`` that it sent a web page, ``retry_after`` the seconds it asks to wait.
    """

    code = "upgrade_refused"

    def __init__(
        self, status: int, reason: str, *, location: str = "", page: bool = False, retry_after: float = 0.0
    ) -> None:
        said = f"the WebSocket was refused with {status} {reason}".rstrip() if status else f"no WebSocket: {reason}"
        if location:
            said += f": it redirects to {location}, which is not followed; give the hub's own address"
        elif page:
            said += ": a web page came instead, as from a captive portal or a filter"
        elif retry_after:
            said += f": come back in {retry_after:g} s"
        super().__init__(said)
        self.status = status
        self.reason = reason
        self.location = location
        self.page = page
        self.retry_after = retry_after


class HandshakeSocket(Protocol):
    """A connected socket in blocking style."""

    def settimeout(self, value: float, /) -> None: ...
    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes: ...


def client_handshake(
    sock: HandshakeSocket, url: str, headers: Mapping[str, str], limits: Limits, *, clock: Clock | None = None
) -> bytes:
    """Ask for the upgrade on a connected socket and check the answer; bytes that came behind it, for ``WebSocketLink(pending=…)``.

    ``url``: ``ws``, ``wss``, ``http`` or ``https``; the caller has made the connection, TLS included. Ends within ``handshake_timeout``.
    Raises AuthError for 401, UpgradeRefusedError for any other answer, UnavailableError when the connection fails, ConfigError for a bad
    URL. Leaves a time-out on the socket. After this, make the link.
    """
    try:
        uri = parse_uri(re.sub(r"^http", "ws", url))
    except (InvalidURI, ValueError) as error:
        raise ConfigError(f"not a WebSocket URL: {error}") from None
    protocol = ClientProtocol(uri)
    request = protocol.connect()
    for name, value in headers.items():
        request.headers[name] = value
    protocol.send_request(request)
    clock = clock or SystemClock()
    try:
        head, rest = _exchange(sock, b"".join(protocol.data_to_send()), limits, clock)
    except OSError as error:
        raise UnavailableError(f"no answer to the WebSocket handshake: {error.strerror or error}") from None
    status_line = _STATUS_LINE.match(head)
    if status_line is None:
        raise UpgradeRefusedError(0, "the answer is not HTTP")
    status, reason = int(status_line[1]), (status_line[2] or b"").decode("ascii")
    if status == HTTPStatus.UNAUTHORIZED:
        raise AuthError("the hub does not know this token, or it is revoked or, by the hub's clock, expired")
    if status != HTTPStatus.SWITCHING_PROTOCOLS:
        raise UpgradeRefusedError(
            status,
            reason,
            location=_header(head, b"location") if 300 <= status < 400 else "",
            page=_header(head, b"content-type").lower().startswith("text/html"),
            retry_after=retry_after_seconds(_header(head, b"retry-after"), clock.utc_now()),
        )
    protocol.receive_data(head)
    if protocol.handshake_exc is not None:
        raise UpgradeRefusedError(status, str(protocol.handshake_exc)[:200])
    return rest


def retry_after_seconds(header: str | None, now: datetime) -> float:
    """What a Retry-After header asks for, in seconds from ``now``: at most ``RETRY_AFTER_MAX``, 0 without one that can be read."""
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:10]), RETRY_AFTER_MAX)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), RETRY_AFTER_MAX)


def _header(head: bytes, name: bytes) -> str:
    """A header of an answer that is for people to read: printable ASCII, cut to a line; empty if it is not there."""
    found = re.search(rb"\r\n" + name + rb":[ \t]*([\x20-\x7e]{0,200})", head, re.IGNORECASE)
    return found[1].decode("ascii").strip() if found else ""


def _exchange(sock: HandshakeSocket, request: bytes, limits: Limits, clock: Clock) -> tuple[bytes, bytes]:
    deadline = clock.monotonic() + limits.handshake_timeout
    sock.settimeout(limits.handshake_timeout)
    sock.sendall(request)
    answer = b""
    while _HEAD_END not in answer:
        if len(answer) > ANSWER_MAX:
            raise UpgradeRefusedError(0, f"the answer's head is above {ANSWER_MAX} bytes")
        left = deadline - clock.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing within {limits.handshake_timeout:g} s")
        sock.settimeout(left)
        data = sock.recv(4 * KIB)
        if not data:
            if answer:
                break
            raise ConnectionResetError("the connection was closed")
        answer += data
    head, _, rest = answer.partition(_HEAD_END)
    return head + _HEAD_END, rest


def server_accept(environ: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Answer a WSGI request for a WebSocket: the bytes to send as they are, and whether they accept it.

    Says nothing about who asks: authenticate first. After True the connection speaks WebSocket; after False close it.
    """
    headers = Headers()
    for name, key in _HEADER_NAMES.items():
        if environ.get(key):
            headers[name] = str(environ[key])
    method, protocol = str(environ.get("REQUEST_METHOD", "")), str(environ.get("SERVER_PROTOCOL", ""))
    # Browsers say where a page comes from, agents nothing: no page but the hub's own opens a link.
    host = environ.get("HTTP_HOST", "")
    server = ServerProtocol(origins=[None, Origin(f"http://{host}"), Origin(f"https://{host}")])
    if method != "GET" or environ.get("CONTENT_LENGTH", "0") != "0" or environ.get("HTTP_TRANSFER_ENCODING"):
        response = server.reject(HTTPStatus.BAD_REQUEST, "A WebSocket is asked for with GET and without a body.\n")
    elif protocol != "HTTP/1.1" or headers.get("Sec-WebSocket-Version") != _VERSION:
        response = server.reject(
            HTTPStatus.UPGRADE_REQUIRED, "This path speaks WebSocket, version 13, over HTTP/1.1.\n"
        )
        response.headers["Upgrade"] = "websocket"
    else:
        path = str(environ.get("PATH_INFO", "/"))
        response = server.accept(Request(path=path, headers=headers, method=method, protocol=protocol))
    if response.status_code == HTTPStatus.UPGRADE_REQUIRED:
        response.headers["Sec-WebSocket-Version"] = _VERSION
    return response.serialize(), response.status_code == HTTPStatus.SWITCHING_PROTOCOLS
