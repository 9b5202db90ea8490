"""Something between agent and hub takes no large bodies, or cuts what waits: the agent learns it, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests

from fileflux.actors.kernel import runtime
from fileflux.clock import SystemClock
from fileflux.protocol.limits import KIB, MIB
from flux_agent.transports.polling import HOLD_MIN_S, SHRINK_ABOVE
from flux_agent.transports.reach import ReachError
from tests.agent.transports.polling_hub import (
    LIMITS,
    asked,
    dial,
    fill,
    hub,
    problem,
    until,
)

# Fixtures, used here by name.
__all__ = ["dial", "hub"]

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("most", [SHRINK_ABOVE, 100_000, 1_000_000])
def test_bodies_that_are_refused_with_413_become_smaller_and_nothing_is_lost(hub, dial, most):
    link, seen = dial()
    hub.between = lambda request: problem(413) if len(request.data or b"") > most else None
    fill(hub, link)
    assert b"".join(hub.seen.binaries) == b"\x07" * 3 * MIB
    assert not seen.closed
    refused = [request for request in asked(hub, "POST") if len(request.data) > most]
    assert len(refused) <= 8 * 7, "it learns"
    hub.seen.binaries.clear()
    before = len(hub.requests)
    fill(hub, link)
    assert all(len(request.data or b"") <= most for request in hub.requests[before:]), "and does not forget"


def test_a_413_for_the_smallest_body_ends_the_link(hub, dial):
    link, seen = dial()
    hub.between = lambda request: problem(413) if request.method == "POST" else None
    link.send_text("x")
    until(lambda: seen.closed)
    assert "413" in seen.closed[0][1]


def test_connections_that_break_under_large_bodies_make_them_smaller(hub, dial):
    link, seen = dial(replace(LIMITS, request_retry=5.0))
    hub.between = lambda request: requests.ConnectionError("reset") if len(request.data or b"") > 300_000 else None
    fill(hub, link)
    assert not seen.closed
    assert max(len(request.data or b"") for request in hub.requests[-3:]) <= 300_000


def test_parts_that_were_taken_are_not_sent_again(hub, dial):
    link, _ = dial()
    fill(hub, link)
    hub.seen.binaries.clear()
    before = len(hub.requests)
    hub.between = lambda request: problem(413) if len(request.data or b"") > 200_000 else None
    fill(hub, link)
    sent = sum(len(request.data or b"") for request in hub.requests[before:] if len(request.data or b"") <= 200_000)
    assert sent <= 3 * MIB + 64 * KIB


def test_polls_wait_less_where_waiting_is_cut(hub, dial):
    """As a proxy with a short idle time-out does; the link lives on."""
    clock = SystemClock()
    _, seen = dial(replace(LIMITS, poll_timeout=30.0))
    hub.terms["poll_timeout_s"] = 30.0

    def idle_cut(request):
        if request.method == "GET" and float(request.url.partition("timeout=")[2]) > 1.5:
            runtime.sleep(1.5)
            return requests.ConnectionError("idle")
        return None

    hub.between = idle_cut
    began = clock.monotonic()
    until(lambda: clock.monotonic() - began > 5.0)
    assert not seen.closed
    holds = [float(request.url.partition("timeout=")[2]) for request in asked(hub, "GET")]
    assert HOLD_MIN_S <= holds[-1] < 1.5
    hub.end.link.send_text("still there")
    until(lambda: seen.texts)


def test_a_hub_that_is_away_is_given_up_although_polls_wait_long(hub, dial):
    _, seen = dial()
    until(lambda: hub.open["GET"] == 1)
    hub.between = lambda request: ReachError("tcp", "refused")
    hub.back = lambda request: requests.ConnectionError("reset")
    clock = SystemClock()
    began = clock.monotonic()
    hub.end.link.send_text("wakes the poll")
    until(lambda: seen.closed)
    assert clock.monotonic() - began < 3.0
    assert "refused" in seen.closed[0][1]
