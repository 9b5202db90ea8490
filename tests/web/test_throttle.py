from __future__ import annotations

import pytest

from fileflux.web import throttle
from fileflux.web.throttle import Throttle

pytestmark = pytest.mark.unit


def test_so_many_attempts_and_no_more_until_the_oldest_is_out_of_the_window() -> None:
    attempts = Throttle(3, 10.0)
    assert [attempts.take(["a"], float(now)) for now in (0, 1, 2)] == [None, None, None]
    assert attempts.take(["a"], 4.0) == pytest.approx(6.0)
    assert attempts.take(["a"], 10.0) is None
    assert attempts.take(["a"], 10.5) == pytest.approx(0.5)


def test_a_refused_attempt_counts_for_none_of_its_keys() -> None:
    attempts = Throttle(1, 10.0)
    assert attempts.take(["account:a", "address:x"], 0.0) is None
    assert attempts.take(["account:b", "address:x"], 1.0) is not None
    assert attempts.take(["account:b"], 1.0) is None


def test_given_back_attempts_do_not_count() -> None:
    attempts = Throttle(1, 10.0)
    for now in range(5):
        assert attempts.take(["a", "b"], float(now)) is None
        attempts.give_back(["a", "b"])
    attempts.give_back(["never seen"])


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_KEYS", 100)
    attempts = Throttle(1, 10.0)
    for number in range(1000):
        attempts.take([str(number)], 0.0)
    assert len(attempts._seen) == 100
