"""Every way in which TLS can fail has a sentence with a layer, that names the hub and says what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fileflux.actors.kernel.tls import TlsError, TlsFailure
from flux_agent.transports.certificate import Certificate
from flux_agent.transports.tls_words import Facts, explain

pytestmark = pytest.mark.unit

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def facts(**more):
    given = {"url": "https://hub.example:443", "host": "hub.example", "now": NOW, "ca_file": None, "pinned": False}
    return Facts(**{**given, **more})


def certificate(begins, ends, names=("a.example",)):
    return Certificate(names, "Example CA", begins, ends)


@pytest.mark.parametrize("failure", TlsFailure)
def test_every_failure_without_any_facts(failure):
    error = explain(TlsError(failure, "the reason"), facts())
    assert error.layer in ("tls", "clock")
    assert "https://hub.example:443" in str(error)
    assert ":" in str(error).split("443", 1)[1]
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "give that CA's certificate as ca_file"),
        ({"ca_file": Path("/etc/ca.pem")}, "not in /etc/ca.pem"),
        ({"pinned": True}, "not from the CA that the token names"),
        ({"certificate": certificate(NOW, NOW)}, "from Example CA"),
    ],
)
def test_an_unknown_ca(more, words):
    assert words in str(explain(TlsError(TlsFailure.UNKNOWN_CA, "x"), facts(**more)))


@pytest.mark.parametrize(
    ("failure", "shown", "hub_time", "layer", "words"),
    [
        (TlsFailure.EXPIRED, certificate(NOW - 9 * DAY, NOW - DAY), None, "tls", "expired on 2026-05-31 00:00 UTC"),
        (TlsFailure.EXPIRED, certificate(NOW - 9 * DAY, NOW - DAY), NOW, "tls", "renew the hub's certificate"),
        (TlsFailure.EXPIRED, certificate(NOW - 9 * DAY, NOW - DAY), NOW - 2 * DAY, "clock", "the hub's 2026-05-30"),
        (TlsFailure.NOT_YET_VALID, certificate(NOW + DAY, NOW + 9 * DAY), None, "clock", "only from 2026-06-02"),
        (
            TlsFailure.NOT_YET_VALID,
            certificate(NOW + DAY, NOW + 9 * DAY),
            NOW + 2 * DAY,
            "clock",
            "the hub's 2026-06-03",
        ),
    ],
)
def test_dates(failure, shown, hub_time, layer, words):
    error = explain(TlsError(failure, "x"), facts(certificate=shown, hub_time=hub_time))
    assert error.layer == layer
    assert words in str(error)
    assert "this machine's clock says 2026-06-01 00:00 UTC" in str(error)
