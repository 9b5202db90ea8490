"""The faults that need HTTP: upgrades refused, hung and cut, messages that vanish, bodies that are too long."""

from __future__ import annotations

import os
import socket

import pytest

from tests.faults.ends import Ends, ends, quiet, receive, rest
from tests.faults.http import answer, parse_head
from tests.faults.rules import End, Http, Rule, Swallow
from tests.faults.websocket import FrameFilter

UPGRADE = (
    b"GET /ws/agent HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
POLL = b"POST /api/agent/poll HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = b"") -> bytes:
    size = len(payload)
    short = size if size < 126 else 126 if size < 65536 else 127
    head = bytes([opcode | (0x80 if fin else 0), short | (0x80 if mask else 0)])
    long = b"" if short < 126 else size.to_bytes(2 if short == 126 else 8, "big")
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if mask else payload
    return head + long + mask + body


def upgrade(e: Ends, answered: bytes = SWITCHING) -> tuple[socket.socket, socket.socket]:
    """A connection whose upgrade has been asked for and answered."""
    client = e.client()
    client.sendall(UPGRADE)
    server = e.server()
    assert receive(server, len(UPGRADE)) == UPGRADE
    server.sendall(answered)
    return client, server


@pytest.mark.parametrize("status", [400, 403, 404, 426, 502, 200])
def test_refused_upgrade_while_other_requests_pass(status: int) -> None:
    with ends(Rule(http=Http(refuse_upgrade=status))) as e:
        client = e.client()
        client.sendall(UPGRADE)
        head, _, body = rest(client)[0].partition(b"\r\n\r\n")
        first, headers = parse_head(head)
        assert first.startswith(f"HTTP/1.1 {status} ")
        assert int(headers["content-length"]) == len(body) > 0
        assert ("<!DOCTYPE html>" in body.decode()) is (status == 200)
        (refused,) = e.proxy.connections
        assert (refused.up.delivered, refused.upgraded, refused.requests) == (0, False, ("GET /ws/agent",))
        client, polling = e.client(), POLL
        client.sendall(polling)
        server = e.server()
        assert receive(server, len(polling)) == polling
        server.sendall(OK)
        assert receive(client, len(OK)) == OK


def test_an_upgrade_that_follows_other_requests_on_its_connection() -> None:
    with ends(Rule(http=Http(refuse_upgrade=403))) as e:
        client = e.client()
        client.sendall(POLL)
        server = e.server()
        receive(server, len(POLL))
        server.sendall(OK)
        assert receive(client, len(OK)) == OK
        client.sendall(UPGRADE)
        assert rest(client)[0] == answer(403)
        assert rest(server) == (b"", "")


def test_hung_upgrade() -> None:
    with ends(Rule(http=Http(hang_upgrade=True))) as e:
        client = e.client()
        client.sendall(UPGRADE)
        assert quiet(client)
        assert e.proxy.bytes_up == 0
        client.close()
        e.proxy.wait_for("its end", lambda: not e.proxy.open)


@pytest.mark.parametrize("end", [End.FIN, End.RESET])
@pytest.mark.parametrize("count", [0, 1, 57])
def test_cut_so_many_bytes_after_the_101(count: int, end: End) -> None:
    data = frame(2, os.urandom(300))
    with ends(Rule(http=Http(cut_after_101=count, cut_end=end))) as e:
        client, server = upgrade(e, SWITCHING + data)
        got, _ = rest(client)
        assert got == SWITCHING + data[:count]
        assert rest(server)[0] == b""
        assert e.proxy.connections[0].upgraded
    with ends(Rule(http=Http(cut_after_101=count, cut_end=end, cut_way=Swallow.UP))) as e:
        client, server = upgrade(e)
        assert receive(client, len(SWITCHING)) == SWITCHING
        client.sendall(data)
        assert rest(server)[0] == data[:count]


def test_a_refusal_by_the_server_passes_and_the_connection_lives_on() -> None:
    with ends(Rule(http=Http(cut_after_101=0))) as e:
        client, server = upgrade(e, OK)
        assert receive(client, len(OK)) == OK
        client.sendall(POLL)
        assert receive(server, len(POLL)) == POLL
        assert not e.proxy.connections[0].upgraded
        assert e.proxy.connections[0].requests == ("GET /ws/agent", "POST /api/agent/poll")


def test_binary_messages_vanish_and_texts_pass() -> None:
    with ends(Rule(http=Http(swallow=Swallow.BOTH))) as e:
        client, server = upgrade(e)
        assert receive(client, len(SWITCHING)) == SWITCHING
        mask = b"\x11\x22\x33\x44"
        text, after = frame(1, b"hello", mask=mask), frame(1, b"there", mask=mask)
        client.sendall(text + frame(2, bytes(200_000), mask=mask) + after)
        assert receive(server, len(text + after)) == text + after
        ping = frame(9, b"p")
        server.sendall(frame(2, b"a", fin=False) + ping + frame(0, bytes(300)) + frame(1, b"end"))
        wanted = ping + frame(1, b"end")
        assert receive(client, len(wanted)) == wanted
        assert e.proxy.connections[0].swallowed == 2
        e.proxy.set(Rule(http=Http()))
        client.sendall(frame(2, b"now it passes"))
        assert receive(server, 15) == frame(2, b"now it passes")


def test_many_requests_on_one_connection_byte_by_byte() -> None:
    chunked = (
        b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nGET /\r\n1A\r\n"
        + bytes(26)
        + b"\r\n0\r\nT: v\r\n\r\n"
    )
    requests = [POLL, chunked, b"GET /a HTTP/1.1\r\n\r\n", POLL]
    with ends(Rule(http=Http(body_max=100))) as e:
        client = e.client()
        stream = b"".join(requests)
        for byte in stream:
            client.sendall(bytes([byte]))
        server = e.server()
        assert receive(server, len(stream)) == stream
        assert e.proxy.connections[0].requests == (
            "POST /api/agent/poll",
            "POST /c",
            "GET /a",
            "POST /api/agent/poll",
        )


def test_a_body_above_the_limit() -> None:
    with ends(Rule(http=Http(body_max=1000))) as e:
        client = e.client()
        fits = b"POST /b HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + bytes(1000)
        client.sendall(fits)
        server = e.server()
        assert receive(server, len(fits)) == fits
        server.sendall(OK)
        assert receive(client, len(OK)) == OK
        client.sendall(b"POST /b HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n")
        # The body is sent against an answer that is there already, as most clients do.
        client.sendall(bytes(3_000_000))
        assert rest(client) == (answer(413), "")
        assert rest(server) == (b"", "")


@pytest.mark.parametrize("stream", [b"\x16\x03\x01" + bytes(500), b"GET " + b"x" * 100_000])
def test_what_is_not_http_passes(stream: bytes) -> None:
    with ends(Rule(http=Http(refuse_upgrade=403, body_max=1))) as e:
        client = e.client()
        client.sendall(stream)
        assert receive(e.server(), len(stream)) == stream


def test_cut_all_chooses_by_upgrade() -> None:
    with ends(Rule(http=Http())) as e:
        client, _ = upgrade(e)
        assert receive(client, len(SWITCHING)) == SWITCHING
        other = e.client()
        other.sendall(POLL)
        server = e.server()
        receive(server, len(POLL))
        assert e.proxy.cut_all(End.FIN, upgraded=True) == 1
        assert rest(client) == (b"", "")
        server.sendall(OK)
        assert receive(other, len(OK)) == OK


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 70000])
@pytest.mark.parametrize("mask", [b"", b"\1\2\3\4"])
def test_frames_of_all_lengths_in_pieces(size: int, mask: bytes) -> None:
    stream = frame(1, bytes(size), mask=mask) + frame(2, bytes(size), mask=mask) + frame(8, b"", mask=mask)
    for step in (1, 7, 1000, len(stream)):
        passing, losing = FrameFilter(), FrameFilter()
        pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        assert b"".join(passing.feed(piece, swallow=False) for piece in pieces) == stream
        kept = frame(1, bytes(size), mask=mask) + frame(8, b"", mask=mask)
        assert b"".join(losing.feed(piece, swallow=True) for piece in pieces) == kept
        assert (passing.swallowed, losing.swallowed) == (0, 1)
