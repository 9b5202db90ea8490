"""What is told to the world outside, to whom, how it is signed (Standard Webhooks), and when it is tried again. Pure rules; times are seconds."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from fileflux.errors import ConfigError

EVENTS: Final = (
    "run.started", "run.succeeded", "run.partial", "run.failed", "run.cancelled",
    "file.failed",
    "agent.online", "agent.offline",
    "job.changed", "job.missed", "job.expectation_failed",
    "alert.raised",
)  # fmt: skip
TEST: Final = "test"
"""Sent to one target only, when somebody asks for it."""
PATTERNS: Final = (
    "*",
    *(f"{group}.*" for group in dict.fromkeys(event.partition(".")[0] for event in EVENTS)),
    *EVENTS,
)
"""What a target may ask for."""

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # how every secret begins
SECRET_BYTES: Final = 32

RETRY_AFTER_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 21_600.0)
"""After each failure; together nearly a day. A target that is away for a night gets everything."""
ATTEMPTS: Final = len(RETRY_AFTER_S) + 1
JITTER: Final = 0.2
"""Each wait is up to so much shorter or longer, so that what failed together is not tried again together."""
ASKED_MAX_S: Final = 3600.0
"""What a target may ask for with Retry-After."""
FAILING_AFTER: Final = 3
"""Failures in a row, of whatever deliveries: from then on a target is looked at now and then, so that it costs no other one its place."""
PROBE_FIRST_S: Final = 5.0
PROBE_MAX_S: Final = 300.0


def patterns_of(event: str) -> tuple[str, ...]:
    """Everything a target may have asked for to be told of ``event``."""
    return "*", f"{event.partition('.')[0]}.*", event


def new_secret(random: bytes) -> str:
    """SECRET_BYTES random bytes as a receiver gets them."""
    return SECRET_PREFIX + base64.b64encode(random).decode("ascii")


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature of the header, as in ``v1,BASE64``. Raises ConfigError for a secret that is none."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError("the stored secret of this notification is damaged; rotate it") from None
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode('ascii')}"


def headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What goes with the body; with two secrets, while one replaces the other, both signatures."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }


def body(event: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """The same bytes at every attempt. File names and reasons are whatever agents say: as JSON in ASCII they are harmless everywhere."""
    return json.dumps({"type": event, "timestamp": at.isoformat(), "data": data}, separators=(",", ":")).encode("ascii")


def retry_in(attempts: int, random: float, asked: float = 0.0) -> float | None:
    """Seconds to the next attempt after ``attempts`` that failed; None when it has failed for good.

    ``random`` is from 0 to 1; ``asked`` is what the target wants.
    """
    if attempts >= ATTEMPTS:
        return None
    delay = RETRY_AFTER_S[max(0, attempts - 1)] * (1 - JITTER + 2 * JITTER * random)
    return max(delay, min(asked, ASKED_MAX_S))


def hold_for(failures: int) -> float:
    """Seconds that a target is left alone after so many failures in a row."""
    if failures < FAILING_AFTER:
        return 0.0
    return min(PROBE_FIRST_S * 2.0 ** min(failures - FAILING_AFTER, 16), PROBE_MAX_S)
