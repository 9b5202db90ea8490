"""The relay's accounts: every count stays ordered, whatever comes; nothing is granted twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileflux.actors.shares import Budget, DestinationBuffer, next_grant
from fileflux.actors.stream import Stream
from fileflux.errors import RemoteProtocolError
from fileflux.protocol.frames import FrameHeader, Piece
from fileflux.protocol.limits import DEFAULT_LIMITS, MIB

pytestmark = pytest.mark.unit

CHUNK = 256 * 1024
HASH = b"h" * 32


def stream(chunks: int = 4, up_to: int = 10 * CHUNK, wire_id: int = 7) -> Stream:
    made = Stream(wire_id, chunks * CHUNK, CHUNK, chunks, started=True)
    made.up_to = up_to
    return made


def header(index: int, total: int = 4, payload: int = CHUNK) -> FrameHeader:
    return FrameHeader(7, index, total, HASH, CHUNK, payload, 0 if payload == CHUNK else 1)


def piece(index: int, offset: int, length: int, head: FrameHeader | None = None) -> Piece:
    return Piece(7, index, offset, memoryview(bytes(length)), head if offset == 0 else None)


def test_pieces_make_a_frame_and_an_ack_frees_it() -> None:
    one = stream()
    head = header(0)
    assert one.take_piece(piece(0, 0, 100_000, head)) is None
    assert one.take_piece(piece(0, 100_000, head.frame_size - 100_000)) == head
    assert one.received == head.frame_size
    one.sent_on(head.frame_size)
    assert one.acknowledge(0, 0) == 1
    assert one.acked_bytes == one.drained == one.received
    assert one.bytes_done() == CHUNK
    assert one.acknowledge(0, 0) == 0, "a repeated ack changes nothing"


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (lambda s: s.take_frame(header(0, total=5)), "bad_geometry"),
        (lambda s: s.take_frame(replace(header(0), size=CHUNK - 1, payload_size=CHUNK - 1)), "bad_geometry"),
        (lambda s: s.take_piece(piece(0, 57, 10)), "piece_order"),
        (lambda s: s.take_piece(piece(0, 0, CHUNK + 58, header(0))), "piece_order"),
        (lambda s: s.acknowledge(2, 2), "bad_ack"),
        (lambda s: s.acknowledge(4, 4), "bad_index"),
        (lambda s: s.acknowledge(0, 2**31), "bad_index"),
        (lambda s: s.same(3, 9), "bad_index"),
        (lambda s: s.refuse(1), "bad_ack"),
    ],
)
def test_what_does_not_belong_is_refused_and_changes_nothing(bad, code) -> None:
    one = stream()
    with pytest.raises(RemoteProtocolError) as caught:
        bad(one)
    assert caught.value.code == code
    assert (one.received, one.acked_bytes, one.acked.count) == (0, 0, 0)


def test_bytes_beyond_the_window_close_the_link() -> None:
    one = stream(up_to=CHUNK)
    with pytest.raises(RemoteProtocolError) as caught:
        one.take_frame(header(0))
    assert caught.value.code == "window"
    assert caught.value.close


def test_before_the_start_nothing_may_come() -> None:
    one = stream()
    one.started = False
    with pytest.raises(RemoteProtocolError, match="window"):
        one.take_frame(header(0))


def test_a_new_link_levels_the_counts_and_late_acks_free_nothing() -> None:
    one = stream()
    one.take_frame(header(0))
    one.take_piece(piece(1, 0, 1000, header(1)))
    assert one.relink() == one.up_to
    assert one.outstanding == one.reserved == 0
    before = one.acked_bytes
    one.acknowledge(0, 0)
    assert one.acked_bytes == before
    assert one.acked.contains(0)


def test_a_chunk_that_was_acknowledged_before_it_came_again_frees_itself() -> None:
    one = stream()
    one.take_frame(header(0))
    one.relink()
    one.up_to += 10 * CHUNK
    head = header(0)
    one.take_piece(piece(0, 0, 1000, head))
    one.acknowledge(0, 0)
    one.take_piece(piece(0, 1000, head.frame_size - 1000))
    assert one.frames == {}
    assert one.acked_bytes == one.received
    assert one.left_max == 3 * one.frame_max, "the other chunks can still be granted"
    assert one.acknowledge(0, 0) == 0


def test_equal_chunks_count_when_the_destination_acknowledges_them() -> None:
    one = stream()
    with pytest.raises(RemoteProtocolError, match="at 0 hashes"):
        one.same(0, 3)
    one.have_seen = 4
    one.same(0, 3)
    assert not one.done
    one.acknowledge(0, 3)
    assert one.done
    assert one.reused == 4 * CHUNK
    assert one.bytes_wire == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["send", "drain", "ack"])), max_size=120),
    st.integers(1, 6),
)
def test_grants_never_overdraw_either_budget(steps: list[tuple[int, str]], count: int) -> None:
    limits = replace(DEFAULT_LIMITS, relay_budget=4 * MIB, relay_share_max=2 * MIB)
    budget, buffer = Budget(limits), DestinationBuffer(8 * MIB)
    streams = [Stream(number + 1, 64 * MIB, MIB, 64) for number in range(count)]
    admitted = [one for one in streams if buffer.admit(one)]
    for one in admitted:
        one.started = True
        budget.add(one)
    for who, what in steps:
        one = admitted[who % len(admitted)]
        granted = next_grant(one, buffer.limit(one, limits.window_max, crowded=False), budget.share(one))
        if granted is not None:
            one.up_to = granted
            budget.update(one)
            buffer.update(one)
        if what == "send":
            one.received = one.up_to
        elif what == "drain":
            one.drained = one.received
        elif one.drained > one.acked_bytes:
            one.acked_bytes = one.drained
        budget.update(one)
        buffer.update(one)
        assert budget.reserved == sum(other.reserved for other in admitted) <= limits.relay_budget
        assert sum(max(other.frame_max, other.outstanding) for other in admitted) <= buffer.size


def test_a_stream_is_admitted_only_if_a_whole_frame_can_be_promised() -> None:
    buffer = DestinationBuffer(20 * MIB)
    large = [Stream(number, 100 * MIB, 8 * MIB, 13) for number in (1, 2, 3)]
    assert [buffer.admit(one) for one in large] == [True, True, False]
    buffer.remove(1)
    assert buffer.admit(large[2])


def test_a_stream_alone_is_always_admitted() -> None:
    assert DestinationBuffer(MIB).admit(Stream(1, 100 * MIB, 64 * MIB, 2))


def test_a_slow_destination_gets_a_smaller_share() -> None:
    limits = replace(DEFAULT_LIMITS, relay_budget=8 * MIB)
    budget = Budget(limits)
    slow, quick = stream(wire_id=1, up_to=0), stream(wire_id=2, up_to=0)
    budget.add(slow)
    budget.add(quick)
    assert budget.share(slow) == budget.share(quick) == 4 * MIB
    others = [stream(wire_id=number, up_to=0) for number in (3, 4)]
    for one in others:
        budget.add(one)
    budget.set_slow({1, 3, 4})
    assert budget.share(slow) < budget.share(quick)
