"""PollingLink, both ends: the contract, any sequence over a network that loses, repeats and reorders requests, and peers that break the rules."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileflux.clock import FakeClock
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB, Limits
from fileflux.protocol.link import Buffer
from fileflux.protocol.polling import DELIVER_BYTES, DELIVER_RECORDS, PollingLink
from fileflux.protocol.records import HEAD, Kind, RecordReader, close_record, head_of
from tests.contracts.link_suite import LinkPair, LinkSuite, Recorder
from tests.protocol.polling_pair import ALL_FATES, PollingPair, deliver, faults

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("hub_left", [False, True], ids=["agent-left", "hub-left"])
class TestPollingLink(LinkSuite):
    @pytest.fixture
    def pair(self, hub_left: bool) -> Iterator[PollingPair]:
        pair = PollingPair(hub_left=hub_left)
        yield pair
        pair.close()


@pytest.mark.parametrize("hub_left", [False, True], ids=["agent-left", "hub-left"])
@pytest.mark.parametrize("fates", ["xa", "rl", "p", ALL_FATES])
class TestPollingLinkOverABadNetwork(LinkSuite):
    @pytest.fixture
    def pair(self, hub_left: bool, fates: str) -> Iterator[PollingPair]:
        pair = PollingPair(fate=faults(1, fates), hub_left=hub_left)
        yield pair
        pair.close()

    def test_close_says_why_once_and_gives_back_all_buffers(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        """As in the suite, except that the last texts go with the answer that has the farewell in it: it is not kept for a second time."""
        sent: list[int] = []
        pair.left.send_text("last words")
        for number in range(5):
            pair.left.send_binary(bytes(1 << 20), on_sent=partial(sent.append, number))
        pair.left.close(4409, "a newer session took over")
        pair.until(lambda: left.closed and right.closed)
        assert left.closed == right.closed == [(4409, "a newer session took over")]
        assert right.texts in ([], ["last words"])
        assert sorted(sent) == list(range(5))


SAID = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.integers(0, 2000)),
        st.tuples(st.just("binary"), st.one_of(st.integers(0, 500), st.integers(0, 300_000))),
        st.tuples(st.just("drop"), st.integers(0, 2)),
        st.tuples(st.just("pass"), st.integers(1, 60)),
    ),
    max_size=40,
)


class End:
    """Says things on one end and remembers what must be heard at the other."""

    def __init__(self, link: PollingLink) -> None:
        self.link = link
        self.texts: list[str] = []
        self.binaries: dict[int, bytes] = {}
        self.sent: list[int] = []
        self.count = 0

    def say(self, what: str, size: int) -> None:
        if what == "text":
            self.texts.append(f"{len(self.texts)}:" + "é" * size)
            self.link.send_text(self.texts[-1])
        elif what == "binary":
            number = self.count
            self.count += 1
            self.binaries[number] = data = number.to_bytes(4, "big") + b"\x5a" * size
            self.link.send_binary(data, tag=number % 3, on_sent=partial(self.sent.append, number))
        elif what == "drop":
            before = len(self.sent)
            dropped = self.link.drop(size)
            gone = [number for number in self.sent[before:] if number % 3 == size]
            assert dropped == sum(len(self.binaries.pop(number)) for number in gone)


@given(
    up=SAID,
    down=SAID,
    seed=st.integers(0, 1000),
    fates=st.sampled_from(["", "x", "a", "r", "l", "p", "xar", ALL_FATES]),
    small=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_all_that_is_said_is_heard_once_and_in_order_whatever_the_network_does(
    up: list[tuple[str, int]], down: list[tuple[str, int]], seed: int, fates: str, small: bool
) -> None:
    limits = replace(DEFAULT_LIMITS, slice_min=100, slice_start=500, slice_max=2000) if small else DEFAULT_LIMITS
    pair = PollingPair(limits, faults(seed, fates), seed=seed)
    agent, hub = Recorder(), Recorder()
    pair.agent.start(agent)
    pair.hub.start(hub)
    ends = {"up": End(pair.agent), "down": End(pair.hub)}
    steps = [("up", *step) for step in up] + [("down", *step) for step in down]
    random.Random(seed).shuffle(steps)
    for way, what, size in steps:
        if what == "pass":
            for _ in range(size):
                pair.step()
        else:
            ends[way].say(what, size)
    heard = {"up": hub, "down": agent}
    pair.until(
        lambda: all(
            len(heard[way].texts) == len(end.texts)
            and len(heard[way].binaries) == len(end.binaries)
            and len(end.sent) == end.count
            for way, end in ends.items()
        )
    )
    pair.settle()
    for way, end in ends.items():
        assert heard[way].texts == end.texts
        assert heard[way].binaries == list(end.binaries.values())
        assert sorted(end.sent) == list(range(end.count)), "each buffer comes back once"
        assert end.link.queued_bytes == 0
        assert not heard[way].closed
    assert pair.shared.held == 0
    pair.close()


@pytest.mark.parametrize("hub_left", [False, True])
def test_a_peer_that_takes_nothing_is_given_up(hub_left: bool) -> None:
    pair = PollingPair(hub_left=hub_left, fate=lambda: "x")
    seen, sent = Recorder(), []
    pair.left.start(seen)
    for number in range(20):
        pair.left.send_binary(bytes(MIB), on_sent=partial(sent.append, number))
    pair.step()
    pair.clock.advance(59.0)
    pair.left.tick(pair.clock.monotonic())
    assert not seen.closed
    pair.clock.advance(1.1)
    pair.left.tick(pair.clock.monotonic())
    assert seen.closed == [(1006, "the peer takes no bytes")]
    assert sorted(sent) == list(range(20))


def test_a_slice_that_leaves_slowly_is_progress() -> None:
    pair = PollingPair(fate=lambda: "x")
    seen = Recorder()
    pair.left.start(seen)
    pair.left.send_binary(bytes(MIB))
    pair.step()
    for _ in range(10):
        pair.clock.advance(59.0)
        pair.left.moving()
        pair.left.tick(pair.clock.monotonic())
    assert not seen.closed
    pair.clock.advance(61.0)
    pair.left.tick(pair.clock.monotonic())
    assert seen.closed == [(1006, "the peer takes no bytes")]


def test_an_idle_link_lives_for_ever() -> None:
    pair = PollingPair()
    seen = [Recorder(), Recorder()]
    pair.agent.start(seen[0])
    pair.hub.start(seen[1])
    for _ in range(600):
        pair.step()
        pair.clock.advance(1.0)
        for link in (pair.agent, pair.hub):
            link.tick(pair.clock.monotonic())
    assert not seen[0].closed
    assert not seen[1].closed
    assert seen[1].lives >= 600 / DEFAULT_LIMITS.poll_timeout - 1, "polls are life"
    pair.close()


def test_texts_for_a_peer_that_reads_nothing_are_bounded() -> None:
    link = alone(replace(DEFAULT_LIMITS, outbox_max=10))
    seen = Recorder()
    link.start(seen)
    for _ in range(41):
        link.send_text("x")
    link.send_text("dropped")
    stream = b""
    while (data := link.next_slice(1)) is not None:
        stream += data
        link.arrived(1)
    assert stream.endswith(close_record(1008, "too many messages wait for this peer"))
    assert stream.count(head_of(Kind.TEXT, 1)) == 40
    assert seen.closed == [(1008, "too many messages wait for this peer")]


# A peer of bad character


def alone(limits: Limits = DEFAULT_LIMITS, *, held: bool = True) -> PollingLink:
    return PollingLink(limits, FakeClock(), peer="bad", held=held, wake=lambda: None)


def text(value: bytes) -> bytes:
    return head_of(Kind.TEXT, len(value)) + value


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("unknown kind", b"\x09\x00\x00\x00\x00\x00", 1002),
        ("reserved byte", b"\x01\x01\x00\x00\x00\x00", 1002),
        ("text of 4 GiB, head only", HEAD.pack(1, 0, 0xFFFFFFFF), 1009),
        ("text of 1 MiB + 1", HEAD.pack(1, 0, MIB + 1), 1009),
        ("binary of 2 MiB + 1", HEAD.pack(2, 0, 2 * MIB + 1), 1009),
        *[
            (f"no UTF-8: {bad!r}", text(bad), 1007)
            for bad in (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"a\x80")
        ],
        ("farewell without code", HEAD.pack(3, 0, 0), 1002),
        ("farewell with a code that is not for the wire", HEAD.pack(3, 0, 2) + struct.pack(">H", 1006), 1002),
        ("farewell of 126 bytes", HEAD.pack(3, 0, 126), 1009),
        ("HTML", b"<html><body>Please sign in</body></html>", 1002),
    ],
)
def test_bad_records_are_answered_with_a_farewell_and_nothing_more_is_read(name: str, data: bytes, code: int) -> None:
    link, seen = alone(), Recorder()
    link.start(seen)
    link.take_in(1, text(b"good") + data + text(b"never heard") * 3)
    deliver(link)
    assert seen.texts == ["good"]
    # What else is on its way is not looked at, however much it is.
    for number in (2, 3, 4):
        link.take_in(number, text(b"neither") + bytes(100_000))
        assert not link.deliver()
    assert seen.texts == ["good"]
    said = link.next_slice(1)
    assert said is not None
    reader = RecordReader(DEFAULT_LIMITS)
    reader.feed(said)
    record = reader.next()
    assert record is not None
    assert record.kind is Kind.CLOSE
    assert record.farewell()[0] == code
    link.arrived(1)
    assert [closed for closed, _ in seen.closed] == [code]


def test_a_farewell_that_the_peer_does_not_take_ends_after_a_while() -> None:
    clock = FakeClock()
    link = PollingLink(DEFAULT_LIMITS, clock, peer="bad", held=True, wake=lambda: None)
    seen = Recorder()
    link.start(seen)
    link.close(1001, "bye")
    clock.advance(9.9)
    link.tick(clock.monotonic())
    assert not seen.closed
    clock.advance(0.2)
    link.tick(clock.monotonic())
    assert seen.closed == [(1001, "bye")]
    assert link.next_slice(1) is None
    assert not link.has_output


def test_one_delivery_is_bounded() -> None:
    link, seen = alone(), Recorder()
    link.start(seen)
    link.take_in(1, text(b"{}") * 5000)
    turns = 1
    while link.deliver():
        turns += 1
        assert len(seen.texts) <= turns * DELIVER_RECORDS
    assert len(seen.texts) == 5000
    assert turns >= 5000 // DELIVER_RECORDS
    link.take_in(2, (head_of(Kind.BINARY, MIB) + bytes(MIB)) * 4)
    before = len(seen.binaries)
    link.deliver()
    assert len(seen.binaries) - before <= DELIVER_BYTES // MIB + 1


def test_a_handler_that_is_called_while_it_is_called_does_not_happen() -> None:
    link = alone()
    seen = Recorder()
    again: list[bool] = []
    seen.react = lambda _: again.append(link.deliver())
    link.start(seen)
    link.take_in(1, text(b"1") + text(b"2"))
    deliver(link)
    assert again == [False, False]
    assert seen.texts == ["1", "2"]


def test_slices_are_kept_until_they_have_arrived_and_counted_once() -> None:
    link = alone()
    link.start(Recorder())
    sent: list[int] = []
    link.send_binary(b"x" * 100, on_sent=lambda: sent.append(1))
    assert link.next_slice(1) is not None
    assert sent == []
    assert link.pace.in_flight == 106
    for _ in range(3):
        link.arrived(1)
        link.arrived(99)
    assert sent == [1]
    assert link.pace.in_flight == 0


def test_an_agents_buffer_is_free_once_it_is_in_a_slice() -> None:
    link = alone(held=False)
    link.start(Recorder())
    data = bytearray(b"x" * 100)
    sent: list[int] = []
    link.send_binary(data, on_sent=lambda: sent.append(1))
    made = link.next_slice(1)
    assert sent == [1]
    data[:] = b"y" * 100
    assert made is not None
    assert b"y" not in made


def test_the_allowance_bounds_what_is_on_its_way() -> None:
    link = alone()
    link.start(Recorder())
    for _ in range(40):
        link.send_binary(bytes(MIB))
    number, sizes = 0, []
    while (made := link.next_slice(number + 1)) is not None:
        number += 1
        sizes.append(len(made))
    assert link.has_output
    assert 0 < sum(sizes) <= 8 * DEFAULT_LIMITS.slice_min
    assert max(sizes) <= 2 * DEFAULT_LIMITS.slice_min


@given(st.binary(max_size=2000), st.integers(1, 300))
@settings(max_examples=100)
def test_random_bytes_never_escape_as_an_exception(data: bytes, size: int) -> None:
    link, seen = alone(replace(DEFAULT_LIMITS, max_binary_bytes=64 * KIB)), Recorder()
    link.start(seen)
    for number, at in enumerate(range(0, len(data), size), 1):
        link.take_in(number, data[at : at + size])
        deliver(link)
    assert len(seen.closed) <= 1


def test_callbacks_may_say_more_drop_and_close() -> None:
    link, seen = alone(), Recorder()
    link.start(seen)
    calls: list[str] = []

    def sent(name: str, data: Buffer) -> None:
        calls.append(name)
        link.send_binary(data, tag=9)
        link.drop(9)
        link.close(1001, "enough")

    link.send_binary(b"one", on_sent=partial(sent, "one", b"more"))
    link.send_binary(b"two", on_sent=partial(sent, "two", b"more"))
    assert link.next_slice(1) is not None
    link.arrived(1)
    link.lost("gone")
    assert sorted(calls) == ["one", "two"]
    assert seen.closed == [(1001, "enough")]
