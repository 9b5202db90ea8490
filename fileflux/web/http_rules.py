"""HTTP as this hub takes it: what gunicorn's parser lets pass and should not, and the answers to what is no request.

A request that two programs could read in two ways is refused and its connection closed, since the next request might be smuggled in it.
The answers say what is wrong with a kind of request and repeat nothing of what the peer sent.

Loaded in the arbiter too, before the server process patches itself: what brings a framework along is imported where it is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from gunicorn.http import errors as http
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.unreader import Unreader

from fileflux.protocol.limits import KIB
from fileflux.web.deadlines import HEAD_MAX, TooSlowError

LINE_MAX: Final = 8190
"""The longest request line and header field."""
FIELDS_MAX: Final = 100
RECEIVE_PART: Final = 256 * KIB
DRAIN_MAX: Final = 64 * KIB
"""Of a body that no route has read: less is dropped and the connection kept, more ends it."""

CRUMBS_MAX: Final = 1000
CRUMB: Final = 512
"""A chunked body with more chunks than CRUMBS_MAX has CRUMB bytes in each on average: 1 MiB in chunks of one byte is 4 s of the loop."""

SETTINGS: Final = {
    # The parser that the tests know; another would be taken silently where it is installed.
    "http_parser": "python",
    "limit_request_line": LINE_MAX,
    "limit_request_field_size": LINE_MAX,
    "limit_request_fields": FIELDS_MAX,
    # No header of any peer moves the application (SCRIPT_NAME, PATH_INFO) or changes the scheme.
    "forwarded_allow_ips": "",
    "forwarder_headers": "",
    "header_map": "drop",
}
"""gunicorn's settings that belong to these rules."""

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered instead of an answer."""

    status: HTTPStatus
    code: str
    detail: str

    def answer(self) -> bytes:
        """The whole response; the connection closes behind it."""
        document = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
        }
        body = json.dumps(document).encode()
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


_REFUSALS: Final[tuple[tuple[type[Exception], Refusal], ...]] = (
    (
        http.LimitRequestLine,
        Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", f"the request line is above {LINE_MAX} bytes"),
    ),
    (
        http.LimitRequestHeaders,
        Refusal(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            f"at most {FIELDS_MAX} header fields of {LINE_MAX} bytes, {HEAD_MAX} together",
        ),
    ),
    (
        http.UnsupportedTransferCoding,
        Refusal(HTTPStatus.NOT_IMPLEMENTED, "transfer_coding", "the only transfer coding here is chunked"),
    ),
    (
        http.ExpectationFailed,
        Refusal(HTTPStatus.EXPECTATION_FAILED, "expectation_failed", "the only expectation here is 100-continue"),
    ),
    (
        TooSlowError,
        Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "the request did not come in time; send it again"),
    ),
    (
        http.ParseException,
        Refusal(
            HTTPStatus.BAD_REQUEST, "bad_request", "the request is malformed, or two programs could read it differently"
        ),
    ),
)


def refusal_of(error: BaseException) -> Refusal | None:
    """The answer for an error that a request itself caused; None for one of the hub."""
    if isinstance(error, (http.InvalidResponseHeader, http.InvalidResponseHeaderName)):
        return None
    return next((refusal for kind, refusal in _REFUSALS if isinstance(error, kind)), None)


INTERNAL: Final = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the hub could not do this; its log has the reason"
)


def check_head(request: Any) -> None:
    """``request`` is gunicorn's. Raises one of its ParseExceptions.

    Any host that is well formed is taken: a name that leads here by an attacker's DNS gains nothing where no browser sends credentials by itself.
    """
    hosts = [value for name, value in request.headers if name == "HOST"]
    if not hosts and request.version >= (1, 1):
        raise http.InvalidHeader("HOST", req=request)
    if hosts:
        match = _HOST.fullmatch(hosts[0])
        if match is None or int(match[1] or 0) > 65_535:
            raise http.InvalidHeader("HOST", req=request)
    codings = [value for name, value in request.headers if name == "TRANSFER-ENCODING"]
    if codings and [value.lower() for value in codings] != ["chunked"]:
        raise http.UnsupportedTransferCoding("TRANSFER-ENCODING")


class BodyReader:
    """Between a route and gunicorn's reader: what is wrong with a body is the peer's fault, also when the route finds it."""

    def __init__(self, request: Any) -> None:
        self._reader: LengthReader | ChunkedReader = request.body.reader
        self._unreader: Unreader = request.unreader
        self._close = request.force_close
        self._failed = False
        if isinstance(self._reader, ChunkedReader):
            self._reader.parser = _without_crumbs(self._reader.parser)

    @property
    def unfinished(self) -> bool:
        """Bytes of the body may still come, so that closing now would be closing over them."""
        if self._failed or not isinstance(self._reader, LengthReader):
            return self._failed or self._reader.parser is not None
        return bool(self._reader.length > 0)

    def read(self, size: int) -> bytes:
        """For the route. Raises the HTTPException that it shall be answered with: too slow, cut short, or chunks that are none."""
        try:
            return self._read(size)
        except (http.ParseException, OSError) as error:
            raise _for_the_route(error) from None

    def read_whole(self, length: int) -> bytes:
        """A body of a known length with one copy; gunicorn's own way makes five. Raises as ``read`` does."""
        reader = self._reader
        if not isinstance(reader, LengthReader) or length != reader.length:
            return self.read(length)
        parts = [self._unreader.take_buffered()]
        if len(parts[0]) > length:
            self._unreader.unread(parts[0][length:])
            parts[0] = parts[0][:length]
        reader.length -= len(parts[0])
        try:
            while reader.length:
                data = self._unreader.sock.recv(min(reader.length, RECEIVE_PART))
                if not data:
                    raise http.NoMoreData(b"")
                reader.length -= len(data)
                parts.append(data)
        except (http.ParseException, OSError) as error:
            self._failed = True
            self._close()
            raise _for_the_route(error) from None
        return b"".join(parts)

    def finish(self) -> bool:
        """Whether another request may follow: what the route has not read is dropped, unless it is much, late or malformed."""
        left = DRAIN_MAX
        try:
            while self.unfinished and left > 0:
                left -= max(1, len(self._read(min(left, 16 * KIB))))
        except (http.ParseException, OSError):
            return False
        return not self.unfinished

    def take_behind(self) -> bytes:
        """What came in behind the body and was read with it."""
        behind: bytes = b"" if self.unfinished else self._unreader.take_buffered()
        return behind

    def _read(self, size: int) -> bytes:
        wanted = min(size, self._reader.length) if isinstance(self._reader, LengthReader) else 0
        try:
            data: bytes = self._reader.read(size)
            if len(data) < wanted:
                raise http.NoMoreData(b"")
        except Exception:
            # Where the next request begins is unknown from now on; the answer says so too.
            self._failed = True
            self._close()
            raise
        return data


def _without_crumbs(parts: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for count, part in enumerate(parts, 1):
        size += len(part)
        if count > CRUMBS_MAX and size < count * CRUMB:
            raise http.InvalidChunkSize(b"")
        yield part


def _for_the_route(error: http.ParseException | OSError) -> Exception:
    from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout

    if isinstance(error, TooSlowError):
        return RequestTimeout()
    return ClientDisconnected() if isinstance(error, OSError) else BadRequest("the body's chunks are malformed")


def read_whole(environ: Mapping[str, Any], length: int) -> bytes:
    """All of a request's body, of which nothing was read yet. Raises the HTTPException that a bad one shall be answered with."""
    body = environ["wsgi.input"]
    reader = getattr(body, "reader", None)
    data: bytes = reader.read_whole(length) if isinstance(reader, BodyReader) else body.read(length)
    return data


def take_unread(environ: Mapping[str, Any]) -> bytes:
    """What came in behind a request: for who takes its connection over from the HTTP server."""
    taken: bytes = environ["wsgi.input"].reader.take_behind()
    return taken
