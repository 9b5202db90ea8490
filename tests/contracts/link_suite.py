"""What every Link must do, whichever transport carries it. An implementation's test inherits from LinkSuite and gives a ``pair``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from fileflux.errors import LocalProtocolError
from fileflux.protocol.limits import MIB
from fileflux.protocol.link import Buffer, Link


@dataclass
class Recorder:
    """A LinkHandler that remembers. ``order`` has the kinds of messages as they came."""

    texts: list[str] = field(default_factory=list)
    binaries: list[bytes] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    lives: int = 0
    closed: list[tuple[int, str]] = field(default_factory=list)
    after_close: list[str] = field(default_factory=list)
    react: Callable[[str], Any] | None = None

    def on_text(self, text: str) -> None:
        self._note("text")
        self.texts.append(text)
        if self.react is not None:
            self.react(text)

    def on_binary(self, data: Buffer) -> None:
        self._note("binary")
        self.binaries.append(bytes(data))

    def on_life(self) -> None:
        self.lives += 1
        if self.closed:
            self.after_close.append("life")

    def on_closed(self, code: int, reason: str) -> None:
        self._note("closed")
        self.closed.append((code, reason))

    def _note(self, what: str) -> None:
        if self.closed:
            self.after_close.append(what)
        self.order.append(what)


class LinkPair(Protocol):
    """Two connected links, not started yet. ``cut`` breaks the connection without a farewell."""

    left: Link
    right: Link

    def until(self, holds: Callable[[], object]) -> None: ...
    def settle(self) -> None: ...
    def cut(self) -> None: ...


class LinkSuite:
    """Inherit as ``class TestXLink(LinkSuite)`` with a fixture ``pair`` that gives a LinkPair and closes it."""

    @pytest.fixture
    def left(self, pair: LinkPair) -> Recorder:
        recorder = Recorder()
        pair.left.start(recorder)
        return recorder

    @pytest.fixture
    def right(self, pair: LinkPair) -> Recorder:
        recorder = Recorder()
        pair.right.start(recorder)
        return recorder

    def test_texts_and_binaries_arrive_in_order_both_ways(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        for number in range(50):
            pair.left.send_text(f"l{number} é")
            pair.right.send_text(f"r{number}")
            pair.left.send_binary(bytes([number]) * number)
        pair.until(lambda: len(right.texts) == len(left.texts) == len(right.binaries) == 50)
        assert right.texts == [f"l{number} é" for number in range(50)]
        assert left.texts == [f"r{number}" for number in range(50)]
        assert right.binaries == [bytes([number]) * number for number in range(50)]
        assert left.lives
        assert right.lives

    def test_large_messages_are_whole(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        data = bytes(range(256)) * 4096
        for view in (data, bytearray(data), memoryview(data)[1:]):
            pair.left.send_binary(view)
            pair.right.send_binary(view)
        pair.until(lambda: len(right.binaries) == len(left.binaries) == 3)
        assert right.binaries == left.binaries == [data, data, data[1:]]

    def test_the_smallest_and_the_largest_messages(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        texts, binaries = ["", "x" * MIB, ""], [b"", b"y" * 2 * MIB, b""]
        for text, data in zip(texts, binaries, strict=True):
            pair.left.send_text(text)
            pair.left.send_binary(data)
        pair.until(lambda: len(right.texts) == len(right.binaries) == 3)
        assert right.texts == texts
        assert right.binaries == binaries
        assert pair.left.queued_bytes == 0

    def test_texts_overtake_queued_binaries(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        for _ in range(20):
            pair.left.send_binary(bytes(1 << 20))
        pair.left.send_text("urgent")
        pair.until(lambda: len(right.binaries) == 20 and right.texts)
        assert "text" in right.order[:3]

    def test_queued_bytes_and_on_sent(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        sent: list[int] = []
        for number in range(8):
            pair.left.send_binary(bytes(1 << 20), on_sent=lambda number=number: sent.append(number))
        assert pair.left.queued_bytes == 8 << 20
        pair.until(lambda: len(right.binaries) == 8 and len(sent) >= 8)
        assert sent == list(range(8))
        assert pair.left.queued_bytes == 0

    def test_what_may_be_cut_arrives_in_its_order_and_is_given_back_once(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        def cut(data: Buffer, most: int) -> list[Buffer]:
            return [data[at : at + most] for at in range(0, len(data), most)]

        sent: list[int] = []
        said = [bytes([number]) * size for number, size in enumerate((1 << 20, 0, 10, 1 << 20, 200_000))]
        for number, data in enumerate(said):
            pair.left.send_binary(data, on_sent=lambda number=number: sent.append(number), cut=cut)
        assert pair.left.queued_bytes == sum(map(len, said))
        pair.until(lambda: len(b"".join(right.binaries)) == sum(map(len, said)) and len(sent) >= len(said))
        assert b"".join(right.binaries) == b"".join(said)
        assert b"" in right.binaries
        assert sent == list(range(5))
        assert pair.left.queued_bytes == 0

    def test_on_sent_may_send_more(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        left_to_send = 30

        def more() -> None:
            nonlocal left_to_send
            if left_to_send:
                left_to_send -= 1
                pair.left.send_binary(b"x" * 1000, on_sent=more)

        more()
        pair.until(lambda: len(right.binaries) == 30)

    def test_drop_forgets_only_its_tag_and_gives_back(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        sent: list[str] = []
        for number in range(30):
            tag = number % 2 + 1
            pair.left.send_binary(bytes([tag]) * 500_000, tag=tag, on_sent=lambda tag=tag: sent.append(f"tag {tag}"))
        dropped = pair.left.drop(2)
        assert dropped % 500_000 == 0
        assert dropped >= 14 * 500_000
        assert sent.count("tag 2") == dropped // 500_000
        pair.until(lambda: len(right.binaries) == 30 - dropped // 500_000 and len(sent) >= 30)
        assert sum(data[0] == 1 for data in right.binaries) == 15
        assert pair.left.drop(2) == 0
        assert (sent.count("tag 1"), sent.count("tag 2")) == (15, 15)

    def test_close_says_why_once_and_gives_back_all_buffers(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        sent: list[int] = []
        pair.left.send_text("last words")
        for number in range(5):
            pair.left.send_binary(bytes(1 << 20), on_sent=lambda number=number: sent.append(number))
        pair.left.close(4409, "a newer session took over")
        pair.left.close(1000, "again")
        pair.until(lambda: left.closed and right.closed)
        assert left.closed == right.closed == [(4409, "a newer session took over")]
        assert right.texts == ["last words"]
        assert sorted(sent) == list(range(5))
        pair.left.send_text("too late")
        pair.left.send_binary(b"too late", on_sent=lambda: sent.append(99))
        assert 99 in sent
        assert pair.left.queued_bytes == 0
        pair.settle()
        assert not left.after_close
        assert not right.after_close

    def test_nothing_is_delivered_after_a_close(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        right.react = lambda text: pair.right.close(1008, "enough") if text == "3" else None
        for number in range(100):
            pair.left.send_text(str(number))
        pair.until(lambda: left.closed and right.closed)
        assert right.texts == ["0", "1", "2", "3"]
        assert left.closed == [(1008, "enough")]

    @pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2000, 5000, 70000])
    def test_close_takes_only_codes_that_may_be_sent(
        self, pair: LinkPair, left: Recorder, right: Recorder, code: int
    ) -> None:
        with pytest.raises(LocalProtocolError):
            pair.left.close(code, "never on the wire")
        pair.left.send_text("goes on")
        pair.until(lambda: right.texts)
        assert not left.closed

    def test_a_long_reason_is_cut_between_characters(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        pair.left.close(1001, "é" * 100)
        pair.until(lambda: left.closed and right.closed)
        assert left.closed == right.closed == [(1001, "é" * 61)]

    def test_a_handler_that_raises_ends_its_link_only(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        def fail(text: str) -> None:
            raise ValueError(text)

        sent: list[int] = []
        right.react = fail
        pair.right.send_binary(bytes(1 << 20), on_sent=lambda: sent.append(1))
        pair.left.send_text("boom")
        pair.left.send_text("never heard")
        pair.until(lambda: right.closed)
        assert right.closed == [(1006, "ValueError")]
        assert right.texts == ["boom"]
        assert not right.after_close
        pair.until(lambda: sent)

    # Handing over

    def test_a_second_handler_gets_everything_from_then_on(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        for number in range(3):
            pair.left.send_text(f"first {number}")
        pair.until(lambda: len(right.texts) == 3)
        second = Recorder()
        pair.right.start(second)
        for number in range(3):
            pair.left.send_text(f"second {number}")
            pair.left.send_binary(b"second")
            pair.right.send_text("still one link")
        pair.until(lambda: len(second.texts) == len(second.binaries) == len(left.texts) == 3)
        assert second.texts == [f"second {number}" for number in range(3)]
        assert second.lives
        pair.left.close(1001, "bye")
        pair.until(lambda: second.closed and left.closed)
        assert second.closed == [(1001, "bye")]
        assert right.texts == [f"first {number}" for number in range(3)]
        assert not right.binaries
        assert not right.closed

    def test_handing_over_in_the_middle_of_a_delivery_loses_nothing(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        second = Recorder()
        right.react = lambda text: pair.right.start(second) if text == "4" else None
        for number in range(10):
            pair.left.send_text(str(number))
        pair.until(lambda: len(right.texts) + len(second.texts) == 10)
        assert right.texts == ["0", "1", "2", "3", "4"]
        assert second.texts == ["5", "6", "7", "8", "9"]

    def test_a_link_that_is_over_tells_a_new_handler_at_once(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        pair.left.close(4409, "over")
        pair.until(lambda: left.closed and right.closed)
        for link in (pair.left, pair.right):
            late = Recorder()
            link.start(late)
            assert late.closed == [(4409, "over")]
            assert late.order == ["closed"]
        pair.settle()
        assert len(left.closed) == len(right.closed) == 1

    def test_a_link_that_was_closed_before_its_start_tells_so_at_once(self, pair: LinkPair) -> None:
        sent: list[int] = []
        pair.left.send_text("nobody will say this")
        pair.left.send_binary(bytes(1000), on_sent=lambda: sent.append(1))
        pair.left.close(1000, "not needed any more")
        assert sent == [1]
        late = Recorder()
        pair.left.start(late)
        assert late.closed == [(1000, "not needed any more")]

    # The connection breaks

    def test_a_connection_that_is_cut_in_the_middle_gives_back_every_buffer_once(
        self, pair: LinkPair, left: Recorder, right: Recorder
    ) -> None:
        sent: list[int] = []
        for number in range(40):
            pair.left.send_binary(bytes(1 << 20), on_sent=lambda number=number: sent.append(number))
        pair.until(lambda: right.binaries)
        pair.cut()
        pair.until(lambda: left.closed and right.closed)
        assert len(right.binaries) < 40
        assert sorted(sent) == list(range(40))
        assert not right.after_close

    def test_a_cut_connection_closes_both_and_gives_back(self, pair: LinkPair, left: Recorder, right: Recorder) -> None:
        sent: list[int] = []
        for number in range(40):
            pair.left.send_binary(bytes(1 << 20), on_sent=lambda number=number: sent.append(number))
        pair.cut()
        pair.until(lambda: left.closed and right.closed)
        assert len(left.closed) == len(right.closed) == 1
        assert sorted(sent) == list(range(40))
        assert not left.after_close
