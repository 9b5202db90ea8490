"""Limits with real processes: they hold, they change while something moves, and a run says which one it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import Agent, wait_for

MB = 1_000_000
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
NOTHING_MOVES = [{"days": DAYS, "from": "00:00", "to": "24:00", "limit": 0}]

Begin = Callable[..., tuple[int, int]]


@pytest.fixture
def begin(site: Site, tmp_path: Path) -> Iterator[Begin]:
    """Start a run of one file of so many bytes that do not compress; the job and the run. Limits are lifted afterwards."""

    def made(size: int, **fields: Any) -> tuple[int, int]:
        source = site.source.read / f"file-{os.urandom(4).hex()}"
        source.write_bytes(os.urandom(size))
        job_id = site.hub.job(site.source.id, source, site.destination.id, site.destination.write, **fields)
        return job_id, site.hub.run(job_id)

    yield made
    site.hub.client.patch(f"/api/agents/{site.source.id}", {"bandwidth_limit": None})
    site.hub.client.patch("/api/settings", {"bandwidth_timetable": []})


def limited(site: Site, run_id: int, by: str) -> dict[str, Any]:
    """The run as soon as it says that this limit holds."""

    def look() -> dict[str, Any] | None:
        run = site.hub.show(run_id)
        return run if run["bandwidth"] and run["bandwidth"]["set_by"] == by else None

    found: dict[str, Any] = wait_for(f"run {run_id} is held back by {by}", look, 10)
    return found


def moved(site: Site, run_id: int) -> int:
    return sum(one["bytes_transferred"] for one in site.hub.transfers(run_id))


def test_a_job_s_limit_holds(site: Site, begin: Begin) -> None:
    _, run_id = begin(4 * MB, bandwidth_limit=2 * MB)
    run = limited(site, run_id, "job")
    assert run["bandwidth"] == {"limit": 2 * MB, "set_by": "job", "until": None}
    began = time.monotonic()
    ended = site.hub.wait_ended(run_id)
    assert ended["status"] == "succeeded"
    assert ended["bandwidth"] is None
    assert 1.7 < time.monotonic() - began < 2.7


def test_the_limit_of_a_live_run_s_job_is_changed(site: Site, begin: Begin) -> None:
    job_id, run_id = begin(8 * MB, bandwidth_limit=64 * 1024, parallel=1, chunk_size=256 * 1024)
    limited(site, run_id, "job")
    site.hub.client.patch(f"/api/jobs/{job_id}", {"bandwidth_limit": None, "priority": 9, "parallel": 4})
    began = time.monotonic()
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
    assert time.monotonic() - began < 3


def test_an_agent_s_limit_wins_and_the_run_says_so(site: Site, begin: Begin) -> None:
    agent = f"/api/agents/{site.source.id}"
    assert site.hub.client.patch(agent, {"bandwidth_limit": 100_000})["bandwidth_limit"] == 100_000
    _, run_id = begin(3 * MB, bandwidth_limit=MB)
    assert limited(site, run_id, "agent source")["bandwidth"]["limit"] == 100_000

    def says_why() -> bool:
        return any(one["reason"].startswith("waits for bandwidth: agent source") for one in site.hub.transfers(run_id))

    wait_for("the transfer says what it waits for", says_why, 5)
    site.hub.client.patch(agent, {"bandwidth_limit": None})
    assert site.hub.wait_ended(run_id, 5)["status"] == "succeeded"


def test_the_timetable_stops_what_moves_and_lets_it_go_on(site: Site, begin: Begin) -> None:
    _, run_id = begin(6 * MB, bandwidth_limit=2 * MB, chunk_size=256 * 1024)
    limited(site, run_id, "job")
    wait_for("something has moved", lambda: moved(site, run_id), 5)
    site.hub.client.patch("/api/settings", {"bandwidth_timetable": NOTHING_MOVES})
    run = limited(site, run_id, "timetable")
    assert run["bandwidth"] == {"limit": 0, "set_by": "timetable", "until": None}
    time.sleep(0.3)
    stands = moved(site, run_id)
    time.sleep(0.5)
    assert moved(site, run_id) == stands < 6 * MB
    site.hub.client.patch("/api/settings", {"bandwidth_timetable": []})
    assert site.hub.wait_ended(run_id, 10)["status"] == "succeeded"


def test_what_an_agent_s_own_configuration_allows_holds(site: Site) -> None:
    own = Agent(site.hub, "own", site.folder, env={"FLUX_AGENT_BANDWIDTH_LIMIT": str(MB)}).start()
    try:
        (own.read / "file").write_bytes(os.urandom(2 * MB))
        began = time.monotonic()
        # Until the hub has heard of it the job's limit leaves time for that.
        places = (own.id, own.read / "file", site.destination.id, site.destination.write)
        run_id = site.hub.run(site.hub.job(*places, bandwidth_limit=2 * MB))
        assert limited(site, run_id, "agent own")["bandwidth"]["limit"] == MB
        assert site.hub.wait_ended(run_id)["status"] == "succeeded"
        assert time.monotonic() - began > 1.4
    finally:
        own.stop()
