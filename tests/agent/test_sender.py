from __future__ import annotations

import pytest

from fileflux.protocol.limits import KIB, MIB, Limits
from flux_agent.transfer.sender import PieceSize

pytestmark = pytest.mark.unit

LIMITS = Limits()


def carry(pieces, rate, seconds, *, idle=0.0, now=0.0):
    """A link of ``rate`` bytes a second; ``idle`` passes with an empty queue after each piece."""
    end = now + seconds
    while now < end:
        pieces.begun(now)
        now += pieces.size / rate
        pieces.sent(pieces.size, now)
        now += idle
    return now


@pytest.mark.parametrize(
    ("rate", "size"),
    [(1 * KIB, 16 * KIB), (2 * MIB, 2 * MIB // 20), (10 * MIB, MIB // 2), (1000 * MIB, MIB)],
)
@pytest.mark.parametrize("idle", [0.0, 0.2])
def test_a_piece_is_about_50_ms_of_the_link_within_its_bounds(rate, size, idle):
    pieces = PieceSize(LIMITS)
    carry(pieces, rate, 600.0 if rate < MIB else 5.0, idle=idle)
    assert pieces.size == pytest.approx(size, rel=0.02)


def test_it_follows_a_link_that_changes():
    pieces = PieceSize(LIMITS)
    now = carry(pieces, 1000 * MIB, 1.0)
    assert pieces.size == LIMITS.piece_max
    carry(pieces, 2 * MIB, 10.0, now=now)
    assert pieces.size == pytest.approx(2 * MIB // 20, rel=0.02)
