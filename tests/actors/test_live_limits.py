"""What holds for a run, and what its transfers say of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fileflux.actors import messages as a
from fileflux.actors.live_limits import Ends, Hours, LiveLimits
from fileflux.jobs.bandwidth import Bandwidth

pytestmark = pytest.mark.unit

ENDS = Ends(1, 10, 20)
PROGRESS = a.LiveProgress(
    "transferring", "", 2, 0, 0, 0, 100, 0, 0, 0,
    {5: a.LiveTransfer("transferring", "", 0, 0, 0, 0), 6: a.LiveTransfer("waiting", "tried", 0, 0, 0, 0)},
)  # fmt: skip


def test_what_the_job_says_now_counts_before_what_the_run_knew() -> None:
    live = LiveLimits()
    assert live.of(ENDS, a.JobLimits()) is None
    assert live.of(ENDS, a.JobLimits(900)) == Bandwidth(900, "job")
    live.jobs = {1: a.JobLimits()}
    assert live.of(ENDS, a.JobLimits(900)) is None


def test_the_lowest_of_job_agents_and_timetable_is_shown() -> None:
    live = LiveLimits()
    live.agents = {20: Bandwidth(500, "agent b"), 30: Bandwidth(1, "agent c")}
    live.timetable = Bandwidth(700, "timetable")
    assert live.of(ENDS, a.JobLimits(900)) == Bandwidth(500, "agent b")


def test_only_a_transfer_that_waits_for_bandwidth_says_so() -> None:
    live = LiveLimits()
    assert live.laid_over(PROGRESS, ENDS, a.JobLimits(), {5: 50}) is PROGRESS
    live.held_back = lambda wire_id: wire_id == 50
    shown = live.laid_over(PROGRESS, ENDS, a.JobLimits(2048), {5: 50, 6: 60})
    assert shown.bandwidth == Bandwidth(2048, "job")
    assert shown.transfers[5].reason == "waits for bandwidth: the job allows 2 KiB/s"
    assert shown.transfers[6].reason == "tried"


def test_a_stored_timetable_that_cannot_be_read_holds_nothing() -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    entry = {"days": ["mon"], "from": "11:00", "to": "13:00", "limit": 5}
    assert Hours([entry]).at(now).limit == 5
    assert Hours([entry | {"timezone": "gone"}]).at(now).limit is None


def test_an_answer_is_kept_up_to_its_end() -> None:
    hours = Hours([{"days": ["mon"], "from": "11:00", "to": "13:00", "limit": 5}])
    assert hours.at(datetime(2026, 3, 2, 12, tzinfo=UTC)) is hours.at(datetime(2026, 3, 2, 12, 59, tzinfo=UTC))
    assert hours.at(datetime(2026, 3, 2, 13, tzinfo=UTC)).limit is None
    assert hours.at(datetime(2026, 3, 2, 12, tzinfo=UTC)).limit == 5
