"""The rules, on gunicorn's own parser; what the whole server makes of them is in tests/integration/test_bad_wire.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.http.errors import (
    InvalidHeader,
    InvalidResponseHeader,
    LimitRequestHeaders,
    LimitRequestLine,
    UnsupportedTransferCoding,
)
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout

from fileflux.web.deadlines import TooSlowError
from fileflux.web.http_rules import (
    CRUMBS_MAX,
    DRAIN_MAX,
    INTERNAL,
    SETTINGS,
    BodyReader,
    check_head,
    refusal_of,
    take_unread,
)

pytestmark = pytest.mark.unit


class Peer:
    """Sends what it is given, a read at a time; then ends, or fails with ``error``."""

    def __init__(self, *reads: bytes, error: Exception | None = None) -> None:
        self.reads = list(reads)
        self.error = error

    def recv(self, size: int) -> bytes:
        if not self.reads:
            if self.error is not None:
                raise self.error
            return b""
        data, rest = self.reads[0][:size], self.reads[0][size:]
        self.reads[:1] = [rest] if rest else []
        return data


def parsed(peer: Peer) -> Any:
    config = Config()
    for name, value in SETTINGS.items():
        config.set(name, value)
    return next(RequestParser(config, peer, ("192.0.2.1", 1)))


def head(*fields: str, version: str = "1.1") -> bytes:
    return "\r\n".join((f"POST / HTTP/{version}", *fields, "", "")).encode("latin-1")


@pytest.mark.parametrize(
    "host", ["hub", "hub.example:8040", "127.0.0.1", "[::1]:8040", "[::ffff:1.2.3.4]", "xn--bcher-kva.example", "a_b"]
)
def test_hosts_that_are_taken(host: str) -> None:
    check_head(parsed(Peer(head(f"Host: {host}"))))


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a,b", "user@hub", "hub/x", "hub:", "hub:x", "hub:65536", "hub:8040:1", "::1", "[::1", "[evil]", "<x>", "h\xfcb",
     "x" * 256, "hub?x", "hub#x", "hub\\x", "%68ub"],
)  # fmt: skip
def test_hosts_that_are_not(host: str) -> None:
    with pytest.raises(InvalidHeader):
        check_head(parsed(Peer(head(f"Host: {host}"))))


def test_a_host_is_named_unless_the_peer_is_older_than_that() -> None:
    with pytest.raises(InvalidHeader):
        check_head(parsed(Peer(head("A: b"))))
    check_head(parsed(Peer(head("A: b", version="1.0"))))


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "deflate, chunked"])
def test_chunked_is_the_only_coding(coding: str) -> None:
    with pytest.raises(UnsupportedTransferCoding):
        check_head(parsed(Peer(head("Host: hub", f"Transfer-Encoding: {coding}"))))
    check_head(parsed(Peer(head("Host: hub", "Transfer-Encoding: Chunked"))))


def test_no_peer_moves_the_application() -> None:
    request = parsed(Peer(head("Host: hub", "SCRIPT_NAME: /x", "Path_Info: /y", "X-Forwarded-Proto: https")))
    assert request.scheme == "http"
    assert [name for name, _ in request.headers] == ["HOST", "X-FORWARDED-PROTO"]


def body_of(
    *reads: bytes, fields: str = "Content-Length: 10", error: Exception | None = None
) -> tuple[Any, BodyReader]:
    request = parsed(Peer(head("Host: hub", fields), *reads, error=error))
    return request, BodyReader(request)


def test_a_body_is_read_to_its_end_and_what_is_behind_it_can_be_taken() -> None:
    request, body = body_of(b"01234", b"56789GET")
    request.body.reader = body
    assert take_unread({"wsgi.input": request.body}) == b""
    assert request.body.read() == b"0123456789"
    assert not body.unfinished
    assert body.finish()
    assert take_unread({"wsgi.input": request.body}) == b"GET"
    assert not request.should_close()


@pytest.mark.parametrize(
    ("reads", "fields", "error", "answer"),
    [
        ((b"0123",), "Content-Length: 10", None, ClientDisconnected),
        ((b"0123",), "Content-Length: 10", ConnectionResetError(), ClientDisconnected),
        ((b"0123",), "Content-Length: 10", TooSlowError(), RequestTimeout),
        ((b"4\r\n0123\r\n",), "Transfer-Encoding: chunked", None, ClientDisconnected),
        ((b"4\r\n0123",), "Transfer-Encoding: chunked", TooSlowError(), RequestTimeout),
        ((b"zz\r\n",), "Transfer-Encoding: chunked", None, BadRequest),
        ((b"4\r\n01234\r\n",), "Transfer-Encoding: chunked", None, BadRequest),
        ((b"0\r\nContent-Length: 5\r\n\r\n",), "Transfer-Encoding: chunked", None, BadRequest),
        ((b"4;" + b"x" * 20_000,), "Transfer-Encoding: chunked", None, BadRequest),
        ((b"1\r\nx\r\n" * (CRUMBS_MAX + 1),), "Transfer-Encoding: chunked", None, BadRequest),
    ],
)
def test_a_bad_body_is_the_peers_fault_and_ends_the_connection(
    reads: tuple[bytes, ...], fields: str, error: Exception | None, answer: type[Exception]
) -> None:
    request, body = body_of(*reads, fields=fields, error=error)
    request.body.reader = body
    with pytest.raises(answer):
        request.body.read()
    assert request.should_close()
    assert body.unfinished
    assert not body.finish()
    assert body.take_behind() == b""


@pytest.mark.parametrize(
    ("fields", "sent", "goes_on"),
    [
        ("Content-Length: 0", b"", True),
        ("Content-Length: 1000", b"x" * 1000, True),
        (f"Content-Length: {DRAIN_MAX}", b"x" * DRAIN_MAX, True),
        (f"Content-Length: {DRAIN_MAX + 1}", b"x" * (DRAIN_MAX + 1), False),
        ("Content-Length: 1000", b"x" * 990, False),
        ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n", True),
        ("Transfer-Encoding: chunked", b"1\r\nx\r\n" * CRUMBS_MAX + b"0\r\n\r\n", True),
        ("Transfer-Encoding: chunked", b"200\r\n" + b"x" * 512 + b"\r\n" + b"0\r\n\r\n", True),
        ("Transfer-Encoding: chunked", (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 17 + b"0\r\n\r\n", False),
        ("Transfer-Encoding: chunked", b"3\r\nabcd\r\n0\r\n\r\n", False),
    ],
)
def test_what_no_route_has_read_is_dropped_within_bounds(fields: str, sent: bytes, goes_on: bool) -> None:
    _, body = body_of(*([sent] if sent else []), b"GET", fields=fields)
    assert body.finish() is goes_on
    if goes_on:
        assert body.take_behind() in (b"", b"GET")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LimitRequestLine("x"), 414),
        (LimitRequestHeaders("x"), 431),
        (UnsupportedTransferCoding("x"), 501),
        (TooSlowError(), 408),
        (InvalidHeader("<secret>"), 400),
    ],
)
def test_each_error_of_a_request_has_its_answer(error: Exception, status: int) -> None:
    refusal = refusal_of(error)
    assert refusal is not None
    top, _, body = refusal.answer().partition(b"\r\n\r\n")
    assert top.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in top
    assert f"Content-Length: {len(body)}".encode() in top
    assert json.loads(body)["status"] == status
    assert b"secret" not in body


@pytest.mark.parametrize("error", [InvalidResponseHeader("x"), ValueError("x"), OSError()])
def test_errors_of_the_hub_are_not_the_peers(error: Exception) -> None:
    assert refusal_of(error) is None
    assert INTERNAL.answer().startswith(b"HTTP/1.1 500 ")
