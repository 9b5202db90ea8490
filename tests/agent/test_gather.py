from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.protocol import messages as m
from fileflux.protocol.limits import DEFAULT_LIMITS, HAVE_PAGE_MAX, MAX_ITEMS
from flux_agent.transfer.gather import RANGES_MAX, Outgoing

pytestmark = pytest.mark.unit


def ack(wire_id, *ranges):
    return m.ChunksItem(wire_id, ranges)


def test_acks_of_one_transfer_melt_into_one_item():
    out = Outgoing(DEFAULT_LIMITS)
    for index in (3, 1, 2, 9):
        out.add(m.ChunkAck, ack(7, (index, index)))
    out.add(m.ChunkAck, ack(8, (0, 0)))
    assert list(out.messages()) == [m.ChunkAck((ack(7, (1, 3), (9, 9)), ack(8, (0, 0))))]
    assert not out


def test_only_the_newest_progress_goes_out_and_behind_everything_else():
    out = Outgoing(DEFAULT_LIMITS)
    for count in (1, 2):
        out.add(m.TransferProgress, m.TransferProgressItem(7, count, count))
    out.add(m.TransferErrorMessage, m.TransferErrorItem(7, "io", "x"))
    assert [type(message) for message in out.messages()] == [m.TransferErrorMessage, m.TransferProgress]


def test_items_are_split_by_number_and_by_size():
    out = Outgoing(DEFAULT_LIMITS)
    for index in range(MAX_ITEMS + 1):
        out.add(m.TransferReleased, m.TransferReleasedItem(index + 1))
    assert [len(message.items) for message in out.messages()] == [MAX_ITEMS, 1]
    for index in range(100):
        out.add(
            m.TransferAccept, m.TransferAcceptItem(index + 1, "destination", state="new", final_path="\u00e9" * 4000)
        )
    sizes = [len(message.items) for message in out.messages()]
    assert sum(sizes) == 100
    assert max(sizes) * 4000 * 6 <= DEFAULT_LIMITS.max_text_bytes


def test_what_was_not_asked_for_stays():
    out = Outgoing(DEFAULT_LIMITS)
    out.add(m.ChunkAck, ack(1, (0, 0)))
    out.add(m.TransferReleased, m.TransferReleasedItem(1))
    next(out.messages())
    assert [type(message) for message in out.messages()] == [m.TransferReleased]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 60_000), st.integers(0, 20_000)), min_size=1, max_size=40))
def test_ranges_keep_the_bounds_of_the_protocol_and_lose_nothing(adds):
    out = Outgoing(DEFAULT_LIMITS)
    wanted = {}
    for wire_id, first, length in adds:
        out.add(m.ChunkSame, ack(wire_id, (first, first + length)))
        wanted.setdefault(wire_id, set()).update(range(first, first + length + 1))
    got = {}
    for message in out.messages():
        assert len(message.items) <= MAX_ITEMS
        assert sum(len(item.chunks) for item in message.items) <= RANGES_MAX
        for item in message.items:
            assert all(last - first < HAVE_PAGE_MAX for first, last in item.chunks)
            assert all(a[1] + 1 < b[0] for a, b in zip(item.chunks, item.chunks[1:], strict=False))
            for first, last in item.chunks:
                got.setdefault(item.transfer_id, set()).update(range(first, last + 1))
    assert got == wanted
