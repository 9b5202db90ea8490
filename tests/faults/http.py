"""What a fault proxy must understand of HTTP/1.1 and WebSocket to break them as middle boxes do. Bytes in, steps out; no sockets.

It looks for the heads of requests behind their bodies, for the answer to an upgrade, and for the headers of WebSocket frames. What is not
HTTP/1.1 (TLS, garbage, a head without end) passes as it is.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from tests.faults.rules import KIB, End, Http, Swallow
from tests.faults.websocket import FrameFilter

HEAD_MAX = 64 * KIB
PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to use this network.</body></html>\n"
)


class To(enum.Enum):
    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes for one side, or the connection's end once that side has all before it."""

    to: To
    data: bytes = b""
    end: End | None = None


class _State(enum.Enum):
    HEAD = "head"
    BODY = "body"
    CHUNKS = "chunks"
    ANSWER = "answer awaited"
    FRAMES = "frames"
    RAW = "raw"
    DEAF = "deaf"


class Gate:
    """One connection's HTTP. ``settings`` gives the faults as they are now."""

    def __init__(self, settings: Callable[[], Http]) -> None:
        self.upgraded = False
        """A 101 has passed."""
        self.requests: deque[str] = deque(maxlen=1000)
        """First lines of the requests that came, without the version."""
        self._settings = settings
        self._state = _State.HEAD
        self._up = b""
        self._down: bytes | None = None
        self._body = 0
        self._chunks = ChunkedBody()
        self._filters = {way: FrameFilter() for way in (Swallow.UP, Swallow.DOWN)}
        self._since_101 = dict.fromkeys((Swallow.UP, Swallow.DOWN), 0)

    @property
    def swallowed(self) -> int:
        """Binary messages that vanished."""
        return sum(each.swallowed for each in self._filters.values())

    def up(self, data: bytes) -> list[Step]:
        """Bytes from the client."""
        steps: list[Step] = []
        self._up += data
        while self._up:
            before = (self._state, len(self._up))
            steps += self._up_step()
            if (self._state, len(self._up)) == before:
                break
        return steps

    def down(self, data: bytes) -> list[Step]:
        """Bytes from the server."""
        if self._state is _State.FRAMES:
            return self._frames(To.CLIENT, Swallow.DOWN, data)
        if self._down is None:
            return [Step(To.CLIENT, data)]
        self._down += data
        return self._answer()

    def _up_step(self) -> list[Step]:
        match self._state:
            case _State.HEAD:
                return self._head()
            case _State.BODY:
                data = self._take(self._body)
                self._body -= len(data)
                if not self._body:
                    self._state = _State.HEAD
                return [Step(To.SERVER, data)]
            case _State.CHUNKS:
                data = self._take(self._chunks.feed(self._up))
                if self._chunks.ended:
                    self._state = _State.HEAD
                return [Step(To.SERVER, data)]
            case _State.FRAMES:
                return self._frames(To.SERVER, Swallow.UP, self._take(len(self._up)))
            case _State.RAW:
                return [Step(To.SERVER, self._take(len(self._up)))]
            case _State.DEAF:
                self._up = b""
            case _State.ANSWER if len(self._up) > HEAD_MAX:
                self._state = _State.DEAF
                return [Step(To.SERVER, end=End.RESET)]
            case _State.ANSWER:
                pass
        return []

    def _take(self, size: int) -> bytes:
        data, self._up = self._up[:size], self._up[size:]
        return data

    def _head(self) -> list[Step]:
        end = self._up.find(b"\r\n\r\n")
        if not self._up[:1].isalpha() or (end < 0 and len(self._up) > HEAD_MAX):
            self._state = _State.RAW
            return []
        if end < 0:
            return []
        head = self._take(end + 4)
        first, headers = parse_head(head)
        self.requests.append(first.rpartition(" ")[0])
        settings = self._settings()
        if headers.get("upgrade", "").lower() == "websocket":
            return self._upgrade(head, settings)
        length = headers.get("content-length", "0")
        self._body = int(length) if length.isdecimal() else 0
        if settings.body_max is not None and self._body > settings.body_max:
            return self._refuse(413)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._chunks = ChunkedBody()
            self._state = _State.CHUNKS
        elif self._body:
            self._state = _State.BODY
        return [Step(To.SERVER, head)]

    def _upgrade(self, head: bytes, settings: Http) -> list[Step]:
        if settings.refuse_upgrade is not None:
            return self._refuse(settings.refuse_upgrade)
        if settings.hang_upgrade:
            self._state = _State.DEAF
            return []
        self._state = _State.ANSWER
        self._down = b""
        return [Step(To.SERVER, head)]

    def _refuse(self, status: int) -> list[Step]:
        self._state = _State.DEAF
        return [Step(To.CLIENT, answer(status)), Step(To.CLIENT, end=End.FIN)]

    def _answer(self) -> list[Step]:
        """The head of the answer to an upgrade, and what follows it."""
        assert self._down is not None
        end = self._down.find(b"\r\n\r\n")
        if end < 0 and len(self._down) <= HEAD_MAX:
            return []
        if end < 0:
            self._state = _State.RAW
            rest, self._down = self._down, None
            return [Step(To.CLIENT, rest), *self.up(b"")]
        head, rest = self._down[: end + 4], self._down[end + 4 :]
        words = parse_head(head)[0].split(" ")
        status = words[1] if len(words) > 1 else ""
        steps = [Step(To.CLIENT, head)]
        if status.startswith("1") and status != "101":
            self._down = b""
            return [*steps, *self.down(rest)]
        self._down = None
        if status == "101":
            self.upgraded = True
            self._state = _State.FRAMES
            return [*steps, *self._frames(To.CLIENT, Swallow.DOWN, rest), *self.up(b"")]
        self._state = _State.HEAD
        return [*steps, Step(To.CLIENT, rest), *self.up(b"")]

    def _frames(self, to: To, way: Swallow, data: bytes) -> list[Step]:
        """Bytes behind the 101."""
        settings = self._settings()
        data = self._filters[way].feed(data, swallow=bool(settings.swallow & way))
        if settings.cut_after_101 is None or settings.cut_way is not way:
            self._since_101[way] += len(data)
            return [Step(to, data)]
        left = max(0, settings.cut_after_101 - self._since_101[way])
        if len(data) < left:
            self._since_101[way] += len(data)
            return [Step(to, data)]
        self._state = _State.DEAF
        return [Step(to, data[:left]), Step(to, end=settings.cut_end)]


class ChunkedBody:
    """Finds the end of a chunked body."""

    def __init__(self) -> None:
        self.ended = False
        self._left = 0
        self._last = False

    def feed(self, data: bytes) -> int:
        """How many of these bytes belong to the body and may pass now."""
        position = 0
        while position < len(data) and not self.ended:
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
                continue
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                break
            line = data[position:line_end]
            position = line_end + 2
            if self._last:
                # Trailers end with an empty line.
                self.ended = not line
                continue
            size = int(line.partition(b";")[0].strip() or b"0", 16)
            self._last = size == 0
            self._left = size + 2 if size else 0
        return position


def parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    """The first line, and the headers by lower-case name."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


def answer(status: int) -> bytes:
    """A whole response as a middle box gives it."""
    reason = HTTPStatus(status).phrase
    body = PAGE if status == 200 else f"<html><head><title>{status} {reason}</title></head></html>\r\n".encode()
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Server: middlebox",
        "Content-Type: text/html",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
