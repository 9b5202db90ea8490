from __future__ import annotations

from collections import Counter

import pytest

from fileflux.workers.shards import shard_of

pytestmark = pytest.mark.unit

KEYS = [f"{number}:{number % 7}" for number in range(4000)]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_keys_spread_evenly(count):
    counts = Counter(shard_of(key, count) for key in KEYS)
    assert set(counts) == set(range(count))
    assert max(counts.values()) < 1.25 * len(KEYS) / count


def test_with_one_more_worker_only_its_keys_move():
    moved = [(shard_of(key, 3), shard_of(key, 4)) for key in KEYS if shard_of(key, 3) != shard_of(key, 4)]
    assert {after for _, after in moved} == {3}
    assert len(moved) < 0.35 * len(KEYS)


def test_beside_another_key_its_worker_gets_nothing_unless_it_is_alone():
    beside = [(shard_of(key, 4, "one"), shard_of(key, 4)) for key in KEYS]
    assert shard_of("one", 4) not in {number for number, _ in beside}
    assert all(number == alone for number, alone in beside if alone != shard_of("one", 4)), (
        "the others stay where they are"
    )
    assert set(Counter(number for number, _ in beside).values()) <= set(range(len(KEYS) // 4, len(KEYS) // 2))
    assert shard_of("any", 1, "one") == 0


def test_a_key_stays_where_it_is_in_every_process_and_may_hold_any_text():
    assert [shard_of(key, 5) for key in ("a", "b", "c", "42:7")] == [0, 3, 2, 1]
    assert shard_of("x\udcff", 4) in range(4)
