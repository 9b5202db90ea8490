"""When a failed transfer is tried again. Pure rules; times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from fileflux.errors import TRANSFER_CODES
from fileflux.jobs.models import JobSpec


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """``delay_s`` is None when the transfer has failed for good."""

    delay_s: float | None
    have: bool = True
    """Whether the next attempt may use what the destination already holds."""


def decide(spec: JobSpec, code: str, *, retryable: bool, retries: int, stale_retries: int) -> RetryDecision:
    """What follows the failure ``code`` after ``retries`` counted retries.

    A peer's ``retryable`` can only forbid a retry of a code that allows one: an agent must not keep a hopeless transfer alive.
    Waiting for an offline agent is no failure and never comes here.
    """
    if code == "stale_have":
        return RetryDecision(0.0, have=False) if stale_retries == 0 else RetryDecision(None)
    if code == "source_changed" and spec.on_change == "fail":
        return RetryDecision(None)
    if not (retryable and TRANSFER_CODES.get(code, False)) or retries >= spec.retry_attempts:
        return RetryDecision(None)
    return RetryDecision(min(spec.retry_delay_s * spec.retry_factor**retries, 3600.0))
