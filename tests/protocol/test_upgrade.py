"""The handshake at both ends, against each other and against everything else that may answer."""

from __future__ import annotations

import base64
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fileflux.errors import AuthError, ConfigError, UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.upgrade import UpgradeRefusedError, client_handshake, retry_after_seconds, server_accept
from tests.protocol.wire import Answering, environ_of, frame, read_head


def test_both_handshakes_fit_and_keep_what_comes_behind() -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(read_head(connection))
        answer, accepted = server_accept(environ_of(seen[0]))
        assert accepted
        # Byte by byte, as a slow proxy would.
        for byte in answer + frame(1, b"hi", mask=False):
            connection.send(bytes([byte]))
        connection.recv(1)

    server = Answering(serve)
    with server.connect() as connection:
        rest = client_handshake(connection, server.url, {"Authorization": "Bearer ffx_1"}, DEFAULT_LIMITS)
        while len(rest) < 4:
            rest += connection.recv(4)
    server.close()
    assert rest == frame(1, b"hi", mask=False)
    assert b"Authorization: Bearer ffx_1\r\n" in seen[0]
    assert b"Extensions" not in seen[0]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", 403),
        (b"HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\n\r\n", 301),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 0),
        (b"HTTP/1.1 101 \r\nA: " + b"x" * 20_000, 0),
        (b"HTTP/1.1 2", 0),
    ],
)
def test_other_answers_are_an_upgrade_refused(answer: bytes, status: int) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)

    server = Answering(serve)
    with server.connect() as connection, pytest.raises(UpgradeRefusedError) as caught:
        client_handshake(connection, server.url, {}, DEFAULT_LIMITS)
    server.close()
    assert caught.value.status == status
    assert caught.value.retryable


def test_401_is_about_the_token() -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    server = Answering(serve)
    with server.connect() as connection, pytest.raises(AuthError):
        client_handshake(connection, server.url, {}, DEFAULT_LIMITS)
    server.close()


def test_silence_and_a_closed_door_are_unavailable() -> None:
    stop = threading.Event()

    def hang(connection: socket.socket) -> None:
        read_head(connection)
        stop.wait(10)

    server = Answering(hang)
    with server.connect() as connection, pytest.raises(UnavailableError):
        client_handshake(connection, server.url, {}, replace(DEFAULT_LIMITS, handshake_timeout=0.05))
    stop.set()
    server.close()
    server = Answering(lambda connection: None)
    with server.connect() as connection, pytest.raises(UnavailableError):
        client_handshake(connection, server.url, {}, DEFAULT_LIMITS)
    server.close()


GOOD = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/ws/agent",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "hub.example:8040",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": base64.b64encode(bytes(16)).decode(),
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate; client_max_window_bits",
}


def test_server_accept_takes_no_extension() -> None:
    answer, accepted = server_accept(GOOD)
    assert accepted
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"xtensions" not in answer


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"REQUEST_METHOD": "POST"}, 400),
        ({"CONTENT_LENGTH": "5"}, 400),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 400),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, 426),
        ({"HTTP_UPGRADE": "h2c"}, 426),
        ({"HTTP_UPGRADE": "websocket, h2c"}, 426),
        ({"HTTP_UPGRADE": ""}, 426),
        ({"HTTP_CONNECTION": "close"}, 426),
        ({"HTTP_SEC_WEBSOCKET_KEY": ""}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "AAAA"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "%%%"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": base64.b64encode(bytes(17)).decode()}, 400),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 426),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "13,13"}, 426),
        ({"HTTP_SEC_WEBSOCKET_VERSION": ""}, 426),
        ({"HTTP_ORIGIN": "https://evil.example"}, 403),
        ({"HTTP_ORIGIN": "null"}, 403),
        ({"HTTP_ORIGIN": "http://hub.example:8040.evil.example"}, 403),
        ({"HTTP_ORIGIN": "http://hub.example:8040,https://evil.example"}, 403),
    ],
)
def test_server_accept_refuses(change: dict[str, str], status: int) -> None:
    answer, accepted = server_accept({**GOOD, **change})
    assert not accepted
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    if status == 426:
        head = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert head.count(b"Sec-WebSocket-Version: 13") == head.count(b"Upgrade: websocket") == 1


@pytest.mark.parametrize("origin", ["http://hub.example:8040", "https://hub.example:8040"])
def test_the_hubs_own_pages_may_ask(origin: str) -> None:
    _, accepted = server_accept({**GOOD, "HTTP_ORIGIN": origin})
    assert accepted


@pytest.mark.parametrize("url", ["ftp://x/", "ws:///path", "ws://h/#part", "ws://h:port/", "nonsense"])
def test_urls_that_lead_nowhere(url: str) -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(ConfigError):
        client_handshake(left, url, {}, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        (" 7 ", 7),
        ("-7", 0),
        ("7.5", 0),
        ("99999999999999999999", 3600),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 3600),
        ("soon", 0),
        ("\u0667", 0),
    ],
)
def test_when_to_come_back(header: str | None, seconds: float) -> None:
    assert retry_after_seconds(header, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("answer", "words", "location", "page"),
    [
        (
            b"HTTP/1.1 302 Found\r\nlocation:  https://portal/x\r\n\r\n",
            "redirects to https://portal/x",
            "https://portal/x",
            False,
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: /" + b"a" * 999 + b"\r\n\r\n", "redirects", "/" + "a" * 199, False),
        (b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=x\r\n\r\n<html>", "captive portal", "", True),
        (b"HTTP/1.1 403 No\r\nLocation: /x\r\n\r\n", "403 No", "", False),
    ],
)
def test_what_an_answer_says_of_who_gave_it(answer: bytes, words: str, location: str, page: bool) -> None:
    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)

    server = Answering(serve)
    with server.connect() as connection, pytest.raises(UpgradeRefusedError, match=words) as caught:
        client_handshake(connection, server.url, {}, DEFAULT_LIMITS)
    server.close()
    assert (caught.value.location, caught.value.page) == (location, page)
