from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from fileflux.clock import FakeClock
from fileflux.protocol.limits import DEFAULT_LIMITS, Limits
from fileflux.protocol.websocket_frames import LARGE, binary_frame
from fileflux.protocol.websocket_reader import PARSE_FRAMES, WebSocketReader, _FrameMeter
from tests.contracts.link_suite import Recorder

pytestmark = pytest.mark.unit

LIMITS = Limits()
SIZES = st.lists(st.one_of(st.integers(0, 130), st.sampled_from([125, 126, 65535, 65536])), min_size=1, max_size=12)


def wire(size: int, *, mask: bool, opcode: Opcode = Opcode.BINARY) -> bytes:
    return Frame(opcode, bytes(size)).serialize(mask=mask)


@given(SIZES, st.booleans(), st.integers(1, 5))
def test_a_portion_ends_where_a_frame_ends(sizes: list[int], mask: bool, frames: int) -> None:
    parts = [wire(size, mask=mask) for size in sizes]
    ends = list(accumulate(len(part) for part in parts))
    meter, data, done = _FrameMeter(), memoryview(b"".join(parts)), 0
    while done < len(data):
        done += meter.portion(data[done:], frames)
        assert done in ends
    assert meter.portion(memoryview(b""), 1) == 0


@given(SIZES, st.booleans(), st.integers(1, 40))
def test_headers_may_be_cut_anywhere(sizes: list[int], mask: bool, step: int) -> None:
    data = memoryview(b"".join(wire(min(size, 300), mask=mask) for size in sizes))
    whole, cut = _FrameMeter(), _FrameMeter()
    assert whole.portion(data, 1000) == len(data)
    assert whole.begun == len(sizes)
    for at in range(0, len(data), step):
        assert cut.portion(data[at : at + step], 1000) == len(data[at : at + step])
    assert cut.between_frames


def test_one_turn_delivers_a_bounded_number_of_messages() -> None:
    violations: list[tuple[int, str]] = []
    protocol = Protocol(Side.SERVER, state=State.OPEN)
    reader = WebSocketReader(protocol, DEFAULT_LIMITS, FakeClock(), lambda *what: violations.append(what))
    seen = reader.handler = Recorder()
    reader.take(wire(0, mask=True) * (2 * PARSE_FRAMES + 1))
    for expected in (PARSE_FRAMES, 2 * PARSE_FRAMES, 2 * PARSE_FRAMES + 1):
        assert reader.behind
        reader.parse()
        assert len(seen.binaries) == expected
    assert not reader.behind
    reader.parse()
    assert not violations


def test_pings_have_a_rate() -> None:
    violations: list[int] = []
    clock = FakeClock()
    protocol = Protocol(Side.SERVER, state=State.OPEN)
    reader = WebSocketReader(protocol, DEFAULT_LIMITS, clock, lambda code, _: violations.append(code))
    reader.handler = Recorder()
    for _ in range(5):
        reader.take(wire(0, mask=True, opcode=Opcode.PING) * 100)
        reader.parse()
        clock.advance(1.0)
    assert not violations
    reader.take(wire(0, mask=True, opcode=Opcode.PING) * 101)
    reader.parse()
    assert violations == [1008]


