"""A waiting poll outside of the HTTP server, on real sockets, plain and TLS; with gunicorn around it: tests/integration/test_parked_polls.py."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.socket
import pytest

from fileflux.actors.kernel.pump import Pump
from fileflux.actors.kernel.tls import TlsSocket, client_context, client_handshake, server_handshake
from fileflux.protocol.limits import KIB, MIB
from fileflux.web.poll_parking import RequestWaiter, answer_bytes
from fileflux.web.takeover import RESUME, TakenResponse
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def pump() -> Iterator[Pump]:
    made = Pump()
    made.start()
    yield made
    made.stop()


@dataclass
class Parked:
    """A poll in the pump. ``client`` is the agent's end, ``back`` what the HTTP server got again."""

    client: Any
    server: Any
    waiter: RequestWaiter
    gone: list[RequestWaiter] = field(default_factory=list)
    back: list[tuple[Any, Any]] = field(default_factory=list)
    behind: bytes = b""
    moves: list[None] = field(default_factory=list)
    """The answer's progress, as the link is told."""

    def park(self, pump: Pump, patience: float = 5.0, **environ: Any) -> None:
        environ |= {
            "gunicorn.socket": self.server,
            RESUME: lambda connection, address: self.back.append((connection, address)),
            "wsgi.input": SimpleNamespace(reader=SimpleNamespace(take_behind=lambda: self.behind)),
            "REMOTE_ADDR": "192.0.2.1",
            "REMOTE_PORT": "1234",
            "SERVER_PROTOCOL": environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
        }
        assert isinstance(self.waiter.park(environ, pump, patience), TakenResponse)
        # As gunicorn does with its own descriptor.
        self.server.close()

    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size and (data := self.client.recv(65536)):
            found += data
        return found


def tls_pair(context: ssl.SSLContext, authority: Authority, left: Any, right: Any) -> tuple[TlsSocket, TlsSocket]:
    serving = gevent.spawn(server_handshake, right, context, 10)
    client = client_handshake(left, client_context(authority.file), "localhost", 10)
    return client, serving.get()


@pytest.fixture(params=["plain", "tls"])
def parked(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Parked]:
    left, right = gevent.socket.socketpair()
    for end in (left, right):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    client, server = (
        (left, right) if request.param == "plain" else tls_pair(authority.server_context(), authority, left, right)
    )
    client.settimeout(5)
    gone: list[RequestWaiter] = []
    moves: list[None] = []
    made = Parked(client, server, RequestWaiter(7, gone.append, lambda: moves.append(None)), gone, moves=moves)
    yield made
    made.client.close()
    made.server.close()
    for connection, _ in made.back:
        connection.close()


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10, AssertionError("it did not happen")):
        while not condition():
            gevent.sleep(0.002)


@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 8 * 1024])
def test_the_answer_comes_whole_and_the_connection_goes_back(parked: Parked, pump: Pump, body: bytes) -> None:
    parked.park(pump)
    expected = answer_bytes(7, body, last=False)
    reading = gevent.spawn(parked.read, len(expected))
    gevent.sleep(0.01)
    assert not parked.back
    parked.waiter.answer(body)
    assert reading.get(timeout=10) == expected
    until(lambda: parked.back)
    ((connection, address),) = parked.back
    assert address == ("192.0.2.1", "1234")
    # In blocking style again, for the next request, whatever of it was there already.
    parked.client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    connection.settimeout(5)
    assert connection.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
    connection.sendall(b"answer")
    assert parked.read(6) == b"answer"
    assert parked.gone == []
    assert pump.statistics().channels == 0


def test_the_answer_is_http() -> None:
    head, _, body = answer_bytes(7, b"slice", last=False).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"X-FileFlux-Seq: 7",
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        b"Content-Type: application/octet-stream",
        b"Content-Length: 5",
    ]
    assert body == b"slice"
    empty = answer_bytes(8, b"", last=True)
    assert empty.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"\r\nConnection: close\r\n" in empty
    assert b"Content-Length" not in empty
    assert empty.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "environ",
    [{"HTTP_CONNECTION": "close"}, {"HTTP_CONNECTION": "Keep-Alive, Close"}, {"SERVER_PROTOCOL": "HTTP/1.0"}],
)
def test_who_wants_the_connection_closed_behind_the_answer_gets_that(
    parked: Parked, pump: Pump, environ: dict[str, str]
) -> None:
    parked.park(pump, **environ)
    parked.waiter.answer(b"x")
    assert parked.read(10**6) == answer_bytes(7, b"x", last=True)
    assert parked.back == []
    assert pump.statistics().channels == 0


