"""Which chunks are compared when, and what of them is told and read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.protocol.limits import KIB, MIB
from fileflux.protocol.ranges import RangeSet
from flux_agent.transfer.comparison import DIFFERENT_MAX, EARLY_MAX, SMALL, STEP_BYTES, Comparison, in_portions

pytestmark = pytest.mark.unit

CHUNK = 8 * MIB
STEP = STEP_BYTES // CHUNK
MANY = 1000


def hashes(indexes: Sequence[int], changed: Sequence[int] = ()) -> bytes:
    return b"".join(hashlib.sha256(b"%d %d" % (index, index in changed)).digest() for index in indexes)


def known(count: int, total: int = MANY, chunk_size: int = CHUNK) -> Comparison:
    comparison = Comparison(chunk_size, in_flight=4)
    comparison.add_page(memoryview(hashes(range(count))), total)
    return comparison


def run(comparison: Comparison, changed: Sequence[int] = (), *, early: bool = False) -> tuple[RangeSet, RangeSet]:
    """Compare as far as it goes: what was found equal, and what is to be read."""
    equal, read = RangeSet(), RangeSet()
    while (following := comparison.next_step(early=early)) is not None:
        first, count = following
        found = comparison.compared(first, hashes(range(first, first + count), changed))
        for into, ranges in zip((equal, read), found, strict=True):
            for one in ranges:
                into.add(*one)
    return equal, read


def test_everything_the_destination_has_is_compared_once_and_the_rest_is_read() -> None:
    comparison = known(21)
    equal, read = run(comparison, changed=[3, 20])
    assert equal.to_tuple(9) == ((0, 2), (4, 19))
    assert read.to_tuple(9) == ((3, 3), (20, 20))
    assert comparison.equal == equal
    assert comparison.settled() == ((0, 2), (4, 19))
    assert not comparison.pending


def test_one_task_at_a_time_until_something_is_equal() -> None:
    comparison = known(40)
    first = comparison.next_step(early=True)
    assert first == (0, STEP)
    assert comparison.next_step(early=True) is None
    comparison.compared(0, hashes(range(STEP)))
    assert [comparison.next_step(early=True) for _ in range(5)] == [*((STEP * n, STEP) for n in range(1, 5)), None]
    assert comparison.settled() == ((0, 39),), "what is being compared is not read for sending meanwhile"


@pytest.mark.parametrize("first", [0, 10])
def test_it_is_given_up_where_more_differ_than_are_equal_and_the_rest_is_read(first: int) -> None:
    comparison = known(100)
    equal, read = run(comparison, changed=range(first, 100))
    assert comparison.next_step(early=False) is None
    assert not comparison.pending
    compared = first + first + DIFFERENT_MAX + STEP
    assert equal.count == first
    assert read.to_tuple(9) == ((first, 99),)
    assert comparison.settled() == (((0, first - 1),) if first else ())
    assert comparison._asked <= compared
    assert comparison.have(50) == hashes([50]).hex(), "each of the rest is still compared when it is read"
    assert comparison.have(100) is None


@pytest.mark.parametrize(("total", "chunk_size"), [(SMALL // CHUNK - 1, CHUNK), (10, 256 * KIB)])
def test_small_files_are_compared_as_they_are_read(total: int, chunk_size: int) -> None:
    comparison = known(total, total, chunk_size)
    assert comparison.next_step(early=True) is None
    assert not comparison.pending
    assert comparison.settled() == ()


def test_before_the_resume_no_more_than_the_hub_can_take_at_once() -> None:
    comparison = known(EARLY_MAX + 100, EARLY_MAX + 200)
    equal, _ = run(comparison, early=True)
    assert equal.count == EARLY_MAX
    assert comparison.pending
    equal, _ = run(comparison)
    assert equal.count == 100


def test_small_chunks_are_compared_in_larger_steps() -> None:
    assert known(1000, 1000, 256 * KIB).next_step(early=True) == (0, STEP_BYTES // (256 * KIB))


@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 9000)), max_size=30))
def test_portions_say_the_same(pairs: list[tuple[int, int]]) -> None:
    ranges = RangeSet.from_ranges((first, first + more) for first, more in pairs)
    portions = list(in_portions(ranges.to_tuple(100)))
    assert RangeSet.from_ranges(one for portion in portions for one in portion) == ranges
    sizes = [sum(last - first + 1 for first, last in portion) for portion in portions]
    assert all(0 < size <= EARLY_MAX for size in sizes)
    assert all(size == EARLY_MAX for size in sizes[:-1])
