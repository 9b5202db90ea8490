"""Bandwidth limits as the API takes and shows them, and as they are read for what is live."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from fileflux.bus.bus import Bus
from fileflux.bus.events import SettingsChanged
from fileflux.jobs.bandwidth import Bandwidth
from fileflux.storage import agents, limits
from fileflux.storage.pool import Database
from fileflux.web.app import create_app
from fileflux.web.deps import Deps
from tests.web.conftest import SECRET, Api, ScriptedHub
from tests.web.test_runs import LIVE

ENTRY: dict[str, Any] = {"days": ["mon", "sat"], "from": "22:00", "to": "06:00", "limit": 1_000_000}
BERLIN = ENTRY | {"timezone": "Europe/Berlin"}


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def app(database: Database, hub: ScriptedHub, clock: Any, limits: Any, bus: Bus) -> Flask:
    return create_app(Deps(database, bus, limits, SECRET, clock, hub, hub, hub, hub))


def test_a_timetable_is_kept_shown_and_told_of(admin: Api, bus: Bus) -> None:
    pause = ENTRY | {"limit": 0, "to": "24:00"}
    with bus.subscribe([SettingsChanged], 5) as told:
        assert admin.patch("/api/settings", {"bandwidth_timetable": [BERLIN, pause]}).status_code == 200
        assert told.take_all() == [SettingsChanged()]
    expected = [BERLIN, pause | {"timezone": "UTC"}]
    assert admin.get("/api/settings").json["bandwidth_timetable"] == expected
    assert admin.patch("/api/settings", {"site_name": "x"}).json["bandwidth_timetable"] == expected
    assert admin.patch("/api/settings", {"bandwidth_timetable": []}).json["bandwidth_timetable"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"days": []}, "days"),
        ({"days": ["monday"]}, "days"),
        ({"from": "24:00"}, "from"),
        ({"to": "7:00"}, "to"),
        ({"limit": 1023}, "limit"),
        ({"limit": None}, "limit"),
        ({"limit": -1}, "limit"),
        ({"timezone": "Europe/Nowhere"}, "timezone"),
        ({"until": "x"}, "until"),
    ],
)
def test_what_is_no_entry_is_refused_by_its_field(admin: Api, change: dict[str, Any], field: str) -> None:
    answer = admin.patch("/api/settings", {"bandwidth_timetable": [ENTRY | change]})
    assert answer.status_code == 422
    assert f"bandwidth_timetable.0.{field}" in answer.text


def test_a_timetable_has_at_most_a_hundred_entries(admin: Api) -> None:
    assert admin.patch("/api/settings", {"bandwidth_timetable": [ENTRY] * 100}).status_code == 200
    assert admin.patch("/api/settings", {"bandwidth_timetable": [ENTRY] * 101}).status_code == 422


def test_an_agent_s_limits_are_set_lifted_and_read_for_what_is_live(admin: Api, database: Database) -> None:
    made = admin.post("/api/agents", {"name": "north"}).json
    assert (made["bandwidth_limit"], made["bandwidth_timetable"]) == (None, [])
    path = f"/api/agents/{made['id']}"
    assert admin.patch(path, {"bandwidth_limit": 1023}).status_code == 422
    changed = admin.patch(path, {"bandwidth_limit": 5000, "bandwidth_timetable": [BERLIN]}).json
    assert (changed["bandwidth_limit"], changed["bandwidth_timetable"]) == (5000, [BERLIN])
    assert admin.patch(path, {"description": "x"}).json["bandwidth_limit"] == 5000

    def live() -> dict[int, limits.AgentNow]:
        with database.transaction() as tx:
            return limits.of_agents(tx)

    assert live() == {made["id"]: limits.AgentNow("north", 5000, [BERLIN])}
    for own, lower in ((2000, 2000), (9000, 5000), (0, 5000)):
        with database.transaction() as tx:
            agents.save_info(tx, made["id"], {"os": "Linux", "bandwidth_limit": own})
        assert live()[made["id"]].limit == lower
    admin.patch(path, {"bandwidth_limit": None, "bandwidth_timetable": []})
    assert live() == {}


def test_what_a_job_says_now_is_read_for_its_live_runs(
    admin: Api, job_body: dict[str, Any], database: Database
) -> None:
    job = admin.post("/api/jobs", job_body | {"bandwidth_limit": 4096, "priority": 2}).json
    admin.patch(f"/api/jobs/{job['id']}", {"bandwidth_limit": 8192, "parallel": 3})
    with database.transaction() as tx:
        assert limits.of_jobs(tx, {job["id"], 424242, -7}) == {job["id"]: limits.JobNow(8192, 2, 3)}


def test_a_run_says_which_limit_holds(admin: Api, hub: ScriptedHub, job_body: dict[str, Any]) -> None:
    job = admin.post("/api/jobs", job_body).json
    run = admin.post(f"/api/jobs/{job['id']}/run").json
    assert run["bandwidth"] is None
    until = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
    hub.live_runs[run["id"]] = dataclasses.replace(LIVE, bandwidth=Bandwidth(0, "timetable", until))
    shown = admin.get(f"/api/runs/{run['id']}").json["bandwidth"]
    assert (shown["limit"], shown["set_by"]) == (0, "timetable")
    assert datetime.fromisoformat(shown["until"]) == until
