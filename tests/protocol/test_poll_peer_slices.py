"""The hub's end, slice by slice: what it takes, in which order, and what it refuses before a byte is read."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB
from fileflux.protocol.poll_peer import Shared
from fileflux.protocol.records import Kind, head_of
from tests.protocol.poll_end import WINDOW, Hub, hub, text

# A fixture, used here by name.
__all__ = ["hub"]

pytestmark = pytest.mark.unit


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
    parts = list(pairwise(edges))
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
    for each in hubs[:3]:
        assert each.slice(2, bytes(MIB)) is None
    assert hubs[3].slice(2, bytes(MIB)) == "overloaded"
    assert hubs[3].slice(2, bytes(512 * KIB), 0, MIB) == "overloaded", "in parts as well"
    assert hubs[3].slice(1, text("what is due is always taken")) is None
    assert hubs[0].slice(2, bytes(MIB)) is None, "and what is here already"
    hubs[1].link.lost("gone")
    hubs[1].soon()
    assert shared.held == 2 * MIB
    assert hubs[3].slice(3, bytes(MIB)) is None
    for each in hubs:
        each.link.lost("gone")
        each.soon()
    assert shared.held == 0


def test_bodies_that_are_read_at_once_are_bounded() -> None:
    limits = replace(DEFAULT_LIMITS, slice_reorder_budget=3 * MIB)
    shared = Shared(limits)
    hub = Hub(limits, shared)
    peer = hub.peer
    with peer.reading(1, MIB):
        assert peer.refuses(1, 0, MIB, MIB) is None, "the agent may have given the first connection up"
        with peer.reading(1, MIB):
            assert peer.refuses(1, 0, MIB, MIB) == "overloaded"
            assert shared.reading == MIB, "what is due has its room, what comes twice counts"
            assert peer.refuses(2, 0, MIB, MIB) is None
            with peer.reading(2, 2 * MIB):
                assert peer.refuses(3, 0, MIB, MIB) == "overloaded"
    assert shared.reading == 0
    assert peer.refuses(3, 0, MIB, MIB) is None


def test_one_link_reads_so_many_bodies_at_once_whatever_they_are() -> None:
    hub = Hub()
    for number in range(1, 20):
        assert hub.slice(number, text("x")) is None
    with ExitStack() as open_bodies:
        for number in range(1, 2 * DEFAULT_LIMITS.slices_in_flight + 1):
            assert hub.peer.refuses(number, 0, MIB, MIB) is None
            open_bodies.enter_context(hub.peer.reading(number, MIB))
        assert hub.peer.refuses(18, 0, MIB, MIB) == "overloaded"
    assert hub.peer.refuses(18, 0, MIB, MIB) is None


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
