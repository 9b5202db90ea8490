"""What the system may hold unsent follows the rate at which a full socket takes bytes."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.unsent import LEAST, MOST, START, Unsent

pytestmark = pytest.mark.unit


class Socket:
    def __init__(self) -> None:
        self.options: list[tuple[Any, ...]] = []

    def setsockopt(self, *option: Any) -> None:
        self.options.append(option)


def drive(unsent: Unsent, rate: float, seconds: float, now: float) -> float:
    """A link of ``rate`` bytes a second that is always full; the time afterwards."""
    unsent.full(now)
    for _ in range(int(seconds / 0.1)):
        now += 0.1
        unsent.took(int(rate * 0.1))
        unsent.full(now)
    return now


@pytest.mark.parametrize(
    ("rate", "most"),
    [(64e3, LEAST), (4e6, 4e6 * DEFAULT_LIMITS.piece_seconds), (1e9, MOST)],
    ids=["thin", "middle", "fat"],
)
def test_it_is_about_50_ms_of_the_link_within_bounds(rate: float, most: float) -> None:
    unsent = Unsent(Socket(), DEFAULT_LIMITS)
    assert (unsent.most, unsent.seen) == (START, False)
    drive(unsent, rate, 1.0, 0.0)
    assert unsent.seen
    assert unsent.most == pytest.approx(most, rel=0.3)


def test_it_follows_a_link_that_collapses_and_recovers() -> None:
    unsent = Unsent(Socket(), DEFAULT_LIMITS)
    now = drive(unsent, 100e6, 1.0, 0.0)
    now = drive(unsent, 64e3, 1.0, now)
    assert unsent.most == LEAST
    drive(unsent, 100e6, 1.0, now)
    assert unsent.most == MOST


def test_the_first_bytes_into_an_empty_buffer_say_nothing() -> None:
    unsent = Unsent(Socket(), DEFAULT_LIMITS)
    unsent.took(10_000_000)
    unsent.full(0.0)
    assert unsent.most == START
    unsent.drained()
    unsent.took(10_000_000)
    unsent.full(5.0)
    assert (unsent.most, unsent.seen) == (START, False)


@pytest.mark.skipif(sys.platform != "linux", reason="the option's number is the system's own")
def test_the_system_is_told_and_one_that_refuses_does_no_harm() -> None:
    sock = Socket()
    drive(Unsent(sock, DEFAULT_LIMITS), 64e3, 1.0, 0.0)
    assert sock.options == [(6, 25, START), (6, 25, LEAST)]

    class Refusing:
        def setsockopt(self, *_: Any) -> None:
            raise OSError("not a TCP socket")

    assert drive(Unsent(Refusing(), DEFAULT_LIMITS), 64e3, 1.0, 0.0) > 0