def test_a_reader_that_does_not_listen_still_parses() -> None:
    protocol = Protocol(Side.SERVER, state=State.OPEN)
    reader = WebSocketReader(protocol, DEFAULT_LIMITS, FakeClock(), lambda *_: None)
    seen = reader.handler = Recorder()
    reader.listening = False
    reader.take(wire(5, mask=True) + Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    reader.parse()
    assert not seen.binaries
    assert protocol.state is State.CLOSING


class Sent:
    """What the library would have sent for these frames."""

    def __init__(self, side: Side) -> None:
        self.protocol = Protocol(side, state=State.OPEN)
        self.reader = WebSocketReader(self.protocol, LIMITS, FakeClock(), lambda *what: self.violations.append(what))
        self.violations: list[tuple[int, str]] = []
        self.seen = Recorder()
        self.reader.handler = self.seen

    def take(self, data: bytes, step: int, *, into: bool) -> None:
        """As a link does: ``into`` with a socket that reads into memory."""
        at = 0
        while at < len(data):
            room = self.reader.room if into else None
            if room is not None:
                count = min(step, len(room), len(data) - at)
                room[:count] = data[at : at + count]
                self.reader.filled(count)
            else:
                count = min(step, len(data) - at)
                self.reader.take(data[at : at + count])
            at += count
            self.reader.parse()
            while self.reader.behind:
                self.reader.parse()


FRAMES = st.lists(
    st.tuples(
        st.sampled_from([0, 5, 125, 126, LARGE - 1, LARGE, LARGE + 1, 65_535, 65_536, 100_000]),
        st.sampled_from(["text", "ping", "binary", "binary", "pieces"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(FRAMES, st.sampled_from(Side), st.sampled_from([13, 1000, LARGE + 1, 262_144]), st.booleans())
def test_large_frames_are_as_the_library_would_have_read_them(
    frames: list[tuple[int, str]], side: Side, step: int, into: bool
) -> None:
    mask = side is Side.SERVER
    made, wire_data, wanted, texts = Sent(side), b"", [], []
    for number, (size, kind) in enumerate(frames):
        data = (bytes([number % 128]) * 3 + bytes(range(128)) * 1000)[:size]
        if kind == "ping":
            wire_data += Frame(Opcode.PING, data[:100]).serialize(mask=mask)
        elif kind == "text":
            texts.append(data.decode())
            wire_data += Frame(Opcode.TEXT, data).serialize(mask=mask)
        elif kind == "pieces":
            wanted.append(data)
            wire_data += Frame(Opcode.BINARY, data[: size // 2], fin=False).serialize(mask=mask)
            wire_data += Frame(Opcode.CONT, data[size // 2 :]).serialize(mask=mask)
        else:
            wanted.append(data)
            wire_data += Frame(Opcode.BINARY, data).serialize(mask=mask)
    made.take(wire_data, step, into=into)
    assert [bytes(data) for data in made.seen.binaries] == wanted
    assert made.seen.texts == texts
    assert not made.violations


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 125, 126, LARGE - 1, LARGE, 65_535, 65_536, 1_000_000])
def test_what_is_sent_is_what_the_library_reads(size: int, masked: bool) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    for kind in (bytes, bytearray, memoryview):
        parts = binary_frame(kind(data), masked=masked)
        protocol = Protocol(Side.SERVER if masked else Side.CLIENT, state=State.OPEN, max_size=2**21)
        for part in parts:
            protocol.receive_data(bytes(part))
        (frame,) = protocol.events_received()
        assert isinstance(frame, Frame)
        assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.BINARY, True, data)
    if masked and size:
        keys = {bytes(b"".join(bytes(part) for part in binary_frame(b"x" * 200, masked=True))[4:8]) for _ in range(20)}
        assert len(keys) == 20, "a key of its own for each frame"


@pytest.mark.parametrize("change", ["rsv", "not masked", "too long"])
def test_what_is_wrong_with_a_large_frame_is_for_the_library(change: str) -> None:
    made = Sent(Side.SERVER)
    data = bytearray(wire(LARGE, mask=change != "not masked"))
    if change == "rsv":
        data[0] |= 0x40
    if change == "too long":
        data = bytearray(wire(LIMITS.max_binary_bytes + 1, mask=True))
    made.take(bytes(data), 50_000, into=True)
    assert not made.seen.binaries
    assert made.protocol.close_sent is not None or made.protocol.state is not State.OPEN


def test_a_large_frame_between_the_pieces_of_a_message_is_refused() -> None:
    made = Sent(Side.SERVER)
    made.take(Frame(Opcode.BINARY, b"begin", fin=False).serialize(mask=True) + wire(LARGE, mask=True), 10**6, into=True)
    assert not made.seen.binaries
    assert made.protocol.close_sent is not None


def test_a_large_frame_of_a_link_that_closes_is_not_delivered() -> None:
    made = Sent(Side.SERVER)
    made.reader.listening = False
    made.take(wire(LARGE, mask=True), 10**6, into=True)
    assert not made.seen.binaries
