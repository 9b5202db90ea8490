"""What is tried again, when, and what ends it."""

from __future__ import annotations

import pytest

from fileflux.errors import TRANSFER_CODES
from fileflux.jobs.models import JobSpec
from fileflux.jobs.retry import RetryDecision, decide

pytestmark = pytest.mark.unit

SPEC = JobSpec("job", 1, "/in", 2, "/out", retry_attempts=3, retry_delay_s=10.0, retry_factor=2.0)
ENDS = RetryDecision(None)


@pytest.mark.parametrize("code", sorted(set(TRANSFER_CODES) - {"stale_have"}))
def test_the_code_says_whether_and_the_peer_can_only_forbid(code: str) -> None:
    assert (decide(SPEC, code, retryable=True, retries=0, stale_retries=0) != ENDS) is TRANSFER_CODES[code]
    assert decide(SPEC, code, retryable=False, retries=0, stale_retries=0) == ENDS


def test_delays_grow_up_to_an_hour_and_attempts_end() -> None:
    delays = [decide(SPEC, "io", retryable=True, retries=n, stale_retries=0).delay_s for n in range(4)]
    assert delays == [10.0, 20.0, 40.0, None] if TRANSFER_CODES["io"] else [None] * 4
    patient = JobSpec("job", 1, "/in", 2, "/out", retry_attempts=100, retry_factor=10.0)
    code = next(name for name, again in TRANSFER_CODES.items() if again and name != "stale_have")
    assert decide(patient, code, retryable=True, retries=50, stale_retries=0).delay_s == 3600.0


def test_codes_that_nobody_knows_end_it() -> None:
    assert decide(SPEC, "made_up", retryable=True, retries=0, stale_retries=0) == ENDS


def test_a_stale_have_list_is_tried_once_without_it() -> None:
    assert decide(SPEC, "stale_have", retryable=False, retries=99, stale_retries=0) == RetryDecision(0.0, have=False)
    assert decide(SPEC, "stale_have", retryable=True, retries=0, stale_retries=1) == ENDS


def test_a_changed_source_follows_the_job() -> None:
    strict = JobSpec("job", 1, "/in", 2, "/out", on_change="fail")
    assert decide(strict, "source_changed", retryable=True, retries=0, stale_retries=0) == ENDS
    assert decide(SPEC, "source_changed", retryable=True, retries=0, stale_retries=0) != ENDS
