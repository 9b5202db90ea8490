"""One question to whoever answers at the hub's address, before it is known who that is. Nothing secret is sent."""

from __future__ import annotations

import http.client
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from fileflux.protocol.limits import KIB
from flux_agent.transports.deadline import Deadline

ANSWER_MAX: Final = 64 * KIB
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """``date`` is the other end's clock, if it told it; ``certificate`` what it showed (DER), if the connection is TLS."""

    status: int
    body: bytes
    date: datetime | None
    certificate: bytes | None


def ask(connection: Any, authority: str, path: str, deadline: Deadline) -> Answer:
    """``GET path``. Raises OSError (TimeoutError too), or ValueError for an answer that is no HTTP or above 64 KiB."""
    connection.settimeout(deadline.left())
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode("ascii"))
    raw = b""
    while not _complete(raw):
        if len(raw) > ANSWER_MAX:
            raise ValueError(f"the answer is above {ANSWER_MAX} bytes")
        connection.settimeout(deadline.left())
        data = connection.recv(16 * KIB)
        if not data:
            break
        raw += data
    response = http.client.HTTPResponse(_Raw(raw))  # type: ignore[arg-type]  # all that is used of a socket is its makefile
    try:
        response.begin()
        body = response.read()
    except http.client.HTTPException:
        raise ValueError("the answer is not HTTP") from None
    tls = getattr(connection, "tls", None)
    return Answer(response.status, body, date_of(response.getheader("Date")), tls.getpeercert(True) if tls else None)


def date_of(header: str | None) -> datetime | None:
    """The time in a Date header, or None if there is none to be read."""
    try:
        found = parsedate_to_datetime(header or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _complete(raw: bytes) -> bool:
    head, end, body = raw.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n") if end else None
    return length is not None and len(body) >= int(length[1])


class _Raw:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)
