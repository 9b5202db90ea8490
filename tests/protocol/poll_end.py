"""The hub's end of one long-polling link, request by request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from fileflux.clock import FakeClock
from fileflux.protocol.limits import DEFAULT_LIMITS, Limits
from fileflux.protocol.poll_peer import PollPeer, Shared
from fileflux.protocol.records import Kind, RecordReader, head_of
from tests.contracts.link_suite import Recorder
from tests.protocol.polling_pair import Alarm, deliver

POLLS = DEFAULT_LIMITS.polls_max
WINDOW = max(POLLS, DEFAULT_LIMITS.slices_in_flight)


class Waiting:
    """A waiter: ``said`` is what became of it."""

    def __init__(self) -> None:
        self.said: bytes | str | None = None

    def answer(self, body: bytes) -> None:
        assert self.said is None
        self.said = body

    def dismiss(self) -> None:
        assert self.said is None
        self.said = "dismissed"


class Hub:
    """One link's hub end, with a handler."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, shared: Shared | None = None) -> None:
        self.clock = FakeClock()
        self.limits = limits
        self.calls: deque[Callable[[], object]] = deque()
        self.alarms: list[Alarm] = []
        self.ended: list[tuple[int, str]] = []
        self.shared = shared or Shared(limits)
        self.peer = PollPeer(
            "agent",
            self.shared,
            limits,
            self.clock,
            self.calls.append,
            self._later,
            lambda *end: self.ended.append(end),
        )
        self.link = self.peer.link
        self.seen = Recorder()
        self.link.start(self.seen)
        self.soon()

    def _later(self, seconds: float, call: Callable[[], object]) -> Alarm:
        self.alarms.append(Alarm(self.clock.monotonic() + seconds, call))
        return self.alarms[-1]

    def soon(self) -> None:
        """Do what was put off."""
        while self.calls:
            self.calls.popleft()()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for alarm in [alarm for alarm in self.alarms if not alarm.cancelled and alarm.at <= self.clock.monotonic()]:
            self.alarms.remove(alarm)
            alarm.call()
        self.soon()

    def poll(self, number: int, known: int | None = 0, hold: float = 25.0) -> Waiting:
        waiter = Waiting()
        self.peer.poll(number, known, hold, waiter)
        return waiter

    def say(self, *texts: str) -> None:
        for text in texts:
            self.link.send_text(text)
        self.soon()

    def slice(self, number: int, data: bytes, offset: int = 0, total: int | None = None) -> str | None:
        total = len(data) if total is None else total
        refused = self.peer.refuses(number, offset, len(data), total)
        if refused is None:
            self.peer.take(number, offset, total, data)
            deliver(self.link)
            self.soon()
        return refused

    @property
    def waiting(self) -> int:
        return sum(not alarm.cancelled for alarm in self.alarms)


@pytest.fixture
def hub() -> Hub:
    return Hub()


def text(value: str) -> bytes:
    return head_of(Kind.TEXT, len(value.encode())) + value.encode()


def texts_in(*bodies: Any) -> list[str]:
    reader = RecordReader(DEFAULT_LIMITS)
    for body in bodies:
        assert isinstance(body, bytes)
        reader.feed(body)
    found = []
    while (record := reader.next()) is not None:
        found.append(record.text())
    return found