def test_http_1_0_may_keep_its_connection(parked: Parked, pump: Pump) -> None:
    parked.park(pump, SERVER_PROTOCOL="HTTP/1.0", HTTP_CONNECTION="keep-alive")
    parked.waiter.answer(b"x")
    until(lambda: parked.back)


def test_an_agent_that_hangs_up_is_forgotten(parked: Parked, pump: Pump) -> None:
    parked.park(pump)
    parked.client.close()
    until(lambda: parked.gone)
    assert parked.gone == [parked.waiter]
    assert pump.statistics().channels == 0
    parked.waiter.answer(b"kept for its next connection, not sent on this one")
    gevent.sleep(0.01)
    assert parked.back == []


def test_bytes_before_the_answer_end_the_connection(parked: Parked, pump: Pump) -> None:
    parked.park(pump)
    parked.client.sendall(b"GET /smuggled HTTP/1.1\r\n\r\n")
    until(lambda: parked.gone)
    assert parked.read(100) == b""
    assert parked.back == []


def test_a_request_that_came_in_behind_the_poll_ends_the_connection(parked: Parked, pump: Pump) -> None:
    """It was read together with the poll, so nobody would ever see it: better to hang up than to let its sender wait."""
    parked.behind = b"GET /next HTTP/1.1\r\n\r\n"
    parked.park(pump)
    assert parked.gone == [parked.waiter]
    assert parked.read(100) == b""
    assert pump.statistics().channels == 0


def test_a_dismissed_poll_is_closed_without_an_answer(parked: Parked, pump: Pump) -> None:
    parked.park(pump)
    parked.waiter.dismiss()
    assert parked.read(100) == b""
    assert (parked.back, parked.gone) == ([], [])
    assert pump.statistics().channels == 0


def test_an_agent_that_takes_nothing_of_its_answer_is_hung_up_on(parked: Parked, pump: Pump) -> None:
    parked.park(pump, patience=0.2)
    parked.waiter.answer(bytes(4 * MIB))
    until(lambda: parked.gone)
    assert pump.statistics().channels == 0
    assert parked.back == []


def test_a_slow_agent_gets_all_of_it(parked: Parked, pump: Pump) -> None:
    parked.park(pump, patience=0.3)
    body = bytes(range(256)) * 1024
    parked.waiter.answer(body)
    expected, found = answer_bytes(7, body, last=False), b""
    while len(found) < len(expected):
        data = parked.client.recv(16384)
        assert data, "hung up on"
        found += data
        gevent.sleep(0.05)
    assert found == expected
    until(lambda: parked.back)
    assert len(parked.moves) >= 3, "a slow peer is not dead"


def test_the_progress_of_an_answer_that_is_sent_by_the_server_is_told_too(parked: Parked) -> None:
    parked.waiter.answer(bytes(range(256)) * 1024)
    sent = b""
    for part in parked.waiter.parts():
        sent += part
        assert len(part) <= 64 * KIB
    assert sent == bytes(range(256)) * 1024
    assert len(parked.moves) == len(sent) // (64 * KIB)


def test_the_end_of_the_pump_is_the_end_of_its_polls(parked: Parked, pump: Pump) -> None:
    parked.park(pump)
    pump.stop()
    assert parked.gone == [parked.waiter]
    assert parked.read(100) == b""


def test_without_a_server_that_can_be_left_it_waits_where_it_is(pump: Pump) -> None:
    waiter = RequestWaiter(1, lambda _: None)
    assert waiter.park({}, pump, 1.0) is None
    assert not waiter.wait(0)
    gevent.spawn_later(0.02, waiter.answer, b"x")
    assert waiter.wait(5)
    assert waiter.wait(0)
    assert waiter.body == b"x"
    gone = RequestWaiter(2, lambda _: None)
    gone.dismiss()
    assert gone.wait(0)
    assert gone.body is None
