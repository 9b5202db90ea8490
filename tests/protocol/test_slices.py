"""What is said, cut into slices of any size and put in order again, is what is heard: whole, each kind in its order, everything once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB
from fileflux.protocol.records import HEAD, Kind, RecordReader
from fileflux.protocol.slices import Slice, SliceReader, SliceWriter

pytestmark = pytest.mark.unit

LIMITS = replace(DEFAULT_LIMITS, max_binary_bytes=64 * KIB)


class Heard:
    """Reads slices in their order."""

    def __init__(self) -> None:
        self.reader = RecordReader(LIMITS)
        self.records: list[tuple[Kind, bytes]] = []

    def slice(self, data: bytes) -> None:
        self.reader.feed(data)
        while (record := self.reader.next()) is not None:
            self.records.append((record.kind, bytes(record.data)))

    def of(self, kind: Kind) -> list[bytes]:
        return [data for found, data in self.records if found is kind]


def call(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()


class Saying(RuleBasedStateMachine):
    """Says, drops, cuts and hears in any order; a model keeps what has to come."""

    def __init__(self) -> None:
        super().__init__()
        self.writer = SliceWriter()
        self.heard = Heard()
        self.texts: list[bytes] = []
        self.due: dict[int, bytes] = {}
        self.tags: dict[int, int] = {}
        self.sent: list[int] = []
        self.said_farewell = False
        self.last_taken = False

    def _sent(self, number: int) -> None:
        self.sent.append(number)

    @precondition(lambda self: not self.said_farewell)
    @rule(text=st.text(max_size=30))
    def text(self, text: str) -> None:
        self.writer.text(text)
        self.texts.append(text.encode())

    @precondition(lambda self: not self.said_farewell)
    @rule(data=st.binary(max_size=200), tag=st.integers(0, 2))
    def binary(self, data: bytes, tag: int) -> None:
        number = len(self.tags)
        self.tags[number] = tag
        self.due[number] = data
        self.writer.binary(data, tag, partial(self._sent, number))

    @rule(tag=st.integers(0, 2))
    def drop(self, tag: int) -> None:
        size, callbacks = self.writer.drop(tag)
        before = len(self.sent)
        call(callbacks)
        gone = self.sent[before:]
        assert all(self.tags[number] == tag for number in gone)
        assert size == sum(len(self.due.pop(number)) for number in gone)
        # At most the one that is begun stays.
        assert sum(self.tags[number] == tag and number not in self.sent for number in self.due) <= 1

    @rule(most=st.integers(1, 300))
    def take(self, most: int) -> None:
        empty = self.writer.empty
        made = self.writer.take(most)
        assert (made is None) == empty
        if made is None:
            return
        assert 0 < len(made.data) <= most
        assert 2 * len(made.data) >= most or self.writer.empty, "a slice is not left half empty"
        self.heard.slice(made.data)
        call([message.on_sent for message in made.ends if message.on_sent is not None])
        assert not self.last_taken, "nothing follows a farewell"
        self.last_taken = made.last

    @precondition(lambda self: not self.said_farewell)
    @rule()
    def farewell(self) -> None:
        self.said_farewell = True
        before = len(self.sent)
        call(self.writer.farewell(4409, "bye"))
        for number in self.sent[before:]:
            del self.due[number]

    @invariant()
    def holds(self) -> None:
        assert len(self.sent) == len(set(self.sent)), "on_sent once each"
        unsent = [len(data) for number, data in self.due.items() if number not in self.sent]
        assert self.writer.queued_bytes <= sum(unsent)
        assert sum(unsent[1:]) <= self.writer.queued_bytes
        assert len(self.texts) - len(self.heard.of(Kind.TEXT)) >= self.writer.texts

    def teardown(self) -> None:
        while not self.writer.empty:
            self.take(1000)
        assert self.heard.of(Kind.TEXT) == self.texts
        assert self.heard.of(Kind.BINARY) == list(self.due.values())
        assert sorted(self.sent) == sorted(self.tags), "every buffer came back"
        assert len(self.heard.of(Kind.CLOSE)) == self.said_farewell
        assert self.writer.queued_bytes == 0


TestSaying = Saying.TestCase


@given(
    st.lists(st.one_of(st.text(max_size=40), st.binary(max_size=400)), max_size=25),
    st.lists(st.integers(1, 120), min_size=1, max_size=10),
)
def test_cut_into_any_sizes_all_arrives_once(said: list[str | bytes], sizes: list[int]) -> None:
    writer, heard, sent = SliceWriter(), Heard(), []
    for number, item in enumerate(said):
        if isinstance(item, str):
            writer.text(item)
        else:
            writer.binary(item, 0, partial(sent.append, number))
    turn = 0
    while (made := writer.take(sizes[turn % len(sizes)])) is not None:
        turn += 1
        heard.slice(made.data)
        call([message.on_sent for message in made.ends if message.on_sent is not None])
    assert heard.of(Kind.TEXT) == [item.encode() for item in said if isinstance(item, str)]
    assert heard.of(Kind.BINARY) == [item for item in said if isinstance(item, bytes)]
    assert sent == [number for number, item in enumerate(said) if isinstance(item, bytes)]
    assert (writer.queued_bytes, writer.texts, writer.empty) == (0, 0, True)


def test_a_message_that_fits_into_a_slice_is_not_cut_at_the_end_of_another() -> None:
    """It would be put together again at the other end, which costs a copy."""
    writer = SliceWriter()
    for _ in range(3):
        writer.binary(bytes(60), 0, None)
    sizes = []
    while (made := writer.take(100)) is not None:
        sizes.append(len(made.data))
    assert sizes == [HEAD.size + 60] * 3
    writer.binary(bytes(20), 0, None)
    writer.binary(bytes(1000), 0, None)
    made = writer.take(100)
    assert made is not None
    assert len(made.data) == 100, "but a slice that would be half empty is filled"
    writer.text("texts")
    made = writer.take(2000)
    assert made is not None
    assert made.data.endswith(b"texts")


def test_a_text_overtakes_all_but_the_message_that_is_begun() -> None:
    writer, heard = SliceWriter(), Heard()
    for number in range(3):
        writer.binary(bytes([number]) * 100, 0, None)
    first = writer.take(10)
    writer.text("urgent")
    assert first is not None
    heard.slice(first.data)
    while (made := writer.take(50)) is not None:
        heard.slice(made.data)
    assert [kind for kind, _ in heard.records] == [Kind.BINARY, Kind.TEXT, Kind.BINARY, Kind.BINARY]


def test_a_message_of_which_a_byte_is_on_its_way_is_not_dropped() -> None:
    for begun in (1, HEAD.size, HEAD.size + 1):
        writer, heard = SliceWriter(), Heard()
        writer.binary(b"begun", 7, None)
        writer.binary(b"not begun", 7, None)
        made = writer.take(begun)
        assert made is not None
        heard.slice(made.data)
        assert writer.drop(7) == (len(b"not begun"), [])
        while (made := writer.take(100)) is not None:
            heard.slice(made.data)
        assert heard.of(Kind.BINARY) == [b"begun"]


def test_any_buffer_is_taken_and_counted() -> None:
    writer, heard = SliceWriter(), Heard()
    data = bytes(range(200))
    for view in (data, bytearray(data), memoryview(data)[10:], memoryview(bytearray(data))):
        writer.binary(view, 0, None)
    assert writer.queued_bytes == 790
    while (made := writer.take(64)) is not None:
        heard.slice(made.data)
    assert heard.of(Kind.BINARY) == [data, data, data[10:], data]


def test_a_farewell_goes_behind_the_texts_and_the_message_that_is_begun() -> None:
    writer, heard, sent = SliceWriter(), Heard(), []
    writer.binary(b"a" * 50, 0, partial(sent.append, "a"))
    writer.binary(b"b" * 50, 0, partial(sent.append, "b"))
    made = writer.take(20)
    assert made is not None
    heard.slice(made.data)
    writer.text("last words")
    call(writer.farewell(1001, "bye"))
    assert sent == ["b"]
    assert not writer.empty
    lasts = []
    while (made := writer.take(30)) is not None:
        heard.slice(made.data)
        lasts.append(made.last)
    assert [kind for kind, _ in heard.records] == [Kind.BINARY, Kind.TEXT, Kind.CLOSE]
    assert lasts == [False] * (len(lasts) - 1) + [True]
    assert writer.empty


def test_a_farewell_that_is_cut_is_last_only_with_its_last_byte() -> None:
    writer = SliceWriter()
    writer.farewell(1001, "bye")
    slices: list[Slice] = []
    while (made := writer.take(2)) is not None:
        slices.append(made)
    assert [made.last for made in slices] == [False] * (len(slices) - 1) + [True]


def test_abandon_gives_back_what_is_in_no_slice_as_a_whole() -> None:
    writer, sent = SliceWriter(), []
    for name in "abc":
        writer.binary(name.encode() * 50, 0, partial(sent.append, name))
    writer.text("x")
    taken = writer.take(HEAD.size + 1 + HEAD.size + 50 + HEAD.size + 10)
    assert taken is not None
    assert [message.data for message in taken.ends] == [b"a" * 50]
    call(writer.abandon())
    assert sorted(sent) == ["b", "c"]
    assert (writer.queued_bytes, writer.texts, writer.empty) == (0, 0, True)


# In order again


@given(st.integers(1, 8), st.data())
def test_slices_within_the_window_come_out_in_order_and_once(window: int, data: st.DataObject) -> None:
    reader, heard = SliceReader(window), []
    sizes = data.draw(st.lists(st.integers(0, 20), max_size=30))
    slices = {number: bytes([number]) * size for number, size in enumerate(sizes, 1)}
    while reader.next_number <= len(slices):
        low = max(1, reader.next_number - 3)
        number = data.draw(st.integers(low, min(reader.next_number + window - 1, len(slices))))
        known = reader.known(number)
        reader.check(number)
        if known:
            continue
        ready = reader.take(number, slices[number])
        assert reader.known(number)
        heard += ready
        assert len(heard) == reader.next_number - 1
        assert reader.held_bytes <= (window - 1) * 20
    assert heard == list(slices.values())
    assert reader.held_bytes == 0


@pytest.mark.parametrize("number", [0, -1, 5, 6, 1 << 40])
def test_numbers_out_of_the_window_are_refused(number: int) -> None:
    reader = SliceReader(4)
    for refuse in (lambda: reader.check(number), lambda: reader.take(number, b"x")):
        with pytest.raises(RemoteProtocolError) as caught:
            refuse()
        assert (caught.value.code, caught.value.field, caught.value.close) == ("sequence", "X-FileFlux-Seq", True)
    assert reader.held_bytes == 0
    assert reader.take(1, b"x") == [b"x"]
    reader.check(5)


def test_clear_forgets_what_came_too_early() -> None:
    reader = SliceReader(4)
    assert reader.take(3, b"xyz") == []
    assert reader.held_bytes == 3
    reader.clear()
    assert reader.held_bytes == 0
