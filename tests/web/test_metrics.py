"""/metrics as Prometheus reads it: complete, bounded, for those with a token only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from fileflux.clock import FakeClock
from fileflux.metrics import REFUSALS, Metrics
from fileflux.web import context
from fileflux.web.metrics import exposition
from tests.web.conftest import Api

LABELS = {
    "fileflux_links_opened_total": ("transport", {"websocket", "polling", "other"}),
    "fileflux_messages_refused_total": ("code", {*REFUSALS, "other"}),
    "fileflux_runs_ended_total": ("status", {"succeeded", "partial", "failed", "cancelled", "other"}),
    "fileflux_transfers_ended_total": ("status", {"completed", "skipped", "failed", "cancelled", "other"}),
    "fileflux_http_requests_total": ("status", {"1xx", "2xx", "3xx", "4xx", "5xx", "other"}),
    "fileflux_alerts_open": ("kind", {"token_on_two_hosts", "refresh_reused", "other"}),
    "fileflux_check_ok": ("check", {"database", "workers", "disk", "other"}),
}
UNITS = ("_total", "_bytes", "_seconds", "_online", "_live", "_alive", "_queued", "_in_use", "_max", "_open", "_ok")


def parsed(text: str) -> dict[str, dict[str, float]]:
    """Name → label value → number, and everything as the format wants it."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            (value,) = sample.labels.values() or ("",)
            assert value not in found.setdefault(sample.name, {})
            found[sample.name][value] = sample.value
    return found


@pytest.mark.unit
def test_every_series_is_there_at_zero_with_a_fixed_set_of_labels() -> None:
    made = Metrics()
    for _ in range(2):
        found = parsed(exposition(made.samples()))
        assert {number for series in found.values() for number in series.values()} == {0}
        assert {
            name: set(series) for name, series in found.items() if set(series) != {""} and "_bucket" not in name
        } == {name: values for name, (_, values) in LABELS.items()}
        # What comes in from outside makes no new one.
        made.messages_refused.inc('never\nheard"of', by=0)
    names = {sample.name for sample in made.samples()}
    assert all(name.startswith("fileflux_") and name.endswith(UNITS) for name in names)


@pytest.mark.unit
def test_a_histogram_adds_up() -> None:
    made = Metrics()
    for seconds in (0.001, 0.005, 0.03, 99.0):
        made.request_seconds.observe(seconds)
    found = parsed(exposition(made.samples()))
    buckets = found["fileflux_http_request_duration_seconds_bucket"]
    assert (buckets["0.005"], buckets["0.025"], buckets["0.05"], buckets["10.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert found["fileflux_http_request_duration_seconds_count"] == {"": 4}
    assert found["fileflux_http_request_duration_seconds_sum"][""] == pytest.approx(99.036)


@pytest.mark.unit
def test_numbers_of_others_are_asked_for_and_never_go_back() -> None:
    made, count = Metrics(), 5
    made.on_scrape(lambda: made.events_dropped.follow(count))
    made.traffic.bytes_relayed = 7
    found = parsed(exposition(made.samples()))
    assert (found["fileflux_events_dropped_total"][""], found["fileflux_relayed_bytes_total"][""]) == (5, 7)
    count = 3
    assert parsed(exposition(made.samples()))["fileflux_events_dropped_total"][""] == 5


def test_requests_are_counted(app: Flask, clock: FakeClock, admin: Api) -> None:
    for path, status in (("/healthz", 200), ("/api/nothing", 404), ("/api/agents/99", 404)):
        assert admin.get(path).status_code == status
    answer = admin.get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    found = parsed(answer.text)
    # The login and the health check; the scrape itself counts when it is over.
    assert (found["fileflux_http_requests_total"]["2xx"], found["fileflux_http_requests_total"]["4xx"]) == (2, 2)
    assert found["fileflux_http_request_duration_seconds_count"][""] == 4
    with app.app_context():
        assert context.deps().metrics.requests.value("2xx") == 3


def test_it_needs_a_token_and_names_nobody(anonymous: Api, admin: Api, two_agents: tuple[int, int]) -> None:
    assert anonymous.get("/metrics").status_code == 401
    text = admin.get("/metrics").text
    for name in ("web-1", "backup", "example.org", "admin"):
        assert name not in text


@pytest.mark.unit
def test_the_manual_names_them_all() -> None:
    manual = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
    table = manual.partition("\n## Metrics\n")[2].partition("\nRules to begin with")[0]
    assert set(re.findall(r"`(fileflux_[a-z_]+)`", table)) == {sample.name for sample in Metrics().samples()}
