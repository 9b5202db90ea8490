from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from fileflux.clock import FakeClock
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.protocol.websocket_reader import PARSE_FRAMES, WebSocketReader, _FrameMeter
from tests.contracts.link_suite import Recorder

pytestmark = pytest.mark.unit

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
    for at in range(0, len(data), step):
        assert cut.portion(data[at : at + step], 1000) == len(data[at : at + step])
    assert (cut._left, cut._head) == (0, b"")


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
