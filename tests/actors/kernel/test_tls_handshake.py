"""Handshakes over real sockets that fail, each with its reason."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from datetime import timedelta

import gevent
import gevent.socket
import pytest

from fileflux.actors.kernel.tls import (
    TlsError,
    TlsFailure,
    TlsSocket,
    client_context,
    client_handshake,
    server_handshake,
)
from fileflux.actors.kernel.tls_engine import TlsEngine
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server_context(authority: Authority) -> ssl.SSLContext:
    return authority.server_context()


def failure_of(
    client: Callable[[socket.socket], object], server: Callable[[socket.socket], object]
) -> tuple[object, object]:
    """What each end's handshake ended with."""
    left, right = gevent.socket.socketpair()

    def outcome(call: Callable[[socket.socket], object], end: socket.socket) -> object:
        try:
            return call(end)
        except OSError as error:
            end.close()
            return error

    serving = gevent.spawn(outcome, server, right)
    answer = outcome(client, left)
    served = serving.get(timeout=10)
    left.close()
    right.close()
    return answer, served


@pytest.mark.parametrize(
    ("name", "age", "trusted", "failure"),
    [
        ("localhost", timedelta(), True, None),
        ("other.example", timedelta(), True, TlsFailure.NAME_MISMATCH),
        ("127.0.0.9", timedelta(), True, TlsFailure.NAME_MISMATCH),
        ("localhost", timedelta(days=500), True, TlsFailure.EXPIRED),
        ("localhost", timedelta(days=-3), True, TlsFailure.NOT_YET_VALID),
        ("localhost", timedelta(), False, TlsFailure.UNKNOWN_CA),
    ],
)
def test_a_certificate_is_refused_with_its_reason(authority, tmp_path, name, age, trusted, failure) -> None:
    serving = authority.server_context(authority.issue("one", age=age))
    context = client_context(authority.file if trusted else Authority(tmp_path).file)
    answer, served = failure_of(
        lambda end: client_handshake(end, context, name, 10), lambda end: server_handshake(end, serving, 10)
    )
    if failure is None:
        assert isinstance(answer, TlsSocket)
    else:
        assert isinstance(answer, TlsError)
        assert answer.failure is failure
        assert "\n" not in answer.strerror
        # TLS 1.3's server is done before the client has looked at the certificate.
        assert isinstance(served, TlsSocket | TlsError)


@pytest.mark.parametrize(
    ("first", "failure"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", TlsFailure.PLAIN_HTTP),
        (b"SSH-2.0-OpenSSH\r\n" + b"x" * 100, TlsFailure.NOT_TLS),
        (bytes(100), TlsFailure.NOT_TLS),
        (b"", TlsFailure.CLOSED),
        (b"\x16\x03\x01\x00\x05", TlsFailure.CLOSED),
    ],
)
def test_what_is_no_tls_is_told_apart(server_context, first: bytes, failure: TlsFailure) -> None:
    def speak(end: socket.socket) -> bytes:
        end.sendall(first)
        end.shutdown(socket.SHUT_WR)
        return end.recv(100)

    heard, served = failure_of(speak, lambda end: server_handshake(end, server_context, 10))
    assert isinstance(served, TlsError)
    assert served.failure is failure
    if failure is TlsFailure.PLAIN_HTTP:
        # What is said to such a client is the caller's, and not an alert.
        assert heard == b""


def test_a_server_that_does_not_speak_tls_is_told_apart(authority) -> None:
    answer, _ = failure_of(
        lambda end: client_handshake(end, client_context(authority.file), "localhost", 10),
        lambda end: end.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n") or end.close(),
    )
    assert isinstance(answer, TlsError)
    assert answer.failure is TlsFailure.NOT_TLS


def test_the_handshake_has_one_deadline_however_the_bytes_trickle_in(authority, server_context) -> None:
    left, right = gevent.socket.socketpair()
    hello = TlsEngine(client_context(authority.file), "localhost")
    hello.handshake()
    first = bytes(hello.take_ciphertext())

    def trickle() -> None:
        """Until just before the deadline, and then nothing."""
        for position in range(18):
            left.sendall(first[position : position + 1])
            gevent.sleep(0.05)

    slow = gevent.spawn(trickle)
    begun = time.monotonic()
    with pytest.raises(TlsError) as caught:
        server_handshake(right, server_context, 1.0)
    assert caught.value.failure is TlsFailure.TIMEOUT
    assert time.monotonic() - begun < 1.7
    slow.kill()
    right.close()
    left.close()
