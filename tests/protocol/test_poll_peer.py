"""The hub's end, request by request: what it answers, what it keeps, and what it does not take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileflux.clock import FakeClock
from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB, Limits
from fileflux.protocol.pace import LARGE_SLICES
from fileflux.protocol.poll_peer import PollPeer, Shared
from fileflux.protocol.records import Kind, RecordReader, head_of
from tests.contracts.link_suite import Recorder
from tests.protocol.polling_pair import Alarm, PollingPair, deliver

pytestmark = pytest.mark.unit

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


# Down


def test_a_poll_waits_until_there_is_something_and_messages_of_one_moment_share_it(hub: Hub) -> None:
    waiter = hub.poll(1)
    assert waiter.said is None
    hub.say("a", "b")
    assert texts_in(waiter.said) == ["a", "b"]
    assert hub.waiting == 0, "its alarm is gone"


def test_what_waits_is_answered_at_once(hub: Hub) -> None:
    hub.say("early")
    assert texts_in(hub.poll(1).said) == ["early"]


def test_a_poll_is_answered_empty_when_its_time_is_over(hub: Hub) -> None:
    waiter, short = hub.poll(1), hub.poll(2, hold=3.0)
    hub.pass_time(3.1)
    assert (waiter.said, short.said) == (None, b"")
    hub.pass_time(22.0)
    assert waiter.said == b""
    hub.say("next")
    third = hub.poll(3, known=2)
    assert texts_in(third.said) == ["next"]


def test_nobody_waits_longer_than_the_hub_wants(hub: Hub) -> None:
    waiter = hub.poll(1, hold=9999.0)
    hub.pass_time(DEFAULT_LIMITS.poll_timeout + 0.1)
    assert waiter.said == b""


def test_a_repeated_poll_gets_the_same_bytes_until_they_are_acknowledged(hub: Hub) -> None:
    hub.say("x")
    first = hub.poll(1)
    hub.say("y")
    second = hub.poll(2)
    assert texts_in(second.said) == ["y"]
    for _ in range(3):
        assert hub.poll(1).said == first.said
        assert hub.poll(2).said == second.said
    hub.poll(3, known=2)
    for number in (1, 2):
        with pytest.raises(RemoteProtocolError) as caught:
            hub.poll(number, known=0)
        assert (caught.value.code, caught.value.field) == ("sequence", "X-FileFlux-Seq")


def test_an_empty_answer_stays_empty_when_it_is_asked_for_again(hub: Hub) -> None:
    hub.poll(1)
    hub.pass_time(26.0)
    hub.say("later")
    assert hub.poll(1).said == b""
    assert texts_in(hub.poll(2).said) == ["later"]


def test_polls_that_overtake_each_other_keep_the_order(hub: Hub) -> None:
    third, second = hub.poll(3), hub.poll(2)
    hub.say("one")
    assert (second.said, third.said) == (None, None)
    assert texts_in(hub.poll(1).said) == ["one"]
    hub.say("two")
    hub.say("three")
    assert texts_in(second.said, third.said) == ["two", "three"]


def test_the_same_poll_over_another_connection_takes_the_place_of_the_first(hub: Hub) -> None:
    older = hub.poll(1)
    newer = hub.poll(1)
    assert older.said == "dismissed"
    hub.say("x")
    assert texts_in(newer.said) == ["x"]


def test_a_poll_whose_connection_is_gone_is_forgotten(hub: Hub) -> None:
    waiter = hub.poll(1)
    hub.peer.forget(waiter)
    hub.peer.forget(waiter)
    assert hub.waiting == 0
    hub.say("x")
    assert waiter.said is None
    assert texts_in(hub.poll(1).said) == ["x"]


@pytest.mark.parametrize(
    ("number", "known"), [(0, 0), (2 * POLLS + 1, 0), (1, 1), (1, 2), (2, 1), (3, 7), (10**15, 10**15 - 1), (10**15, 0)]
)
def test_numbers_that_cannot_be(hub: Hub, number: int, known: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        hub.poll(number, known)
    assert (caught.value.code, caught.value.field) == ("sequence", "X-FileFlux-Seq")
    assert hub.waiting == 0
    assert not hub.seen.closed, "the link is left to its own rules"


def test_without_an_acknowledgement_a_poll_knows_what_was_before_the_last_ones(hub: Hub) -> None:
    for number in range(1, 2 * POLLS + 1):
        hub.say(str(number))
        assert texts_in(hub.poll(number, known=None).said) == [str(number)]
    assert hub.poll(POLLS + 1, known=None).said is not None
    with pytest.raises(RemoteProtocolError):
        hub.poll(POLLS, known=None)


def test_buffers_come_back_when_the_agent_has_them_and_not_before(hub: Hub) -> None:
    sent: list[int] = []
    for number in range(3):
        hub.link.send_binary(bytes(100), on_sent=lambda number=number: sent.append(number))
    hub.soon()
    assert hub.poll(1).said
    assert sent == []
    hub.poll(2, known=1)
    assert sent == [0, 1, 2]


def test_kept_answers_are_bounded(hub: Hub) -> None:
    """An agent that takes everything and acknowledges nothing holds what the pace allows, and its number of polls is bounded."""
    for _ in range(60):
        hub.link.send_binary(bytes(MIB))
    hub.soon()
    kept = 0
    for number in range(1, 2 * POLLS + 1):
        kept += len(hub.poll(number).said or b"")
    assert kept == hub.link.pace.in_flight <= 8 * DEFAULT_LIMITS.slice_min
    with pytest.raises(RemoteProtocolError):
        hub.poll(2 * POLLS + 1)
    assert hub.link.queued_bytes >= 59 * MIB


def test_kept_answers_are_bounded_on_the_fastest_link_too() -> None:
    pair = PollingPair(step_s=0.0001)
    pair.agent.start(Recorder())
    pair.hub.start(Recorder())
    for _ in range(200):
        pair.hub.send_binary(bytes(2 * MIB))
    kept, largest = 0, 0
    while pair.hub.queued_bytes:
        pair.step()
        kept = max(kept, pair.hub.pace.in_flight)
        largest = max([largest, *(len(body) for _, body in pair.to_agent)])
    assert largest == DEFAULT_LIMITS.slice_max
    assert largest < kept <= LARGE_SLICES * DEFAULT_LIMITS.slice_max
    pair.close()


def test_a_farewell_ends_the_link_with_its_answer_and_dismisses_the_other_polls(hub: Hub) -> None:
    first, second = hub.poll(1), hub.poll(2)
    hub.link.send_text("last words")
    hub.link.close(4409, "a newer session took over")
    hub.soon()
    reader = RecordReader(DEFAULT_LIMITS)
    assert isinstance(first.said, bytes)
    reader.feed(first.said)
    words, farewell = reader.next(), reader.next()
    assert words is not None
    assert farewell is not None
    assert (words.text(), farewell.farewell()) == ("last words", (4409, "a newer session took over"))
    assert second.said == "dismissed"
    assert hub.seen.closed == [(4409, "a newer session took over")]
    assert set(hub.ended) == {(4409, "a newer session took over")}
    assert hub.waiting == 0


def test_a_farewell_waits_for_a_poll_but_not_for_ever(hub: Hub) -> None:
    hub.link.close(1001, "bye")
    hub.soon()
    assert not hub.seen.closed
    hub.clock.advance(DEFAULT_LIMITS.handshake_timeout)
    hub.link.tick(hub.clock.monotonic())
    hub.soon()
    assert hub.seen.closed == [(1001, "bye")]
    assert hub.ended
    late = hub.poll(1)
    hub.soon()
    assert late.said == "dismissed"


# Up


def test_slices_are_taken_once_and_in_order(hub: Hub) -> None:
    assert hub.slice(2, text("b")) is None
    assert hub.seen.texts == []
    assert hub.slice(1, text("a")) is None
    for number in (1, 2):
        assert hub.slice(number, text("again")) is None
    assert hub.seen.texts == ["a", "b"]
    assert hub.shared.held == 0
    assert hub.seen.lives == 4


@pytest.mark.parametrize("number", [0, WINDOW + 1, WINDOW + 2, 10**15])
def test_slices_out_of_the_window_are_refused_before_they_are_read(hub: Hub, number: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        hub.peer.refuses(number, 0, 10, 10)
    assert caught.value.code == "sequence"


@pytest.mark.parametrize(
    ("offset", "length", "total"), [(1, 10, 10), (0, 11, 10), (10, 1, 10), (0, 0, 10), (10, 0, 10), (10**14, 1, 10)]
)
def test_parts_that_lie_are_refused_before_they_are_read(hub: Hub, offset: int, length: int, total: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        hub.peer.refuses(1, offset, length, total)
    assert caught.value.code == "bad_slice"


def test_a_slice_that_is_too_large_is_refused_before_it_is_read(hub: Hub) -> None:
    most = DEFAULT_LIMITS.slice_max
    assert hub.peer.refuses(1, 0, most + 1, most + 1) == "too_large"
    assert hub.peer.refuses(1, 0, 10, 10**15) == "too_large", "in parts as well"
    assert hub.peer.refuses(1, 0, most, most) is None
    assert hub.peer.refuses(1, 0, 0, 0) is None


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6), st.data())
def test_a_slice_in_parts_is_a_slice(cuts: list[int], data: st.DataObject) -> None:
    hub = Hub()
    whole = text("é" * 50) + text("second")
    edges = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    parts = list(zip(edges, edges[1:], strict=False))
    for at, (start, end) in enumerate(parts):
        # What was answered and the answer lost is sent again, from any part before.
        for again in data.draw(st.lists(st.integers(0, at), max_size=2)):
            assert hub.slice(1, whole[parts[again][0] : parts[again][1]], parts[again][0], len(whole)) is None
        hub.slice(1, whole[start:end], start, len(whole))
    assert hub.seen.texts == ["é" * 50, "second"]
    assert hub.shared.held == 0
    assert hub.slice(1, whole[:10], 0, len(whole)) is None
    assert hub.shared.held == 0


def test_a_part_that_is_missing_is_told(hub: Hub) -> None:
    whole = text("x" * 100)
    for offset, total in ((50, len(whole)), (1, len(whole))):
        with pytest.raises(RemoteProtocolError) as caught:
            hub.slice(1, whole[offset : offset + 10], offset, total)
        assert caught.value.code == "bad_slice"
    assert hub.slice(1, whole[:50], 0, len(whole)) is None
    for offset, total in ((51, len(whole)), (50, len(whole) + 1), (50, len(whole) - 1)):
        with pytest.raises(RemoteProtocolError) as caught:
            hub.slice(1, whole[50:60], offset, total)
        assert caught.value.code == "bad_slice"
    assert hub.slice(1, whole[50:], 50, len(whole)) is None
    assert hub.seen.texts == ["x" * 100]
    assert hub.shared.held == 0


def test_a_slice_may_come_whole_after_it_began_in_parts(hub: Hub) -> None:
    whole = text("x" * 100)
    assert hub.slice(1, whole[:50], 0, len(whole)) is None
    assert hub.shared.held == 50
    assert hub.slice(1, whole) is None
    assert hub.seen.texts == ["x" * 100]
    assert hub.shared.held == 0


def test_what_comes_too_early_is_bounded_over_all_links() -> None:
    limits = replace(DEFAULT_LIMITS, slice_reorder_budget=3 * MIB)
    shared = Shared(limits)
    hubs = [Hub(limits, shared) for _ in range(4)]
    for hub in hubs[:3]:
        assert hub.slice(2, bytes(MIB)) is None
    assert hubs[3].slice(2, bytes(MIB)) == "overloaded"
    assert hubs[3].slice(2, bytes(512 * KIB), 0, MIB) == "overloaded", "in parts as well"
    assert hubs[3].slice(1, text("what is due is always taken")) is None
    assert hubs[0].slice(2, bytes(MIB)) is None, "and what is here already"
    hubs[1].link.lost("gone")
    hubs[1].soon()
    assert shared.held == 2 * MIB
    assert hubs[3].slice(3, bytes(MIB)) is None
    for hub in hubs:
        hub.link.lost("gone")
        hub.soon()
    assert shared.held == 0


def test_slices_of_a_link_that_is_over_are_not_kept(hub: Hub) -> None:
    hub.link.lost("gone")
    hub.soon()
    assert hub.slice(2, bytes(1000)) is None
    assert hub.slice(3, bytes(1000), 0, 2000) is None
    assert hub.shared.held == 0
    assert hub.seen.closed == [(1006, "gone")]


def test_a_slice_with_a_farewell_ends_the_link(hub: Hub) -> None:
    waiter = hub.poll(1)
    assert hub.slice(1, text("bye") + head_of(Kind.CLOSE, 2) + (1001).to_bytes(2, "big") + text("void")) is None
    assert hub.seen.texts == ["bye"]
    assert hub.seen.closed == [(1001, "")]
    assert waiter.said == "dismissed"
    assert hub.ended[0] == (1001, "")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("poll"), st.integers(-1, 3 * POLLS), st.integers(-1, 3 * POLLS)),
        st.tuples(st.just("say"), st.integers(0, 3000), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("time"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("slice"), st.integers(-1, 8), st.integers(0, 4000)),
        st.tuples(st.just("part"), st.integers(1, 5), st.integers(0, 4000)),
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_whatever_an_agent_asks_every_poll_has_one_end_and_everything_is_bounded(
    steps: list[tuple[str, int, int]],
) -> None:
    hub = Hub(replace(DEFAULT_LIMITS, slice_min=500, slice_reorder_budget=10_000))
    waiters: list[Waiting] = []
    for what, first, second in steps:
        try:
            match what:
                case "poll":
                    waiters.append(Waiting())
                    hub.peer.poll(first, second, 25.0, waiters[-1])
                case "say":
                    hub.link.send_binary(bytes(first))
                    hub.soon()
                case "forget" if waiters:
                    waiter = waiters[first % len(waiters)]
                    hub.peer.forget(waiter)
                    waiter.said = waiter.said if waiter.said is not None else "gone"
                case "time":
                    hub.pass_time(first)
                case "slice":
                    hub.slice(first, text("x" * second))
                case "part":
                    hub.slice(first, bytes(second // 2), second // 3, second)
        except RemoteProtocolError:
            if what == "poll":
                waiters.pop()
        assert hub.waiting <= 2 * DEFAULT_LIMITS.polls_max
        assert 0 <= hub.shared.held <= 10_000 + 3 * 4000
        assert hub.link.pace.in_flight <= 16 * 500
    hub.link.lost("over")
    hub.soon()
    assert all(waiter.said is not None for waiter in waiters), "no poll is left hanging"
    assert hub.waiting == 0
    assert hub.shared.held == 0
