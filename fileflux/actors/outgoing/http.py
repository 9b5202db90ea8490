"""One POST to a webhook's target: to an address that was checked, without redirects, proxies or cookies, within a deadline and a size."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from fileflux.actors.kernel.tls import TlsSocket, client_handshake
from fileflux.actors.outgoing.reach import Reach, explain
from fileflux.clock import Clock
from fileflux.errors import FluxError
from fileflux.jobs import webhook, webhook_url
from fileflux.jobs.webhook_url import Allowed, WebhookUrl
from fileflux.protocol.limits import KIB
from fileflux.storage.deliveries import ANSWER_MAX, Batch, Delivery, Outcome

ANSWER_READ_MAX: Final = 64 * KIB
"""Of an answer's body; the connection is closed behind that."""
HEAD_MAX: Final = 64 * KIB
USER_AGENT: Final = "FileFlux"
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds. ``whole`` counts from the look-up of the name to the status; ``answer`` is what the body gets behind it."""

    connect: float = 5.0
    read: float = 10.0
    whole: float = 15.0
    answer: float = 2.0


class TooMuchError(FluxError):
    """The head of the answer does not end."""

    code = "bad_answer"


class WebhookClient:
    def __init__(self, reach: Reach, waits: Waits | None = None) -> None:
        self._reach = reach
        self._waits = waits or Waits()

    def send(self, batch: Batch, delivery: Delivery, allowed: Sequence[Allowed]) -> Outcome:
        """One attempt; never raises for anything that a target does."""
        try:
            url = webhook_url.parse_url(batch.url)
            notice = delivery.notice
            body = webhook.body(notice.type, notice.at, notice.data)
            # The time of this attempt, by which receivers refuse what somebody recorded and sends again.
            signed = webhook.headers(batch.secrets, delivery.message_id, int(time.time()), body)
            return self._post(url, signed, body, allowed)
        except http.client.HTTPException:
            return Outcome(ok=False, error="what it answers is no HTTP")
        except (FluxError, OSError) as error:
            return Outcome(ok=False, error=explain(error))

    def _post(self, url: WebhookUrl, headers: Mapping[str, str], body: bytes, allowed: Sequence[Allowed]) -> Outcome:
        clock, waits = self._reach.clock, self._waits
        deadline = clock.monotonic() + waits.whole
        sock: socket.socket | TlsSocket = self._reach.connect(
            url.host,
            url.port,
            wait=waits.connect,
            deadline=deadline,
            check=lambda addresses: webhook_url.check(url, addresses, allowed),
        )
        try:
            if url.secure:
                sock = client_handshake(sock, self._reach.context(), url.host, _left(clock, deadline))
            wire = _Wire(sock, clock, deadline, waits.read)
            connection = _Connected(wire)
            _request(connection, url, headers, body)
            return self._answer(connection.getresponse(), wire)
        finally:
            with suppress(OSError):
                sock.close()

    def _answer(self, response: http.client.HTTPResponse, wire: _Wire) -> Outcome:
        wire.deadline = min(wire.deadline, self._reach.clock.monotonic() + self._waits.answer)
        status, text = response.status, _shown(_read_some(response))
        if 200 <= status < 300:
            return Outcome(ok=True, http_status=status, answer=text)
        asked = response.getheader("Retry-After") or ""
        wait = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 and status in (429, 503) else 0.0
        why = f"it answered {status}"
        if 300 <= status < 400:
            why = f"it redirects ({status}), which is not followed; give the URL that answers itself"
        return Outcome(ok=False, error=why, http_status=status, answer=text, gone=status == _GONE, retry_after=wait)


class _Wire:
    """As much of a socket as http.client uses, with one deadline over all that is read and a bound on how much."""

    def __init__(self, sock: Any, clock: Clock, deadline: float, wait: float) -> None:
        self.deadline = deadline
        self._sock = sock
        self._clock = clock
        self._wait = wait
        self._room = HEAD_MAX + ANSWER_READ_MAX

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(min(self._wait, _left(self._clock, self.deadline)))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode
        return io.BufferedReader(_Reader(self), 8 * KIB)

    def close(self) -> None:
        """The socket is its owner's to close: http.client does it before the body is read."""

    def receive(self, buffer: Any) -> int:
        self._sock.settimeout(min(self._wait, _left(self._clock, self.deadline)))
        size = int(self._sock.recv_into(buffer))
        self._room -= size
        if self._room < 0:
            raise TooMuchError("its answer is too long")
        return size


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._wire.receive(buffer)


class _Connected(http.client.HTTPConnection):
    """On a connection that is there; it never makes one."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__("")
        self.sock = wire
        self.auto_open = 0


def _request(connection: _Connected, url: WebhookUrl, headers: Mapping[str, str], body: bytes) -> None:
    connection.putrequest("POST", url.target, skip_host=True, skip_accept_encoding=True)
    fixed = {
        "Host": url.host_header,
        "User-Agent": USER_AGENT,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    for name, value in (fixed | dict(headers)).items():
        connection.putheader(name, value)
    connection.endheaders(body)


def _read_some(response: http.client.HTTPResponse) -> bytes:
    """What comes of the body, within its bounds; the status counts whether it ends or not."""
    data = bytearray()
    with suppress(OSError, http.client.HTTPException, FluxError):
        while len(data) < ANSWER_READ_MAX:
            part = response.read1(4 * KIB)
            if not part:
                break
            data += part
    return bytes(data)


def _shown(body: bytes) -> str:
    """The beginning, for people: control characters and what is no UTF-8 as escapes."""
    text = body[:ANSWER_MAX].decode("utf-8", "backslashreplace")
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def _left(clock: Clock, deadline: float) -> float:
    left = deadline - clock.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
