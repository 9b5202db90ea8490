"""WebSocketLink over real sockets: the contract, hostile bytes, an independent client and an independent server."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import websocket as websocket_client

from fileflux.clock import FakeClock, SystemClock
from fileflux.errors import LocalProtocolError
from fileflux.protocol.limits import DEFAULT_LIMITS, MIB, Limits
from fileflux.protocol.link import Buffer
from fileflux.protocol.websocket import WebSocketLink, client_handshake, server_accept
from fileflux.protocol.websocket_reader import PINGS_PER_SECOND
from tests.contracts.link_suite import LinkSuite, Recorder
from tests.protocol.select_pump import SelectPump
from tests.protocol.wire import Answering, environ_of, frame, read_head


def sockets() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


class SocketPair:
    def __init__(self, ends: Any = None) -> None:
        self.pump = SelectPump()
        self.sockets = ends or sockets()
        self.left = WebSocketLink(self.sockets[0], "client", self.pump, DEFAULT_LIMITS, SystemClock(), "hub")
        self.right = WebSocketLink(self.sockets[1], "server", self.pump, DEFAULT_LIMITS, SystemClock(), "agent")

    def until(self, holds: Callable[[], object]) -> None:
        self.pump.until(holds)

    def settle(self) -> None:
        self.pump.settle()

    def cut(self) -> None:
        self.sockets[0].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


class TestWebSocketLink(LinkSuite):
    @pytest.fixture
    def pair(self) -> Iterator[SocketPair]:
        pair = SocketPair()
        yield pair
        pair.close()


class Served:
    """A server's link with a raw socket as its peer."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.pump = SelectPump()
        self.peer, inner = sockets()
        self.clock = FakeClock()
        self.link = WebSocketLink(inner, "server", self.pump, limits, self.clock)
        self.seen = Recorder()
        self.link.start(self.seen)
        self._inner = inner

    def say(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self.peer.send(view) :]
            except BlockingIOError:
                self.pump.turn()
            except (BrokenPipeError, ConnectionResetError):
                return
        self.pump.settle()

    def answer(self) -> bytes:
        self.pump.settle()
        got = b""
        try:
            while data := self.peer.recv(1 << 20):
                got += data
                self.pump.settle()
        except BlockingIOError:
            pass
        return got

    def close(self) -> None:
        self.peer.close()
        self._inner.close()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def test_who_closes_knows_whether_the_peer_heard_it(served: Served) -> None:
    assert not served.link.answered
    served.link.close(4409, "taken over")
    served.answer()
    assert not served.link.answered
    served.say(frame(8, struct.pack("!H", 4409)))
    assert served.link.answered


@pytest.mark.parametrize("said", [b"", frame(8, struct.pack("!H", 1001))], ids=["cut", "closed-first"])
def test_a_peer_that_went_first_heard_nothing(served: Served, said: bytes) -> None:
    if said:
        served.say(said)
    else:
        served.peer.close()
        served.pump.settle()
    served.link.close(4409, "taken over")
    served.pump.settle()
    assert not served.link.answered


