"""What is no HTTP request without doubt, on the hub's port: refused clearly, and nothing rides in behind it."""

from __future__ import annotations

import time

import pytest

from tests.integration.conftest import Site
from tests.integration.wire.cases import CHUNKED, REFUSED, SMUGGLED
from tests.integration.wire.raw import HEAD_S, Wire, audited, login, request, upgrade


@pytest.mark.parametrize("case", REFUSED)
def test_no_request(site: Site, case: str) -> None:
    data, status = REFUSED[case]
    with Wire(site.hub) as wire:
        wire.say(data + SMUGGLED)
        started = time.monotonic()
        assert wire.answer() == status
        assert time.monotonic() - started < HEAD_S, "not at its deadline, but as soon as it was known"
    head, _, body = wire.got.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert b"application/problem+json" in head
    assert len(body) < 1000
    assert b"Traceback" not in body
    assert b"gunicorn" not in body


def test_what_is_no_request_is_in_the_audit_log(site: Site) -> None:
    before = len(audited(site, "http.refused"))
    with Wire(site.hub) as wire:
        wire.say(request("A: b\r\n c"))
        assert wire.answer() == 400
    assert audited(site, "http.refused")[before:] == [("anonymous", "bad_request")]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("Connection: close", host="evil.example"), 200),
        (request("Connection: close", path="http://evil.example/healthz"), 200),
        (request("Connection: close", host="[::1]:8040"), 200),
        (request(version="HTTP/1.0", host=None), 200),
        (b"\r\n" + request("Connection: close"), 200),
        (request("Connection: close", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"), 200),
        (request("Connection: close", "SCRIPT_NAME: /healthz", path="/healthz"), 200),
        (request("Connection: close", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"), 200),
        (request(method="CONNECT", path="evil.example:443"), 404),
        (request("Connection: close", path="/%00"), 404),
        (request("Connection: close", path="/static/..%2f..%2fetc/passwd"), 404),
        (login("Connection: close", CHUNKED, body=b"2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n"), 422),
    ],
)
def test_strange_and_harmless(site: Site, data: bytes, status: int) -> None:
    """A name that leads here by an attacker's DNS gains nothing: no browser sends a token by itself. But it is never repeated."""
    with Wire(site.hub) as wire:
        wire.say(data)
        assert wire.answer() == status
    assert b"evil" not in wire.got


# W17


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (login("Expect: 100-continue", "Connection: close", "Content-Length: 2", body=b"{}"), [100, 422]),
        (login("Expect: 100-Continue", "Connection: close", "Content-Length: 2", body=b"{}"), [100, 422]),
        (request("Expect: 100-continue", "Connection: close"), [100, 200]),
        (request("Expect: 100-continue", version="HTTP/1.0"), [200]),
        (upgrade("", "Expect: 100-continue", "Connection: close, Upgrade"), [100, 401]),
    ],
)
def test_expect_100_continue(site: Site, data: bytes, statuses: list[int]) -> None:
    with Wire(site.hub) as wire:
        wire.say(data)
        wire.hear()
    assert [int(part[:3]) for part in wire.got.replace(b"HTTP/1.0", b"HTTP/1.1").split(b"HTTP/1.1 ")[1:]] == statuses


def test_expect_100_continue_goes_before_the_upgrade(site: Site, token: str) -> None:
    """RFC 9110 §7.8: who is sent both says 100 first."""
    with Wire(site.hub) as wire:
        wire.say(upgrade(token, "Expect: 100-continue"))
        got = wire.hear(b"Sec-WebSocket-Accept")
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 ")
