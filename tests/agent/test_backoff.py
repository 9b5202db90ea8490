from __future__ import annotations

import pytest

from fileflux.protocol.limits import DEFAULT_LIMITS
from flux_agent.backoff import Backoff

pytestmark = pytest.mark.unit


def test_waits_double_to_the_first_bound_and_later_to_the_second():
    backoff = Backoff(DEFAULT_LIMITS, lambda: 1.0)
    assert [backoff.failed(0.0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert [backoff.failed(3600.0) for _ in range(6)] == [30, 60, 120, 240, 300, 300]


def test_a_connection_starts_over():
    backoff = Backoff(DEFAULT_LIMITS, lambda: 1.0)
    for now in (0.0, 4000.0):
        backoff.failed(now)
    backoff.connected()
    assert [backoff.failed(5000.0) for _ in range(2)] == [1, 2]


def test_waits_are_a_random_part_of_the_bound():
    chances = iter((0.0, 0.5, 0.25))
    backoff = Backoff(DEFAULT_LIMITS, lambda: next(chances))
    assert [backoff.failed(0.0) for _ in range(3)] == [0.0, 1.0, 1.0]


def test_a_duplicate_identity_waits_longer_each_time_until_a_session_holds():
    backoff = Backoff(DEFAULT_LIMITS, lambda: 1.0)
    assert [backoff.duplicate() for _ in range(3)] == [60, 120, 240]
    backoff.settled()
    assert backoff.duplicate() == 60
