"""The agent's requests of long-polling, in front of the hub's real end: each can be answered, lost, refused or held, since the session of requests is
played; real HTTP is in tests/contracts/polling_over_http.py."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import requests
import urllib3

from fileflux.actors.kernel import runtime
from flux_agent.transports.reach import PinMismatchError, ReachError
from tests.agent.transports.polling_hub import (
    LIMITS,
    OCTETS,
    POLLS,
    POSTS,
    Answer,
    asked,
    dial,
    hub,
    once,
    problem,
    until,
)
from tests.contracts.link_suite import Recorder

# Fixtures, used here by name.
__all__ = ["dial", "hub"]

pytestmark = pytest.mark.unit


def test_both_ways_at_once(hub, dial):
    link, seen = dial()
    for number in range(20):
        link.send_text(f"up {number}")
        hub.end.link.send_text(f"down {number}")
        link.send_binary(bytes([number]) * 50_000)
        hub.end.link.send_binary(bytes([number]) * 50_000)
    until(lambda: len(hub.seen.binaries) == len(seen.binaries) == 20)
    assert hub.seen.texts == [f"up {number}" for number in range(20)]
    assert seen.texts == [f"down {number}" for number in range(20)]
    assert seen.lives


def test_one_poll_waits_while_nothing_moves_and_several_when_it_does(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.end.link.send_text("busy")
    until(lambda: hub.open["GET"] == 4)
    assert seen.texts == ["busy"]


def test_nothing_is_asked_before_the_start_and_nothing_after_the_end(hub, dial):
    link, _ = dial(start=False)
    runtime.sleep(0.02)
    assert hub.requests == []
    seen = Recorder()
    link.start(seen)
    until(lambda: hub.open["GET"] == 1)
    link.close(1000, "bye")
    until(lambda: seen.closed and not hub.open.total())
    assert hub.closed
    count = len(hub.requests)
    link.send_text("too late")
    runtime.sleep(0.02)
    assert len(hub.requests) == count
    assert hub.seen.closed == [(1000, "bye")]


def test_a_link_that_nobody_wants_asks_for_nothing(hub, dial):
    link, _ = dial(start=False)
    link.close(1000, "not needed any more")
    until(lambda: hub.closed)
    assert hub.requests == []


def test_many_messages_of_one_moment_share_a_request(hub, dial):
    link, _ = dial()
    until(lambda: hub.open["GET"] == 1)
    for number in range(200):
        link.send_text(str(number))
    until(lambda: len(hub.seen.texts) == 200)
    assert len(asked(hub, "POST")) <= 3


def test_buffers_come_back(hub, dial):
    link, seen = dial()
    sent = []
    for number in range(50):
        link.send_binary(bytes(100_000), on_sent=partial(sent.append, number))
    hub.between = lambda request: problem(410, "over")
    until(lambda: seen.closed)
    assert sorted(sent) == list(range(50))


@pytest.mark.parametrize(
    "trouble",
    [
        requests.ConnectionError("reset"), requests.ReadTimeout("silence"), urllib3.exceptions.ProtocolError("cut"), OSError("cut"),
        ReachError("tcp", "refused"), problem(502), problem(503, **{"Retry-After": "1"}), problem(504), problem(408), problem(429),
        Answer(302, b"", {"Location": "/login"}), Answer(200, b"<html>Please wait</html>", {"Content-Type": "text/html"}),
        Answer(200, b"", {"Content-Type": OCTETS, "Content-Length": "10"}, cut=urllib3.exceptions.IncompleteRead(0, 10)),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("answered", [False, True], ids=["lost", "answer lost"])
def test_what_goes_wrong_once_is_repeated_and_counts_once(hub, dial, trouble, answered):
    link, seen = dial()
    for which in (POSTS, POLLS):
        setattr(hub, "back" if answered else "between", once(trouble, when=which))
        link.send_text("up")
        hub.end.link.send_text("down")
        until(lambda: seen.texts and hub.seen.texts)
        assert (seen.texts, hub.seen.texts) == (["down"], ["up"])
        assert not seen.closed
        seen.texts.clear()
        hub.seen.texts.clear()
    repeated = Counter((request.method, request.number) for request in hub.requests)
    assert max(repeated.values()) >= 2


def test_a_slice_that_was_cut_on_its_way_is_asked_for_again(hub, dial):
    _, seen = dial()
    cut = Answer(200, b"\x01\x00", {"Content-Type": OCTETS, "Content-Length": "100"})
    hub.back = once(cut, when=POLLS)
    hub.end.link.send_text("whole")
    until(lambda: seen.texts)
    assert seen.texts == ["whole"]


@pytest.mark.parametrize("which", [POSTS, POLLS])
def test_what_goes_wrong_for_long_ends_the_link(hub, dial, which):
    link, seen = dial()
    hub.between = lambda request: problem(502) if which(request) else None
    link.send_text("x")
    until(lambda: seen.closed)
    ((code, reason),) = seen.closed
    assert code == 1006
    assert "did not answer for 0.5 s" in reason
    assert "502" in reason


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (problem(401), 1008, "token"),
        (problem(410, "a newer session took over", **{"X-FileFlux-Close": "4409"}), 4409, "a newer session took over"),
        (problem(410, "gone"), 1006, "gone"),
        (problem(410, "gone", **{"X-FileFlux-Close": "evil"}), 1006, "gone"),
        (problem(410, "gone", **{"X-FileFlux-Close": "99999"}), 1006, "gone"),
        (Answer(410, b"[" * 60_000, reason="Gone"), 1006, "Gone"),
        (problem(410, "x" * 5000), 1006, "xxx"),
        (problem(400, "poll 7 that knows 9"), 1006, "poll 7"),
        (problem(404), 1006, "404"),
        (problem(409), 1006, "409"),
        (PinMismatchError("this is another hub"), 1008, "another hub"),
    ],
)
@pytest.mark.parametrize("which", [POSTS, POLLS])
def test_what_repeating_cannot_help_ends_the_link_at_once(hub, dial, which, answer, code, reason):
    link, seen = dial()
    hub.between = once(answer if isinstance(answer, Exception) else replace(answer), when=which)
    link.send_text("x")
    hub.end.link.send_text("y")
    until(lambda: seen.closed)
    assert seen.closed[0][0] == code
    assert reason in seen.closed[0][1]
    assert len(seen.closed[0][1].encode()) <= 123


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, bytes(100), {"Content-Type": OCTETS}),
        Answer(200, bytes(100), {"Content-Type": OCTETS, "Content-Length": "-1"}),
        Answer(200, bytes(LIMITS.slice_max + 10), {"Content-Type": OCTETS, "Content-Length": str(LIMITS.slice_max + 10)}),
        Answer(200, b"\x09" * 100, {"Content-Type": OCTETS, "Content-Length": "100"}),
    ],
    ids=["no length", "bad length", "too large", "no records"],
)  # fmt: skip
def test_a_hub_that_breaks_the_rules_loses_the_link(hub, dial, answer):
    _, seen = dial()
    hub.back = once(replace(answer), when=POLLS)
    hub.end.link.send_text("y")
    until(lambda: seen.closed)
    assert seen.closed[0][0] in (1002, 1008)
    assert seen.texts == []


@pytest.mark.parametrize("which", [POSTS, POLLS])
def test_an_error_nobody_thought_of_ends_the_link_and_not_its_greenlet_alone(hub, dial, which):
    link, seen = dial()
    hub.between = once(ZeroDivisionError("a mistake"), when=which)
    link.send_text("x")
    until(lambda: seen.closed)
    assert seen.closed == [(1006, "ZeroDivisionError")]


def test_the_hubs_farewell_ends_the_link_with_its_words(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.end.link.send_text("last words")
    hub.end.link.close(4409, "a newer session took over")
    until(lambda: seen.closed)
    assert seen.texts == ["last words"]
    assert seen.closed == [(4409, "a newer session took over")]
    assert not hub.seen.after_close


def test_a_farewell_whose_answer_was_lost_is_heard_by_the_next_request(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.back = once(requests.ConnectionError("cut"), when=POLLS)
    hub.end.link.close(4409, "a newer session took over")
    until(lambda: seen.closed)
    assert seen.closed == [(4409, "a newer session took over")]
