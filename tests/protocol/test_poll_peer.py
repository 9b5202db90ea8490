"""The hub's end, poll by poll: what it answers, what it keeps, and what it does not take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import DEFAULT_LIMITS, MIB
from fileflux.protocol.pace import LARGE_SLICES
from fileflux.protocol.records import RecordReader
from tests.contracts.link_suite import Recorder
from tests.protocol.poll_end import POLLS, Hub, Waiting, hub, text, texts_in
from tests.protocol.polling_pair import PollingPair

# A fixture, used here by name.
__all__ = ["hub"]

pytestmark = pytest.mark.unit


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
    assert DEFAULT_LIMITS.slice_max // 2 < largest <= DEFAULT_LIMITS.slice_max
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
