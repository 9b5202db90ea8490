from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_agent.transfer.digest import ChunkDigest

pytestmark = pytest.mark.unit


def sha(index):
    return hashlib.sha256(str(index).encode()).digest()


@given(st.permutations(range(12)))
def test_any_order_gives_the_digest_of_the_row(order):
    digest = ChunkDigest(12)
    known = set()
    for index in order:
        assert digest.add(index, sha(index))
        known.add(index)
        assert digest.prefix == next((i for i in range(13) if i not in known), 13)
    assert digest.whole
    assert digest.hexdigest() == hashlib.sha256(b"".join(sha(index) for index in range(12))).hexdigest()


def test_another_hash_for_a_known_chunk_is_told_and_not_taken():
    digest = ChunkDigest(2)
    assert digest.add(0, sha(0))
    assert digest.add(0, sha(0))
    assert not digest.add(0, sha(1))
    assert digest.hash_of(0) == sha(0).hex()


def test_rows_count_like_single_chunks():
    digest = ChunkDigest(4)
    digest.add(3, sha(3))
    assert not digest.any_known(0, 2)
    digest.add_row(0, sha(0) + sha(1) + sha(2))
    assert digest.any_known(2, 2)
    assert digest.whole
    assert digest.hexdigest() == hashlib.sha256(b"".join(sha(index) for index in range(4))).hexdigest()
