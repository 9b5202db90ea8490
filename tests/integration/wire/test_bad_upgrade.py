"""What asks for an agent's WebSocket and should not have it, and what breaks its rules afterwards."""

from __future__ import annotations

import os
import time

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.wire.cases import FRAMES, HANDSHAKES
from tests.integration.wire.raw import (
    HEAD_S,
    MIB,
    Beside,
    Watch,
    Wire,
    audited,
    close_code,
    request,
    upgrade,
)
from tests.protocol.wire import frame


@pytest.mark.parametrize("case", HANDSHAKES)
def test_handshakes_that_are_refused(site: Site, token: str, case: str) -> None:
    fields, changes, status = HANDSHAKES[case]
    with Wire(site.hub) as wire:
        wire.say(upgrade("", *fields, **changes))
        got = wire.hear(b"request_id")
    assert got.startswith(f"{changes.get('version', 'HTTP/1.1')} 401 ".encode()), "before anything else"
    before = len(audited(site, "agent.upgrade"))
    with Wire(site.hub) as wire:
        wire.say(upgrade(token, *fields, **changes))
        assert wire.answer() == status
    head = wire.got.partition(b"\r\n\r\n")[0]
    assert (b"Sec-WebSocket-Version: 13" in head) == (status == 426)
    assert [(actor, reason[9:12]) for actor, reason in audited(site, "agent.upgrade")[before:]] == [
        ("agent:peer", str(status))
    ]


@pytest.mark.parametrize(
    "case", ["Cookie: session={}", "Cookie: token={}; Authorization={}", "X-Token: {}", "Authorization: Basic {}"]
)
def test_a_token_anywhere_but_in_its_place_is_none(site: Site, token: str, case: str) -> None:
    with Wire(site.hub) as wire:
        wire.say(upgrade("", case.replace("{}", token), "Origin: http://hub"))
        assert wire.hear(b"request_id").startswith(b"HTTP/1.1 401 ")


def test_the_hubs_own_origin_is_taken(site: Site, token: str) -> None:
    with Wire(site.hub) as wire:
        wire.say(upgrade(token, "Origin: http://hub"))
        assert wire.hear(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")


def test_a_token_in_the_url_is_refused_and_in_no_log(site: Site, token: str) -> None:
    user = site.hub.client.token
    rows = [
        upgrade("", path=f"/ws/agent?token={token}"),
        upgrade("", path=f"/ws/agent?access_token={token}"),
        upgrade("", path=f"/ws/agent/{token}"),
        upgrade(token, path=f"/ws/agent?token={token}"),
        request(path=f"/api/runs?token={user}"),
        request(path=f"/api/runs?access_token={user}"),
    ]
    for row in rows:
        with Wire(site.hub) as wire:
            wire.say(row)
            got = wire.hear(b"request_id")
        assert got.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 404 ")), row
        assert token.encode() not in got
        assert user.encode() not in got
    # Nor when the hub complains about the request.
    for bad in (
        request("A b", path=f"/?token={token}"),
        request(f"Authorization: Bearer {user}\r\n x"),
        request(host=token + "/"),
    ):
        with Wire(site.hub) as wire:
            wire.say(bad)
            assert wire.answer() == 400
        assert token.encode() not in wire.got
    logs = "".join(path.read_text(errors="replace") for path in site.folder.glob("**/*.log"))
    for secret in (token[4:], user.rpartition(".")[2]):
        assert secret not in logs
        assert secret not in repr(
            audited(site, "http.refused") + audited(site, "api.refused") + audited(site, "agent.login")
        )


@pytest.mark.parametrize("case", FRAMES)
def test_frames_that_break_the_rules(site: Site, token: str, watch: Watch, case: str) -> None:
    data, code = FRAMES[case]
    with Wire(site.hub) as wire:
        wire.open_link(token)
        started = time.monotonic()
        wire.say(data)
        wire.hear(timeout=HEAD_S + 3)
        assert close_code(wire.got) == code
        assert time.monotonic() - started < HEAD_S + 2
        assert b"Traceback" not in wire.got
    wait_for("the connection to be gone", lambda: not watch.serves(wire.port), 1)


def test_what_comes_right_behind_the_handshake_is_not_lost(site: Site, token: str) -> None:
    with Wire(site.hub) as wire:
        wire.say(upgrade(token) + frame(9, b"early"))
        assert b"\x8a\x05early" in wire.hear(b"\x8a\x05early")


def test_pongs_that_nobody_asked_for_are_ignored(site: Site, token: str) -> None:
    with Wire(site.hub) as wire:
        wire.open_link(token)
        wire.say(frame(10, b"x" * 125) * 20_000 + frame(9, b"?"))
        assert b"\x8a\x01?" in wire.hear(b"\x8a\x01?")


def test_compression_is_never_agreed_on(site: Site, token: str) -> None:
    with Wire(site.hub) as wire:
        wire.say(
            upgrade(
                token, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"
            )
        )
        head = wire.hear(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"xtensions" not in head


# W21


def hang_up(site: Site, token: str, moment: str) -> int:
    """Be cut off at that moment; the port that it was."""
    wire = Wire(site.hub)
    if moment == "before 101":
        wire.say(upgrade(token))
    else:
        wire.open_link(token)
    if moment == "in mid-frame":
        wire.say(frame(2, os.urandom(MIB))[: MIB // 2])
    elif moment == "in mid-header":
        wire.say(b"\x82")
    elif moment == "after hello":
        wire.say(frame(1, b'{"type":"hello","seq":0,"ack":0,"payload":{"protocol":[1],"agent":"peer"}}'))
    if moment == "half closed":
        wire.shut()
        wire.hear()
        wire.socket.close()
    else:
        wire.reset()
    return wire.port


@pytest.mark.parametrize(
    "moment", ["after 101", "in mid-frame", "in mid-header", "after hello", "half closed", "before 101"]
)
def test_a_peer_that_hangs_up_leaves_nothing(site: Site, token: str, beside: Beside, watch: Watch, moment: str) -> None:
    with beside.paused():
        for kept in (False, True):
            # The first round made what is kept: connections to the database.
            base = watch.descriptors()
            ports = [hang_up(site, token, moment) for _ in range(20)]
            if kept:
                wait_for("all to be as before", lambda base=base: watch.descriptors() <= base, 1)
            else:
                wait_for("its connections to be gone", lambda ports=ports: not any(map(watch.serves, ports)), 1)
