"""What may answer when the agent opens a link over long-polling."""

from __future__ import annotations

import pytest
import requests
import urllib3

from fileflux.errors import AuthError, UnavailableError
from fileflux.protocol.limits import KIB
from flux_agent.transports.reach import PinMismatchError, ReachError
from tests.agent.transports.polling_hub import (
    LIMITS,
    Answer,
    asked,
    dial,
    hub,
    problem,
    until,
)

# Fixtures, used here by name.
__all__ = ["dial", "hub"]

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("opening", "kind"),
    [
        (problem(401), AuthError),
        (AuthError("another hub"), AuthError),
        (PinMismatchError("another hub"), PinMismatchError),
        (ReachError("dns", "no such name"), ReachError),
        (requests.ConnectionError("reset"), ReachError),
        (requests.Timeout("slow"), ReachError),
        (OSError("no route"), ReachError),
        (problem(403), ReachError),
        (problem(404), ReachError),
        (problem(502), ReachError),
        (Answer(301, b"", {"Location": "https://evil.example"}), ReachError),
        (Answer(200, b"<html>Please sign in</html>", {"Content-Type": "text/html"}), ReachError),
        (Answer(200, b"", cut=urllib3.exceptions.ProtocolError("cut")), ReachError),
    ],
)
def test_what_answers_may_be_no_hub(hub, dial, opening, kind):
    hub.opening = opening
    with pytest.raises(kind) as caught:
        dial()
    assert str(caught.value)
    assert hub.closed == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b"[" * 60_000,
        b'"x"',
        b"{}",
        b'{"session_id": "x"}',
        b"\xff",
        b"{" * 100,
        b'{"session_id": 1e999}',
    ],
)
def test_terms_that_are_none(hub, dial, body):
    hub.opening = Answer(200, body)
    with pytest.raises(ReachError):
        dial()
    assert hub.closed == 1


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": ""}, {"session_id": "x\r\nX-Evil: 1"}, {"session_id": "é"}, {"session_id": "a" * 129}, {"session_id": None},
        {"poll_timeout_s": "soon"}, {"poll_timeout_s": None}, {"polls": []}, {"polls": 10**400}, {"slices": {}}, {"slices": "many"},
    ],
)  # fmt: skip
def test_terms_that_cannot_be(hub, dial, change):
    hub.terms.update(change)
    with pytest.raises(ReachError):
        dial()


@pytest.mark.parametrize(
    "change",
    [
        {"polls": 10**9, "slices": 10**9, "poll_timeout_s": 10**9},
        {"polls": -1, "slices": 0, "poll_timeout_s": -5},
        {"polls": float("inf"), "slices": float("-inf"), "poll_timeout_s": float("nan")},
    ],
)
def test_terms_are_held_to_our_own_bounds(hub, dial, change):
    hub.terms.update(change)
    link, _ = dial()
    for _ in range(40):
        link.send_binary(bytes(300 * KIB))
        hub.end.link.send_binary(bytes(300 * KIB))
    until(lambda: len(hub.seen.binaries) == 40)
    assert hub.most_open["POST"] <= LIMITS.slices_in_flight
    assert hub.most_open["GET"] <= LIMITS.polls_max
    holds = {float(request.url.partition("timeout=")[2]) for request in asked(hub, "GET")}
    assert max(holds) <= LIMITS.poll_timeout


def test_a_hub_that_is_overloaded_says_when_to_come_back(hub, dial):
    hub.opening = problem(503, "later", **{"Retry-After": "7"})
    with pytest.raises(UnavailableError) as caught:
        dial()
    assert caught.value.retry_after == 7.0
