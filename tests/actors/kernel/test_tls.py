"""TLS over real sockets: the handshake, both styles, and the way from one to the other."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator

import gevent
import gevent.socket
import pytest

from fileflux.actors.kernel.pump import Pump
from fileflux.actors.kernel.sockets import blocking_socket, plain_socket, take_unread
from fileflux.actors.kernel.tls import (
    TlsError,
    TlsFailure,
    TlsSocket,
    TlsStream,
    client_context,
    client_handshake,
    server_handshake,
)
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server_context(authority: Authority) -> ssl.SSLContext:
    return authority.server_context()


@pytest.fixture
def pair(authority: Authority, server_context: ssl.SSLContext) -> Iterator[tuple[TlsSocket, TlsSocket]]:
    """(client, server), on gevent's sockets."""
    left, right = gevent.socket.socketpair()
    serving = gevent.spawn(server_handshake, right, server_context, 10)
    client = client_handshake(left, client_context(authority.file), "localhost", 10)
    server = serving.get()
    yield client, server
    client.close()
    server.close()


@pytest.fixture
def streams(pair: tuple[TlsSocket, TlsSocket]) -> Iterator[tuple[TlsStream, TlsStream]]:
    client, server = (plain_socket(end) for end in pair)
    for end in pair:
        end.close()
    yield client, server
    client.close()
    server.close()


def test_both_ends_talk_in_blocking_style(pair) -> None:
    client, server = pair
    assert client.tls.version() == "TLSv1.3"
    client.sendall(b"hello")
    assert server.recv(100) == b"hello"
    server.send(memoryview(b"world"))
    room = bytearray(10)
    assert client.recv_into(room, 3) == 3
    assert client.pending() == 2
    assert client.recv_into(room) == 2
    assert bytes(room[:2]) == b"ld"
    assert client.recv(0) == b""


def test_large_data_in_both_directions_at_once(pair) -> None:
    client, server = pair
    data = os.urandom(3 * 2**20 + 7)

    def read(end: TlsSocket) -> bytes:
        found = bytearray()
        while len(found) < len(data):
            found += end.recv(2**20)
        return bytes(found)

    tasks = [gevent.spawn(read, client), gevent.spawn(read, server)]
    senders = [gevent.spawn(client.sendall, data), gevent.spawn(server.sendall, data)]
    gevent.joinall(tasks + senders, timeout=20, raise_error=True)
    assert all(hashlib.sha256(task.value).digest() == hashlib.sha256(data).digest() for task in tasks)


@pytest.mark.parametrize("how", ["close", "shutdown"])
def test_the_end_is_the_end(pair, how: str) -> None:
    client, server = pair
    client.sendall(b"last")
    if how == "close":
        client.close()
        client.close()
    else:
        client.shutdown(socket.SHUT_WR)
    assert server.recv(100) == b"last"
    assert server.recv(100) == b""
    assert server.recv(100) == b""


def test_a_time_out_is_for_the_whole_receive_however_the_bytes_trickle_in(pair) -> None:
    client, server = pair
    # A record cut into single bytes by something in between.
    engine = client._engine
    engine.encrypt(b"x" * 1000)
    record = bytes(engine.take_ciphertext())

    def trickle() -> None:
        for position in range(len(record)):
            client._sock.sendall(record[position : position + 1])
            gevent.sleep(0.01)

    slow = gevent.spawn(trickle)
    server.settimeout(0.3)
    with pytest.raises(TimeoutError):
        server.recv(10)
    assert server.gettimeout() == 0.3
    slow.kill()


def test_without_gevent_too(authority, server_context) -> None:
    left, right = socket.socketpair()
    served: list[TlsSocket] = []
    thread = threading.Thread(target=lambda: served.append(server_handshake(right, server_context, 10)))
    thread.start()
    client = client_handshake(left, client_context(authority.file), "127.0.0.1", 10)
    thread.join()
    with client, served[0] as server:
        client.sendall(b"plain threads")
        assert server.recv(100) == b"plain threads"


# The pump's style


def test_a_stream_answers_at_once_and_gives_all_there_is(streams) -> None:
    client, server = streams
    with pytest.raises(BlockingIOError):
        server.recv(100)
    data = os.urandom(40_000)
    assert client.send(memoryview(data)) == len(data)
    # One read of the socket ends in the middle of a record; the pump will be told of the rest.
    first = server.recv(20_000)
    assert 16_000 <= len(first) <= 20_000
    rest = server.recv(2**20)
    assert first + rest == data
    with pytest.raises(BlockingIOError):
        server.recv(100)


