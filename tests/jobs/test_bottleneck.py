"""What a transfer waits for, from the times that its agents report."""

from __future__ import annotations

import pytest

from fileflux.jobs.bottleneck import FRESH_S, MEASURE_S, QUEUED_BYTES, StageMeter, judge
from fileflux.protocol.messages import StageTimes

pytestmark = pytest.mark.unit

IDLE = {"read": 0.0, "hash": 0.0, "compress": 0.0, "window": 0.0, "write": 0.0, "sync": 0.0}


@pytest.mark.parametrize(
    ("spent", "queued", "verdict"),
    [
        ({"read": 0.9, "hash": 0.1}, 0, "source_disk"),
        ({"hash": 0.5, "compress": 1.2, "read": 0.3}, 0, "source_cpu"),
        ({"read": 0.1, "hash": 0.1}, 0, "uplink"),
        ({"window": 0.8, "write": 0.2}, 4 * QUEUED_BYTES, "downlink"),
        ({"window": 0.8, "write": 0.5, "sync": 0.9}, 0, "destination_disk"),
        ({"window": 0.8, "write": 0.1, "sync": 0.1}, 0, "hub"),
        ({"window": 0.1, "read": 0.9, "write": 2.0}, 4 * QUEUED_BYTES, "source_disk"),
    ],
)
def test_what_takes_the_time_is_it(spent: dict[str, float], queued: int, verdict: str) -> None:
    assert judge({**IDLE, **spent}, queued) == verdict


def test_both_ends_report_and_only_the_last_seconds_count() -> None:
    meter = StageMeter()
    assert meter.verdict(0.0) is None
    # A minute of reading, long ago.
    meter.told(StageTimes(read=60_000, hash=100), 0, 100.0)
    meter.told(StageTimes(write=10, sync=10), 0, 100.5)
    assert meter.verdict(100.5) is None, "nothing to compare with yet"
    meter.told(StageTimes(read=60_050, hash=200, window=1_700), 0, 102.0)
    assert meter.verdict(102.0) == "hub"
    meter.told(StageTimes(write=1_500, sync=2_000), 0, 103.0)
    meter.told(StageTimes(read=60_060, hash=250, window=3_600), 0, 104.1)
    assert meter.verdict(104.1) == "destination_disk"
    assert meter.verdict(104.1 + FRESH_S + 1) is None, "nobody reports any more"


def test_what_waited_in_the_hub_at_any_moment_counts() -> None:
    meter = StageMeter()
    meter.told(StageTimes(), 0, 0.0)
    meter.told(StageTimes(window=900), 8 * QUEUED_BYTES, 1.0)
    meter.told(StageTimes(window=1_900), 0, MEASURE_S)
    assert meter.verdict(MEASURE_S) == "downlink"


def test_a_source_that_starts_again_from_nothing_takes_nothing_back() -> None:
    """A fresh source agent counts from 0; what was reported before stays until it is passed."""
    meter = StageMeter()
    meter.told(StageTimes(read=5_000), 0, 0.0)
    meter.told(StageTimes(read=10), 0, 3.0)
    assert meter.verdict(3.0) == "uplink"
