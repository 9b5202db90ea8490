"""Signatures as Standard Webhooks has them, and when what failed is tried again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from fileflux.errors import ConfigError
from fileflux.jobs import webhook

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


def test_the_conventions_own_example_is_signed_as_it_says() -> None:
    secret, message_id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signature = webhook.sign(secret, message_id, 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_one_secret_replaces_another_both_sign() -> None:
    new, old = (webhook.new_secret(bytes([n]) * 32) for n in (1, 2))
    assert base64.b64decode(new.removeprefix("whsec_")) == b"\1" * 32
    sent = webhook.headers((new, old), "msg_1", 1700000000, b"{}")
    assert sent["webhook-signature"].split(" ") == [webhook.sign(one, "msg_1", 1700000000, b"{}") for one in (new, old)]
    assert (sent["webhook-id"], sent["webhook-timestamp"]) == ("msg_1", "1700000000")


def test_each_part_of_a_message_is_signed() -> None:
    secret = webhook.new_secret(b"x" * 32)
    same = webhook.sign(secret, "msg_1", 1, b"{}")
    assert (
        len(
            {
                same,
                webhook.sign(secret, "msg_2", 1, b"{}"),
                webhook.sign(secret, "msg_1", 2, b"{}"),
                webhook.sign(secret, "msg_1", 1, b"[]"),
            }
        )
        == 4
    )
    with pytest.raises(ConfigError, match="damaged"):
        webhook.sign("whsec_%", "msg_1", 1, b"")


def test_a_body_is_ascii_and_the_same_each_time() -> None:
    data = {"file": {"name": "ä\u2028\ud800<script>"}}
    body = webhook.body("file.failed", AT, data)
    assert body == webhook.body("file.failed", AT, dict(data))
    assert body.isascii()
    assert json.loads(body) == {"type": "file.failed", "timestamp": "2026-03-01T02:30:00+00:00", "data": data}


def test_what_can_be_asked_for() -> None:
    assert webhook.patterns_of("run.failed") == ("*", "run.*", "run.failed")
    assert all(set(webhook.patterns_of(event)) <= set(webhook.PATTERNS) for event in webhook.EVENTS)
    assert {"*", "run.*", "file.*", "agent.*", "job.*", "alert.*"} < set(webhook.PATTERNS)


def test_it_is_tried_for_a_day_and_then_not_again() -> None:
    waits = [webhook.retry_in(attempts, 0.5) for attempts in range(1, webhook.ATTEMPTS + 1)]
    assert waits == [*webhook.RETRY_AFTER_S, None]
    assert 22 * 3600 < sum(webhook.RETRY_AFTER_S) <= 24 * 3600
    assert webhook.retry_in(2, 0.0) == pytest.approx(240.0)
    assert webhook.retry_in(2, 1.0) == pytest.approx(360.0)
    assert webhook.retry_in(1, 0.5, asked=90.0) == 90.0
    assert webhook.retry_in(1, 0.5, asked=10**9) == 3600.0


def test_a_target_that_fails_is_looked_at_now_and_then() -> None:
    assert [webhook.hold_for(failures) for failures in (0, 2, 3, 4, 5, 100)] == [0.0, 0.0, 5.0, 10.0, 20.0, 300.0]
