"""Peers that take their time, or all connections: each phase of a request ends."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.wire.cases import CHUNKED
from tests.integration.wire.raw import (
    HEAD_S,
    IDLE_S,
    MIB,
    PENDING,
    WINDOW_S,
    Watch,
    Wire,
    audited,
    login,
    request,
    upgrade,
)


@pytest.mark.parametrize(
    ("case", "data", "pause"),
    [
        ("a byte at a time", request(*(f"A{number}: b" for number in range(50))), 0.3),
        ("fields without an end", request("A: b" * 100)[:-2], 0.02),
        ("the last line break is missing", request()[:-1], 0.0),
        ("a TLS hello that goes no further", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0.0),
        ("a handshake", upgrade("ffx_x")[:-4], 0.0),
    ],
)
def test_a_head_has_its_time(site: Site, case: str, data: bytes, pause: float) -> None:
    with Wire(site.hub) as wire:
        started = time.monotonic()
        if pause:
            wire.drip(data, pause)
        else:
            wire.say(data)
        assert wire.answer() == 408
        assert HEAD_S - 0.1 < time.monotonic() - started < HEAD_S + 1.5, case


def test_who_says_nothing_is_told_nothing(site: Site) -> None:
    with Wire(site.hub) as wire:
        started = time.monotonic()
        assert wire.hear() == b""
        assert wire.end == "closed"
        assert HEAD_S - 0.1 < time.monotonic() - started < HEAD_S + 1.5


def test_between_requests_there_is_more_time(site: Site) -> None:
    with Wire(site.hub) as wire:
        wire.say(request())
        wire.hear(b'{"status":')
        # Longer than for a head; then the head's time begins anew.
        assert not wire.ready(HEAD_S + 0.5)
        wire.got = b""
        wire.say(request())
        wire.hear(b'{"status":')
        started = time.monotonic()
        wire.got = b""
        assert wire.hear() in (b"", b'"ok"}\n')
        assert wire.end == "closed"
        assert IDLE_S - 0.1 < time.monotonic() - started < IDLE_S + 1.5
    with Wire(site.hub) as wire:
        wire.say(request())
        wire.hear(b'{"status":')
        wire.got = b""
        started = time.monotonic()
        wire.drip(request("A: b" * 100), 0.3)
        wire.hear()
        assert b"HTTP/1.1 408 " in wire.got
        assert time.monotonic() - started < HEAD_S + 1.5


@pytest.mark.parametrize(
    ("case", "data", "seconds"),
    [
        ("silence", login("Content-Length: 1000", body=b"{"), HEAD_S),
        ("silence in a chunk", login(CHUNKED, body=b"100\r\n{"), HEAD_S),
        ("silence before a chunk", login(CHUNKED, body=b"1\r\n{\r\n"), HEAD_S),
    ],
)
def test_a_body_that_stops(site: Site, case: str, data: bytes, seconds: float) -> None:
    with Wire(site.hub) as wire:
        started = time.monotonic()
        wire.say(data)
        assert wire.answer() == 408
        assert seconds - 0.1 < time.monotonic() - started < seconds + 1.5, case
    assert b"Connection: close" in wire.got


def test_a_body_that_trickles(site: Site) -> None:
    with Wire(site.hub) as wire:
        started = time.monotonic()
        wire.say(login("Content-Length: 1000"))
        wire.drip(b" " * 1000, 0.2)
        assert wire.answer() == 408
        assert WINDOW_S - 0.1 < time.monotonic() - started < WINDOW_S + HEAD_S


def test_a_slow_body_that_moves_is_waited_for(site: Site) -> None:
    """4 KiB a second for twice the window."""
    with Wire(site.hub) as wire:
        size = int(2 * WINDOW_S * 4096)
        wire.say(login(f"Content-Length: {size}", "Connection: close"))
        for _ in range(1024, size, 1024):
            wire.say(b" " * 1024)
            assert not wire.ready(0.24)
        wire.say(b" " * 1024)
        assert wire.answer() in (400, 422)


def test_a_body_that_is_cut_short_is_no_body(site: Site) -> None:
    """What came would be whole JSON."""
    with Wire(site.hub) as wire:
        wire.say(login("Content-Length: 1000", body=b'{"email":"a@b.c","password":"x"}'))
        wire.shut()
        assert wire.answer() == 400


@pytest.mark.parametrize("size", [70_000, 8 * MIB])
def test_a_body_that_nobody_wants_ends_the_connection(site: Site, size: int) -> None:
    """The answer arrives although the body is still on its way."""
    with Wire(site.hub) as wire:
        wire.say(request(f"Content-Length: {size}", method="POST", path="/api/jobs") + b"x" * min(size, 3 * MIB))
        assert wire.answer() == 401


def test_a_small_body_that_nobody_wants_does_not(site: Site) -> None:
    with Wire(site.hub) as wire:
        wire.say(request("Content-Length: 1000", method="POST", path="/api/jobs", body=b"x" * 1000))
        wire.say(request("Connection: close"))
        wire.hear()
    assert wire.got.count(b"HTTP/1.1 401 ") == wire.got.count(b"HTTP/1.1 200 ") == 1


def test_pending_connections_of_one_address_are_bounded(site: Site, watch: Watch) -> None:
    before = len(audited(site, "http.refused"))
    with ExitStack() as stack:
        held = [stack.enter_context(Wire(site.hub, address="127.0.0.5")) for _ in range(PENDING)]
        for wire in held:
            wire.say(b"GET")
        wait_for("all to be pending", lambda: all(watch.serves(wire.port) for wire in held), 2)
        more = stack.enter_context(Wire(site.hub, address="127.0.0.5"))
        more.say(request())
        assert more.hear() == b""
        assert more.end
        # Nobody else notices, nor does who has finished a head before.
        other = stack.enter_context(Wire(site.hub, address="127.0.0.6"))
        other.say(request("Connection: close"))
        assert other.answer() == 200
        watch.check()
        for wire in held:
            assert wire.answer() == 408
    assert ("anonymous", "too_many_pending") in audited(site, "http.refused")[before:]
    with Wire(site.hub, address="127.0.0.5") as wire:
        wire.say(request("Connection: close"))
        assert wire.answer() == 200


# W12


@pytest.mark.parametrize("rate", [0, 1])
def test_a_peer_that_does_not_take_its_answers(site: Site, watch: Watch, rate: int) -> None:
    with Wire(site.hub, receive_buffer=4096) as wire:
        big = request(f"Authorization: Bearer {site.hub.client.token}", path="/api/openapi.json")
        # Far more than sockets hold of answers, and little enough for the hub's socket to take.
        wire.say(big * 2000)
        wait_for("the first answers", lambda: watch.serves(wire.port), 10)
        deadline = time.monotonic() + 40
        while watch.serves(wire.port) and time.monotonic() < deadline:
            wire.socket.settimeout(1.0)
            try:
                if rate:
                    wire.socket.recv(rate)
                time.sleep(0.2)
            except (TimeoutError, ConnectionResetError):
                pass
        assert not watch.serves(wire.port)
        assert watch.grown() < Watch.GROWTH
