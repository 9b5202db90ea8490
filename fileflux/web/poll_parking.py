"""A poll that waits leaves the HTTP server: its connection is watched by the pump, and goes back for its next request after the answer.

A greenlet with its request would cost 50 KiB and more for each idle agent; a parked connection costs a socket with its watchers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from flask import Response

from fileflux.actors.kernel import runtime, sockets
from fileflux.actors.kernel.pump import Channel, Pump
from fileflux.protocol.limits import KIB, MIB
from fileflux.web.deadlines import SEND_PART
from fileflux.web.http_rules import take_unread
from fileflux.web.takeover import RESUME, TakenResponse

HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
CONTENT_TYPE: Final = "application/octet-stream"
_SEND_BYTES: Final = MIB
"""Per turn of the pump."""
_PORTION: Final = 64 * KIB
"""For one call: TLS says that some was taken when all of it was."""


class RequestWaiter:
    """Implements ``poll_peer.Waiter`` for one request, first in its greenlet, then parked.

    ``gone`` is called if the agent hangs up, ``moved`` when it has taken some of the answer.
    """

    def __init__(
        self, number: int, gone: Callable[[RequestWaiter], None], moved: Callable[[], None] = lambda: None
    ) -> None:
        self.number = number
        self._gone = gone
        self._moved = moved
        self._done = runtime.Event()
        self._parked: _Parked | None = None
        self.body: bytes | None = None
        """The answer; None until there is one, and for a poll that was dismissed."""

    def wait(self, seconds: float) -> bool:
        """Whether it was answered or dismissed, waiting so long in the request's own greenlet."""
        return self._done.is_set() or (seconds > 0 and self._done.wait(seconds))

    def answer(self, body: bytes) -> None:
        self.body = body
        self._done.set()
        if self._parked is not None:
            self._parked.write(answer_bytes(self.number, body, last=self._parked.resume is None))

    def parts(self) -> Iterator[bytes]:
        """The answer as it is sent from the request's own greenlet."""
        body = self.body or b""
        for offset in range(0, len(body), SEND_PART):
            yield body[offset : offset + SEND_PART]
            self._moved()

    def dismiss(self) -> None:
        self._done.set()
        if self._parked is not None:
            self._parked.close()

    def park(self, environ: Mapping[str, Any], pump: Pump, patience: float) -> Response | None:
        """Take the connection out of the HTTP server. None when it cannot be parked: then wait here.

        An agent that takes nothing of its answer for ``patience`` seconds is hung up on.
        """
        resume, connection = environ.get(RESUME), environ.get("gunicorn.socket")
        if resume is None or connection is None:
            return None
        stream = sockets.plain_socket(connection)
        if take_unread(environ) + sockets.take_unread(stream):
            # Bytes behind a poll that is not answered: no client of ours does that.
            stream.close()
            self._gone(self)
            return TakenResponse()
        address = (environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", 0))
        self._parked = _Parked(stream, pump, patience, lambda: self._gone(self), self._moved)
        if not _wants_close(environ):
            self._parked.resume = lambda back: resume(back, address)
        return TakenResponse()


class _Parked:
    """A connection in the pump (PumpHandler), which goes to ``resume`` after the answer; without one it is closed."""

    def __init__(
        self, stream: Any, pump: Pump, patience: float, gone: Callable[[], None], moved: Callable[[], None]
    ) -> None:
        self.resume: Callable[[Any], object] | None = None
        self._stream = stream
        self._gone = gone
        self._moved = moved
        self._out = memoryview(b"")
        self._closed = False
        self._patience = patience
        self._alarm: runtime.Timer | None = None
        self._taken = False
        self._channel: Channel = pump.register(stream, self)

    def write(self, data: bytes) -> None:
        if not self._closed:
            self._out = memoryview(data)
            self._channel.want_write(True)
            self._look_again()

    def close(self) -> None:
        if not self._closed:
            self._leave()
            self._stream.close()

    def readable(self) -> None:
        """Nothing may come before the answer, except the end."""
        try:
            self._stream.recv(4 * KIB)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._hang_up()

    def writable(self) -> None:
        budget = _SEND_BYTES
        try:
            while self._out and budget > 0:
                sent = self._stream.send(self._out[: min(budget, _PORTION)])
                self._out = self._out[sent:]
                self._taken = True
                self._moved()
                budget -= sent
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._hang_up()
            return
        if not self._out:
            self._channel.want_write(False)
            if self.resume is None:
                self.close()
                return
            self._leave()
            self.resume(sockets.blocking_socket(self._stream))

    def failed(self, error: Exception) -> None:
        del error
        self._hang_up()

    def _look_again(self) -> None:
        """Whether the agent has taken some of the answer since the last look."""
        self._taken = False
        self._alarm = runtime.call_later(self._patience, self._looked)

    def _looked(self) -> None:
        if self._taken:
            self._look_again()
        else:
            self._hang_up()

    def _leave(self) -> None:
        self._closed = True
        self._channel.close()
        if self._alarm is not None:
            self._alarm.cancel()

    def _hang_up(self) -> None:
        self.close()
        self._gone()


def _wants_close(environ: Mapping[str, Any]) -> bool:
    """Whether the one who asked expects the end of the connection behind the answer, as nginx does by itself (RFC 9112 §9.3)."""
    options = {option.strip() for option in str(environ.get("HTTP_CONNECTION", "")).lower().split(",")}
    return "close" in options or (environ.get("SERVER_PROTOCOL") == "HTTP/1.0" and "keep-alive" not in options)


def answer_bytes(number: int, body: bytes, *, last: bool) -> bytes:
    """The answer of a poll as it goes over the wire. ``last``: the connection is closed behind it."""
    status = HTTPStatus.OK if body else HTTPStatus.NO_CONTENT
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"X-FileFlux-Seq: {number}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    if last:
        lines.append("Connection: close")
    if body:
        lines += [f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