def close_code(data: bytes) -> int:
    at = data.rindex(b"\x88")
    return int(struct.unpack("!H", data[at + 2 : at + 4])[0])


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("unmasked", frame(1, b"{}", mask=False), 1002),
        ("4 GiB, header only", b"\x82\xff" + struct.pack("!Q", 1 << 32), 1009),
        ("2**63 - 1, header only", b"\x82\xff" + struct.pack("!Q", (1 << 63) - 1), 1009),
        ("top bit of the length", b"\x82\xff" + struct.pack("!Q", 1 << 63), 1009),
        *[(f"reserved bit {bit}", frame(1, b"{}", rsv=bit), 1002) for bit in (1, 2, 4)],
        *[(f"opcode {opcode}", frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        ("continuation of nothing", frame(0, b"x"), 1002),
        ("new message inside one", frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
        ("ping in fragments", frame(9, b"x", fin=False), 1002),
        ("long ping", frame(9, b"x" * 126), 1002),
        ("FF FE", frame(1, b"\xff\xfe"), 1007),
        ("overlong", frame(1, b"\xc0\xaf"), 1007),
        ("surrogate", frame(1, b"\xed\xa0\x80"), 1007),
        ("code point cut for good", frame(1, b"\xe2\x82", fin=False) + frame(0, b"x"), 1007),
        ("text of 1 MiB + 1", frame(1, b"x" * (MIB + 1)), 1009),
        ("text of 1 MiB + 1 in fragments", frame(1, b"x" * MIB, fin=False) + frame(0, b"x"), 1009),
        ("binary of 2 MiB + 1", frame(2, b"x" * (2 * MIB + 1)), 1009),
        ("ping flood", frame(9) * 1000, 1008),
    ],
)
def test_bad_bytes_are_answered_with_a_close_code(served: Served, name: str, data: bytes, code: int) -> None:
    served.say(data)
    assert close_code(served.answer()) == code
    assert not served.seen.texts
    assert not served.seen.binaries
    served.peer.close()
    served.pump.settle()
    assert [closed for closed, _ in served.seen.closed] == [code]


def test_a_code_point_may_be_cut_between_fragments(served: Served) -> None:
    served.say(frame(1, b"\xe2\x82", fin=False) + frame(9, b"?") + frame(0, b"\xac"))
    assert served.seen.texts == ["€"]
    assert served.answer() == b"\x8a\x01?"


def test_a_million_fragments_stay_one_buffer(served: Served) -> None:
    served.say(frame(2, b"", fin=False) + frame(0, b"x", fin=False) * 100_000 + frame(0))
    assert served.seen.binaries == [b"x" * 100_000]


def test_one_turn_parses_a_bounded_number_of_frames(served: Served) -> None:
    served.peer.send(frame(1, b"{}") * 20_000)
    served.pump.turn()
    assert 500 <= len(served.seen.texts) < 5000
    served.pump.settle()
    assert len(served.seen.texts) == 20_000


def test_bytes_behind_the_handshake_are_the_first(served: Served) -> None:
    left, right = sockets()
    link = WebSocketLink(left, "server", served.pump, DEFAULT_LIMITS, served.clock, pending=frame(1, b"early"))
    seen = Recorder()
    right.send(frame(1, b"late"))
    link.start(seen)
    served.pump.settle()
    assert seen.texts == ["early", "late"]
    left.close()
    right.close()


def test_tick_pings_and_gives_up_a_peer_that_does_not_close(served: Served) -> None:
    served.clock.advance(20.0)
    served.link.tick(served.clock.monotonic())
    assert served.answer() == b"\x89\x00"
    served.link.close(1001, "bye")
    assert close_code(served.answer()) == 1001
    served.say(frame(1, b"still here"))
    served.clock.advance(9.9)
    served.link.tick(served.clock.monotonic())
    assert not served.seen.closed
    served.clock.advance(0.2)
    served.link.tick(served.clock.monotonic())
    assert served.seen.closed == [(1001, "bye")]
    assert not served.seen.texts


def test_a_peer_that_takes_nothing_is_given_up(served: Served) -> None:
    returned: list[int] = []
    for number in range(20):
        served.link.send_binary(bytes(MIB), on_sent=lambda number=number: returned.append(number))
    served.pump.settle()
    served.clock.advance(59.0)
    served.link.tick(served.clock.monotonic())
    assert not served.seen.closed
    served.clock.advance(1.0)
    served.link.tick(served.clock.monotonic())
    assert served.seen.closed == [(1006, "the peer takes no bytes")]
    assert sorted(returned) == list(range(20))


def test_pongs_for_a_peer_that_reads_none_are_bounded(served: Served) -> None:
    """The rate of pings bounds what a silent peer can make wait, and its silence how long."""
    waiting = 0
    for _ in range(200):
        served.say(frame(9, b"x" * 125) * PINGS_PER_SECOND)
        served.clock.advance(1.0)
        waiting = max(waiting, sum(map(len, (*served.link._protocol.writes, *served.link._wire))))
        served.link.tick(served.clock.monotonic())
        if served.seen.closed:
            break
    assert served.seen.closed == [(1006, "the peer takes no bytes")]
    assert 100_000 < waiting < MIB


def test_texts_for_a_peer_that_reads_nothing_are_bounded() -> None:
    served = Served(replace(DEFAULT_LIMITS, outbox_max=10))
    for _ in range(41):
        served.link.send_text("x")
    served.pump.settle()
    assert close_code(served.answer()) == 1008
    served.close()


def test_a_handler_that_raises_ends_its_link_only(served: Served) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    served.seen.react = fail
    served.say(frame(1, b"boom"))
    assert served.seen.closed == [(1006, "ValueError")]


def test_close_takes_only_codes_that_may_be_sent(served: Served) -> None:
    with pytest.raises(LocalProtocolError):
        served.link.close(1006, "never on the wire")


def test_random_bytes_never_escape_as_an_exception() -> None:
    for seed in range(100):
        served = Served()
        served.say(hashlib.shake_128(seed.to_bytes(2, "big")).digest(2000))
        served.peer.close()
        served.pump.settle()
        assert len(served.seen.closed) == 1
        served.close()


# Independent peers


class Echo(Recorder):
    link: WebSocketLink

    def on_text(self, text: str) -> None:
        super().on_text(text)
        self.link.send_text(text)

    def on_binary(self, data: Buffer) -> None:
        super().on_binary(data)
        self.link.send_binary(data)


def test_websocket_client_understands_us() -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        answer, accepted = server_accept(environ_of(read_head(connection)))
        assert accepted
        connection.sendall(answer)
        connection.setblocking(False)
        pump, echo = SelectPump(), Echo()
        echo.link = WebSocketLink(connection, "server", pump, DEFAULT_LIMITS, SystemClock())
        echo.link.start(echo)
        pump.until(lambda: echo.closed)
        assert echo.closed[0][0] == 1000
        done.set()

    server = Answering(serve)
    client: Any = websocket_client.create_connection(server.url.replace("http", "ws"), timeout=10)
    data = os.urandom(MIB)
    client.send_binary(data)
    assert client.recv() == data
    client.send("grüße")
    assert client.recv() == "grüße"
    client.ping("alive")
    client.close()
    server.close()
    assert done.is_set()


def test_we_understand_an_independent_server() -> None:
    """The server's half is written here from RFC 6455, byte by byte."""

    def serve(connection: socket.socket) -> None:
        key = environ_of(read_head(connection))["HTTP_SEC_WEBSOCKET_KEY"]
        accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        connection.sendall(
            b"HTTP/1.1 101 OK\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )
        first = connection.recv(6, socket.MSG_WAITALL)
        assert first[0] == 0x81
        assert first[1] & 0x80
        masked = connection.recv(first[1] & 0x7F, socket.MSG_WAITALL)
        text = bytes(byte ^ first[2 + at % 4] for at, byte in enumerate(masked))
        connection.sendall(frame(1, text, mask=False) + frame(8, struct.pack("!H", 1001) + b"bye", mask=False))
        connection.recv(100)

    server = Answering(serve)
    connection = server.connect()
    pending = client_handshake(connection, server.url, {}, DEFAULT_LIMITS)
    connection.setblocking(False)
    pump, seen = SelectPump(), Recorder()
    link = WebSocketLink(connection, "client", pump, DEFAULT_LIMITS, SystemClock(), pending=pending)
    link.start(seen)
    link.send_text("hello")
    pump.until(lambda: seen.closed)
    server.close()
    assert seen.texts == ["hello"]
    assert seen.closed == [(1001, "bye")]
