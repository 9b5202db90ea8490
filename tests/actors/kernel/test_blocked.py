from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.blocked import BlockedLoop
from fileflux.clock import SystemClock

pytestmark = pytest.mark.unit


def hold_up(done: Callable[[], bool]) -> None:
    """Never gives way."""
    deadline = time.monotonic() + 20
    while not done() and time.monotonic() < deadline:
        pass


def named(events: list[Any], name: str) -> list[Any]:
    return [event for event in events if event["event"] == name]


def test_a_loop_that_is_held_up_is_told_once_with_the_place_and_then_how_long_it_was() -> None:
    watched = BlockedLoop(SystemClock(), blocked_s=0.1, look_s=0.01)
    with capture_logs() as events:
        watched.start()
        watched.start()
        runtime.sleep(0.02)
        hold_up(lambda: bool(named(events, "loop_blocked")))
        runtime.sleep(0.05)
        watched.stop()
        watched.stop()
    (blocked,) = named(events, "loop_blocked")
    assert blocked["seconds"] >= 0.1
    assert any(line.endswith(" hold_up") for line in blocked["stands_at"]), blocked
    (goes_on,) = named(events, "loop_goes_on")
    assert goes_on["seconds"] >= 0.1


def test_a_loop_that_turns_says_nothing() -> None:
    watched = BlockedLoop(SystemClock(), blocked_s=5, look_s=0.01)
    with capture_logs() as events:
        watched.start()
        for _ in range(5):
            runtime.sleep(0.02)
        watched.stop()
    assert events == []
