"""How hard ``compression: auto`` works, on links and processors of every speed."""

from __future__ import annotations

import pytest

from fileflux.protocol.limits import MIB
from flux_agent.transfer.effort import FAST_LINK, HOLD_S, SLOW_LINK, Effort, Level

pytestmark = pytest.mark.unit

STEP = 0.01


def run(
    effort: Effort,
    rate: float,
    seconds: float,
    *,
    waiting: bool = True,
    busy: bool = False,
    held_back: bool = False,
    begin: float = 0.0,
) -> float:
    """Send at ``rate`` for so long; returns when it ended."""
    now = begin
    for _ in range(int(seconds / STEP)):
        now += STEP
        effort.sent(int(rate * STEP), now, waiting=waiting, busy=busy, held_back=held_back)
    return now


def test_before_anything_is_known_it_compresses() -> None:
    assert Effort().level is Level.FAST


@pytest.mark.parametrize(
    ("rate", "level"),
    [
        (64e3, Level.MORE),
        (25e6, Level.MORE),
        (SLOW_LINK * 1.1, Level.FAST),
        (FAST_LINK * 0.9, Level.FAST),
        (FAST_LINK * 1.1, Level.NONE),
        (900e6, Level.NONE),
    ],
)
def test_what_the_link_carries_decides(rate: float, level: Level) -> None:
    effort = Effort()
    now = run(effort, rate, 1.0)
    assert effort.level is level
    run(effort, rate, 1.0, begin=now)
    assert effort.level is level, "it stays"


def test_a_link_that_waits_for_the_processors_gets_more_bytes() -> None:
    effort = Effort()
    now = run(effort, 100e6, 0.3, waiting=False)
    assert effort.level is Level.LZ4
    now = run(effort, 100e6, 0.3, waiting=False, begin=now)
    assert effort.level is Level.NONE
    now = run(effort, 150e6, 0.6, begin=now)
    assert effort.level is Level.NONE, "what was too much is not tried again at once"
    now = run(effort, 150e6, 3 * HOLD_S, begin=now)
    assert effort.level is Level.FAST


def test_what_is_too_much_again_and_again_is_tried_more_rarely() -> None:
    effort = Effort()
    now, tries = 0.0, []
    for _ in range(6):
        began = now
        while effort.level is not Level.FAST:
            now = run(effort, 150e6, 0.3, begin=now)
        tries.append(now - began)
        while effort.level is not Level.NONE:
            now = run(effort, 150e6, 0.3, waiting=False, begin=now)
    assert tries[-1] > 2 * tries[1] > 0


def test_little_work_says_nothing() -> None:
    effort = Effort()
    run(effort, 1e6, 3.0, waiting=False)
    assert effort.level is Level.FAST


def test_a_link_that_changes() -> None:
    effort = Effort()
    now = run(effort, 900e6, 1.0)
    assert effort.level is Level.NONE
    run(effort, 1e6, 1.0, begin=now)
    assert effort.level is Level.MORE


def test_a_pause_is_no_measurement() -> None:
    effort = Effort()
    now = run(effort, 25e6, 1.0)
    effort.sent(0, now + 0.01, waiting=False, busy=False, held_back=False)
    effort.sent(1000, now + 60, waiting=True, busy=True, held_back=False)
    effort.sent(1000, now + 60.3, waiting=True, busy=True, held_back=False)
    assert effort.level is Level.MORE
    effort.idle()
    effort.sent(1000, now + 61, waiting=True, busy=True, held_back=False)
    assert effort.level is Level.MORE


def test_a_slow_link_that_is_never_idle_is_what_is_slow_though_nothing_waits() -> None:
    effort = Effort()
    run(effort, 25e6, 2.0, waiting=False, busy=True)
    assert effort.level is Level.MORE


def test_a_quick_link_that_is_never_idle_says_nothing() -> None:
    """Over loopback the processors hold up both ends: with more work for them it would only be slower."""
    effort = Effort()
    run(effort, 150e6, 2.0, waiting=False, busy=True)
    assert effort.level is Level.NONE


def test_a_pause_is_not_the_processors_fault() -> None:
    effort = Effort()
    now = run(effort, 25e6, 1.0, busy=True)
    assert effort.level is Level.MORE
    effort.sent(6 * MIB, now + 0.9, waiting=False, busy=False, held_back=False)
    effort.sent(0, now + 0.95, waiting=False, busy=False, held_back=False)
    assert effort.level is Level.MORE


def test_a_full_window_on_a_slow_way_changes_nothing() -> None:
    effort = Effort()
    now = run(effort, 25e6, 1.0, busy=True)
    assert effort.level is Level.MORE
    now = run(effort, 20e6, 2.0, waiting=False, held_back=True, begin=now)
    assert effort.level is Level.MORE
    run(effort, 20e6, 2.0, waiting=False, begin=now)
    assert effort.level is Level.NONE, "with room in the window it is the processors"
