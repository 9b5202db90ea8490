from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_agent.transfer.regions import UNIT, Region
from flux_agent.transfer.turns import Turns

pytestmark = pytest.mark.unit


class Memory:
    """A slot of plain memory."""

    def __init__(self, size, offset=0):
        self.offset = offset
        self.size = size
        self.view = memoryview(bytearray(size))

    def release(self):
        self.view.release()


def make(units, offset=0):
    return Region(Memory(units * UNIT, offset), Turns(pytest.fail).post)


def test_offsets_count_from_the_start_of_the_arena_and_views_are_exact():
    region = make(4, offset=8 * UNIT)
    got = []
    region.request(10, got.append)
    region.request(UNIT + 1, got.append)
    assert [slot.offset for slot in got] == [8 * UNIT, 9 * UNIT]
    assert [len(slot.view) for slot in got] == [10, UNIT + 1]
    assert region.in_use == 3 * UNIT


def test_a_large_waiter_is_served_before_later_small_ones():
    region = make(4)
    held, got = [], []
    region.request(2 * UNIT, held.append)
    region.request(4 * UNIT, lambda slot: got.append(("large", slot)))
    region.request(1, lambda slot: got.append(("small", slot)))
    assert got == []
    held[0].release()
    assert [name for name, _ in got] == ["large"]
    got[0][1].release()
    assert [name for name, _ in got] == ["large", "small"]


def test_a_second_release_does_nothing():
    region = make(2)
    got = []
    region.request(UNIT, got.append)
    region.request(UNIT, got.append)
    got[0].release()
    got[0].release()
    assert region.in_use == UNIT


def test_what_can_never_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        make(2).request(2 * UNIT + 1, pytest.fail)


@given(st.lists(st.tuples(st.integers(1, 5 * UNIT), st.integers(0, 30)), max_size=60))
def test_slots_never_overlap_and_everything_comes_back(steps):
    region = make(8)
    live = []
    for size, pick in steps:
        region.request(size, live.append)
        if live and pick < len(live):
            live.pop(pick).release()
        taken = sorted((slot.offset, slot.offset + -(-slot.size // UNIT) * UNIT) for slot in live)
        assert all(end <= start for (_, end), (start, _) in pairwise(taken))
        assert region.in_use == sum(end - start for start, end in taken)
    while live:
        live.pop().release()
    assert region.in_use == 0
