"""Mails to a relay, and what relays do."""

from __future__ import annotations

import email
import email.policy
import smtplib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fileflux.actors.outgoing import mail
from fileflux.actors.outgoing.mail import MailClient, compose
from fileflux.actors.outgoing.reach import Reach
from fileflux.clock import SystemClock
from fileflux.jobs.notice_text import Notice
from fileflux.storage.deliveries import Batch, Delivery, Outcome
from fileflux.storage.notifications import MailSettings
from tests.actors.outgoing.servers import MailServer

AT = datetime(2026, 3, 1, tzinfo=UTC)
NAME = "nächtlich\r\nBcc: victim@example.org"


@pytest.fixture(scope="module")
def relay() -> Iterator[MailServer]:
    made = MailServer()
    yield made
    made.stop()


def settings(port: int) -> MailSettings:
    return MailSettings("127.0.0.1", port, "none", sender="hub@example.org", hub_url="https://hub.example.com")


def batch(count: int, single: int, *addresses: str) -> Batch:
    events = (
        Notice(
            "run.failed", AT, {"job": {"name": NAME}, "run": {"id": 5, "reason": f"number {n}"}, "path": "/#/runs/5"}
        )
        for n in range(count)
    )
    taken = tuple(Delivery(n, 1, f"msg_{n}", notice) for n, notice in enumerate(events))
    return Batch(
        1,
        "ops",
        "email",
        "",
        addresses or ("ops@example.org", "b@example.org"),
        (),
        failing=False,
        single=single,
        deliveries=taken,
    )


def send(one: Batch, to: MailSettings) -> list[Outcome]:
    return MailClient(Reach(SystemClock())).send(one, to, "Site")


def test_a_mail_says_what_happened(relay: MailServer) -> None:
    assert send(batch(1, 1), settings(relay.port)) == [Outcome(ok=True)]
    sender, recipients, text = relay.mails[-1]
    assert (sender, recipients) == ("hub@example.org", ["ops@example.org", "b@example.org"])
    message = email.message_from_string(text, policy=email.policy.default)
    assert message["Subject"] == "[Site] Run of nächtlich  Bcc: victim@example.org failed"
    assert message["Bcc"] is None
    assert (message["From"], message["To"]) == ("hub@example.org", "ops@example.org, b@example.org")
    assert message["Message-ID"] == "<msg_0.0@fileflux.invalid>"
    assert message.get_content_type() == "text/plain"
    assert "run reason           number 0" in message.get_content()
    assert "https://hub.example.com/#/runs/5" in message.get_content()
    assert text.isascii()


def test_many_events_are_few_mails_over_one_connection(relay: MailServer) -> None:
    before, connections = len(relay.mails), relay.connections
    assert send(batch(30, 5), settings(relay.port)) == [Outcome(ok=True)] * 30
    assert (len(relay.mails) - before, relay.connections - connections) == (6, 1)
    message = email.message_from_string(relay.mails[-1][2], policy=email.policy.default)
    assert message["Subject"] == "[Site] 25 more events"
    assert message.get_content().count("run.failed") == 25


def test_addresses_that_a_relay_refuses(relay: MailServer) -> None:
    some = send(batch(1, 1, "ops@example.org", "nobody@example.org"), settings(relay.port))
    assert some == [Outcome(ok=True, answer="not to nobody@example.org")]
    before = len(relay.mails)
    none = send(batch(2, 2, "nobody@example.org"), settings(relay.port))
    assert [(one.ok, one.error) for one in none] == [
        (False, "the relay takes none of the addresses: 550 no such [2J user")
    ] * 2
    assert len(relay.mails) == before


def test_a_relay_that_is_not_there_or_not_what_it_should_be(relay: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "_ANSWER_S", 0.3)
    silent = MailServer(silent=True)
    try:
        began = time.monotonic()
        for to, error in (
            (MailSettings(), "no mail relay is set"),
            (settings(silent.port), "did not answer in time"),
            (replace(settings(silent.port), security="tls"), "no answer in time"),
            (replace(settings(relay.port), security="starttls"), "the relay has no STARTTLS"),
            (replace(settings(relay.port), user="u", password="p"), "the relay has no STARTTLS or no login"),
            (settings(1), "cannot connect: "),
        ):
            (outcome,) = send(batch(1, 1), to)
            assert not outcome.ok
            assert error in outcome.error, outcome.error
        assert time.monotonic() - began < 5
    finally:
        silent.stop()


def test_reasons_of_a_relay_are_one_line() -> None:
    for error in (
        smtplib.SMTPAuthenticationError(535, b"no\r\nway"),
        smtplib.SMTPDataError(554, b"spam\r\nInjected: yes"),
        smtplib.SMTPServerDisconnected("x"),
        smtplib.SMTPException("y\nz"),
    ):
        assert mail._why(error).isprintable()


def test_what_is_composed_is_the_same_at_every_attempt() -> None:
    first, second = (compose(batch(3, 2), settings(25), "Site", "Sun, 01 Mar 2026 00:00:00 +0000") for _ in range(2))
    assert [one.message.as_bytes() for one in first] == [one.message.as_bytes() for one in second]
    assert [len(one.deliveries) for one in first] == [1, 1, 1]
