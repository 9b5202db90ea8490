from __future__ import annotations

import ctypes
import itertools
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.errors import LocalProtocolError
from fileflux.workers.slots import UNIT, Arena, ArenaView


@pytest.fixture
def arena():
    arena = Arena(8 * UNIT)
    yield arena
    arena.close()


def test_first_fit_in_units(arena):
    one, two, three = arena.alloc(1), arena.alloc(UNIT + 1), arena.alloc(UNIT)
    assert [(slot.offset, slot.size) for slot in (one, two, three)] == [(0, 1), (UNIT, UNIT + 1), (3 * UNIT, UNIT)]
    assert arena.in_use == 4 * UNIT
    two.release()
    assert arena.alloc(2 * UNIT).offset == UNIT
    one.release()
    assert arena.alloc(2 * UNIT).offset == 4 * UNIT
    assert arena.alloc(1).offset == 0


def test_full_gives_none_and_gaps_grow_together_again(arena):
    slots = [arena.alloc(UNIT) for _ in range(8)]
    assert arena.alloc(1) is None
    for index in (1, 3, 5, 7, 0, 2, 4, 6):
        slots[index].release()
    assert arena.in_use == 0
    assert arena.alloc(8 * UNIT).offset == 0


@pytest.mark.parametrize("size", [0, -1, 8 * UNIT + 1])
def test_impossible_sizes(arena, size):
    with pytest.raises(LocalProtocolError):
        arena.alloc(size)


def test_views_are_exact_writable_and_end_with_the_slot(arena):
    slot = arena.alloc(100)
    view = slot.view
    assert (len(view), view.readonly) == (100, False)
    view[:] = b"x" * 100
    slot.release()
    slot.release()
    assert arena.in_use == 0
    with pytest.raises(ValueError, match="released"):
        view[0]


def test_a_second_release_does_not_free_the_next_holders_slot(arena):
    old = arena.alloc(UNIT)
    old.release()
    new = arena.alloc(UNIT)
    old.release()
    assert arena.in_use == UNIT
    new.view[0] = 1


def test_a_slot_released_while_it_is_looked_at_is_free_all_the_same(arena):
    slot = arena.alloc(UNIT)
    holder = ctypes.c_char.from_buffer(slot.view)
    slot.release()
    assert arena.in_use == 0
    arena.close()
    del holder


def test_waiters_are_called_once_in_order_and_once_each(arena):
    called: list[str] = []

    def again() -> None:
        called.append("again")
        arena.on_free(again)

    def first() -> None:
        called.append("first")

    arena.on_free(first)
    arena.on_free(again)
    arena.on_free(first)
    one, two = arena.alloc(1), arena.alloc(1)
    one.release()
    assert called == ["first", "again"]
    one.release()
    assert called == ["first", "again"]
    two.release()
    assert called == ["first", "again", "again"]


def test_a_waiter_can_take_what_became_free_and_errors_do_not_reach_the_releaser(arena):
    whole = arena.alloc(8 * UNIT)
    taken = []

    def broken() -> None:
        raise RuntimeError("as asked")

    arena.on_free(broken)
    arena.on_free(lambda: taken.append(arena.alloc(8 * UNIT)))
    whole.release()
    assert taken[0].size == 8 * UNIT


def test_after_close_nothing_is_handed_out_and_late_releases_do_nothing():
    arena = Arena(UNIT)
    slot = arena.alloc(10)
    arena.close()
    arena.close()
    slot.release()
    assert arena.alloc(10) is None
    with pytest.raises(ValueError, match="released"):
        slot.view[0]


def test_both_sides_see_the_same_bytes(arena):
    other = ArenaView(arena.fd, arena.size)
    arena.alloc(UNIT)
    slot = arena.alloc(5)
    slot.view[:] = b"hello"
    with other.view(slot.offset, 5) as view:
        assert bytes(view) == b"hello"
        view[0:1] = b"j"
    assert bytes(slot.view) == b"jello"
    other.close()


@pytest.mark.parametrize(
    "slot", [(-1, 1), (0, 0), (0, -1), (0, 8 * UNIT + 1), (8 * UNIT, 1), (1, 8 * UNIT), ("0", 1), (0, None)]
)
def test_the_other_side_refuses_what_is_outside(arena, slot):
    other = ArenaView(arena.fd, arena.size)
    with pytest.raises(LocalProtocolError):
        other.view(*slot)
    other.close()


def test_the_other_side_refuses_a_file_that_is_too_small(arena):
    with pytest.raises(LocalProtocolError):
        ArenaView(arena.fd, arena.size + 1)


def test_the_descriptor_is_not_inherited_by_accident(arena):
    assert not os.get_inheritable(arena.fd)


def test_many_threads_never_share_a_slot():
    arena = Arena(16 * UNIT)
    wrong: list[int] = []

    def work(mark: int) -> None:
        for _ in range(300):
            slot = arena.alloc(mark * 700)
            if slot is None:
                continue
            slot.view[:] = bytes([mark]) * slot.size
            if bytes(slot.view) != bytes([mark]) * slot.size:
                wrong.append(mark)
            slot.release()

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert arena.in_use == 0
    arena.close()


@given(st.lists(st.one_of(st.integers(1, 6 * UNIT), st.integers(-8, -1)), max_size=60))
def test_slots_never_overlap_and_everything_comes_back(steps):
    arena = Arena(16 * UNIT)
    held = []
    try:
        for step in steps:
            if step > 0:
                slot = arena.alloc(step)
                if slot is not None:
                    held.append(slot)
            elif held:
                held.pop(step % len(held)).release()
            spans = sorted((slot.offset, slot.offset + slot.size) for slot in held)
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
            assert arena.in_use == sum(-(-slot.size // UNIT) * UNIT for slot in held)
        for slot in held:
            slot.release()
        assert arena.alloc(16 * UNIT).offset == 0
    finally:
        arena.close()
