from __future__ import annotations

import time

import pytest

from fileflux.actors.kernel import lag, runtime
from fileflux.actors.kernel.lag import LoopLag
from fileflux.clock import FakeClock, SystemClock

pytestmark = pytest.mark.unit


def test_the_worst_is_remembered_for_one_to_two_windows() -> None:
    clock = FakeClock()
    watched = LoopLag(clock)
    watched.start()
    try:
        watched.late(0.5)
        watched.late(0.2)
        assert watched.worst == 0.5
        clock.advance(lag.WINDOW_S)
        watched.late(0.1)
        assert watched.worst == 0.5
        clock.advance(lag.WINDOW_S)
        watched.late(0.05)
        assert watched.worst == 0.1
    finally:
        watched.stop()


def test_a_loop_that_is_held_up_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "TICK_S", 0.01)
    watched = LoopLag(SystemClock())
    watched.start()
    runtime.sleep(0.02)
    time.sleep(0.2)
    runtime.sleep(0.02)
    watched.stop()
    watched.stop()
    assert watched.worst > 0.15
