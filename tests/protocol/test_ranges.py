from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.protocol.ranges import RangeSet

pytestmark = pytest.mark.unit

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(RANGES)
def test_behaves_like_a_set(ranges: list[tuple[int, int]]) -> None:
    plain: set[int] = set()
    merged = RangeSet()
    for first, last in ranges:
        merged.add(first, last)
        plain.update(range(first, last + 1))
        assert merged.count == len(plain)
    assert {index for index in range(80) if merged.contains(index)} == plain
    pairs = merged.to_tuple(1000)
    assert {index for first, last in pairs for index in range(first, last + 1)} == plain
    assert all(after[0] > before[1] + 1 for before, after in pairwise(pairs))
    assert RangeSet.from_ranges(reversed(pairs)) == merged
    for total in (0, 1, 30, 80):
        gaps = [index for first, last in merged.missing(total) for index in range(first, last + 1)]
        assert gaps == sorted(set(range(total)) - plain)


@given(RANGES, RANGES)
def test_what_is_in_one_and_not_in_the_other(ours: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> None:
    one, other = RangeSet.from_ranges(ours), RangeSet.from_ranges(theirs)
    rest = one.without(other)
    assert {index for first, last in rest for index in range(first, last + 1)} == {
        index for index in range(80) if one.contains(index) and not other.contains(index)
    }
    assert rest == sorted(rest)
    assert all(first <= last for first, last in rest)


def test_a_file_in_order_is_one_range() -> None:
    chunks = RangeSet()
    for index in range(1000):
        chunks.add(index, index)
    assert chunks.to_tuple(5) == ((0, 999),)
    assert repr(chunks) == "RangeSet(0-999)"


def test_limit_keeps_the_first() -> None:
    assert RangeSet.from_ranges([(0, 1), (5, 6), (9, 9)]).to_tuple(2) == ((0, 1), (5, 6))


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (4, 3)])
def test_no_range(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        RangeSet().add(first, last)


def test_is_not_hashable() -> None:
    with pytest.raises(TypeError):
        hash(RangeSet())
    assert RangeSet() != ()