def test_a_full_socket_keeps_what_was_encrypted_until_it_is_gone(streams) -> None:
    client, server = streams
    data = memoryview(os.urandom(4 * 2**20))
    sent, received, refused = 0, bytearray(), 0
    while len(received) < len(data):
        try:
            sent += client.send(data[sent:]) if sent < len(data) else 0
        except BlockingIOError:
            refused += 1
            # Whoever is refused calls again with the same bytes first, perhaps with more or fewer behind them.
            received += server.recv(30_000)
            continue
        if sent == len(data):
            received += server.recv(2**20)
    assert refused > 10
    assert received == data


def test_a_stream_ends_with_a_goodbye_that_comes_along(streams) -> None:
    client, server = streams
    client.send(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1000) == b"last words"
    assert server.recv(1000) == b""
    server.send(b"still heard")
    assert client.recv(1000) == b"still heard"


def test_a_goodbye_behind_data_is_seen_by_the_pump_though_the_connection_stays_open(streams, eventually) -> None:
    client, server = streams
    heard: list[bytes] = []

    class Reader:
        def readable(self) -> None:
            heard.append(server.recv(1000))
            if not heard[-1]:
                channel.close()

        def writable(self) -> None:
            raise AssertionError("nobody asked for it")

        def failed(self, error: Exception) -> None:
            raise error

    pump = Pump()
    pump.start()
    client._engine.encrypt(b"data")
    client._engine.say_goodbye()
    client._plain.send(client._engine.take_ciphertext())
    channel = pump.register(server, Reader())
    eventually(lambda: heard and not heard[-1])
    assert b"".join(heard) == b"data"
    pump.stop()


def test_a_changed_byte_is_an_error_of_the_connection(streams) -> None:
    client, server = streams
    client._engine.encrypt(b"x" * 100)
    record = bytearray(client._engine.take_ciphertext())
    record[50] ^= 1
    client._plain.send(record)
    with pytest.raises(TlsError) as caught:
        server.recv(1000)
    assert caught.value.failure is TlsFailure.BROKEN
    assert isinstance(caught.value, ConnectionError)


def test_a_cut_connection_ends_like_a_closed_one(streams) -> None:
    client, server = streams
    with pytest.raises(BlockingIOError):
        client.recv(1000)  # The server's tickets: a socket that is closed with unread bytes is reset instead.
    client.close()
    assert server.recv(1000) == b""


def test_what_tls_has_to_say_does_not_disturb_what_is_sent(streams) -> None:
    """The tickets of the server, which it says by itself, come in between."""
    client, server = streams
    for number in range(20):
        assert server.send(b"%d" % number) > 0
        assert client.recv(1000) == b"%d" % number
        assert client.send(b"%d" % number) > 0
        assert server.recv(1000) == b"%d" % number


# From one style to the other


def test_unread_bytes_survive_the_move_and_back(pair) -> None:
    client, server = pair
    client.sendall(b"0123456789")
    client.sendall(b"next record")
    assert server.recv(4) == b"0123"
    stream = plain_socket(server)
    server.close()
    assert take_unread(stream) == b"456789next record"
    with pytest.raises(BlockingIOError):
        stream.recv(1000)
    client.sendall(b"abcdef")
    again = blocking_socket(stream)
    assert isinstance(again, TlsSocket)
    assert again.recv(3) == b"abc"
    stream = plain_socket(again)
    # Not taken: the next one to read gets it.
    back = blocking_socket(stream)
    again.close()
    assert back.recv(100) == b"def"
    back.sendall(b"and back")
    assert client.recv(100) == b"and back"
    back.close()
    assert client.recv(100) == b""


def test_closing_what_has_moved_says_nothing(pair) -> None:
    client, server = pair
    with pytest.raises(ValueError, match="flags"):
        server.recv(1, socket.MSG_PEEK)
    stream = plain_socket(server)
    server.close()
    assert stream.send(b"alive") == 5
    assert client.recv(100) == b"alive"
    stream.close()
    assert client.recv(100) == b""


def test_tls_within_tls_moves_too(authority, server_context) -> None:
    """A proxy that is spoken to over TLS."""
    left, right = gevent.socket.socketpair()

    def serve() -> TlsSocket:
        return server_handshake(server_handshake(right, server_context, 10), server_context, 10)

    serving = gevent.spawn(serve)
    context = client_context(authority.file)
    client = client_handshake(client_handshake(left, context, "localhost", 10), context, "127.0.0.1", 10)
    server = serving.get(timeout=10)
    stream = plain_socket(client)
    client.close()
    assert stream.send(b"inner") == 5
    assert server.recv(100) == b"inner"
    server.sendall(b"answer")
    with blocking_socket(stream) as again:
        assert again.recv(100) == b"answer"
    server.close()
