"""The dashboard: counts and sums of what the rows say, with the live counters laid over them."""

from __future__ import annotations

from typing import Any

import pytest

from fileflux.actors.messages import LiveProgress
from fileflux.clock import FakeClock
from fileflux.storage import alerts
from fileflux.storage.pool import Database
from fileflux.web.deps import LiveAgent
from tests.web.conftest import Api, ScriptedHub

NOTHING = {"succeeded": 0, "partial": 0, "failed": 0, "cancelled": 0}


@pytest.fixture
def job_id(admin: Api, job_body: dict[str, Any]) -> int:
    return int(admin.post("/api/jobs", job_body).json["id"])


def add_run(database: Database, job_id: int, status: str, hours_ago: float | None = None, **columns: Any) -> int:
    """A run that ended so many hours ago, or is live; it moved 100, 40 over the wire, and 10 were there already."""
    columns = {"job_id": job_id, "status": status, "bytes_done": 100, "bytes_wire": 40, "bytes_reused": 10} | columns
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    with database.transaction() as tx:
        row = tx.one(
            f"INSERT INTO runs ({names}, spec, requested_by, deadline_at, ended_at)"
            f" VALUES ({marks}, '{{}}', 'x', now(), now() - make_interval(secs => %s)) RETURNING id",
            (*columns.values(), None if hours_ago is None else hours_ago * 3600),
        )
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("role", ["admin", "operator", "viewer", "auditor"])
def test_an_empty_hub_has_an_empty_dashboard(as_role: Any, anonymous: Api, role: str) -> None:
    shown = as_role(role).get("/api/dashboard").json
    assert isinstance(shown.pop("version"), str)
    assert shown == {
        "agents": {"online": 0, "offline": 0, "new": 0, "pending": 0, "revoked": 0},
        "runs": {"active": 0, "queued": 0, "last_24h": NOTHING},
        "bytes_24h": {"moved": 0, "wire": 0, "reused": 0},
        "active_runs": [],
        "failing_jobs": [],
        "alerts": [],
    }
    assert anonymous.get("/api/dashboard").status_code == 401


def test_agents_count_as_the_list_shows_them(admin: Api, hub: ScriptedHub, clock: FakeClock) -> None:
    for status, seen, temporary, online in (
        ("new", False, False, False), ("new", False, False, True), ("known", True, False, True), ("known", True, False, False),
        ("pending", True, False, True), ("revoked", True, False, True), ("known", True, True, True),
    ):  # fmt: skip
        with hub.database.transaction() as tx:
            row = tx.one(
                "INSERT INTO agents (name, status, last_seen, temporary)"
                " VALUES (gen_random_uuid(), %s, CASE WHEN %s THEN now() END, %s) RETURNING id",
                (status, seen, temporary),
            )
        if online and row is not None:
            hub.live_agents[row[0]] = LiveAgent(True, "websocket", "", clock.utc_now(), "s")
    counts = admin.get("/api/dashboard").json["agents"]
    assert counts == {"online": 2, "offline": 1, "new": 1, "pending": 1, "revoked": 1}
    for status, count in counts.items():
        assert len(admin.get(f"/api/agents?status={status}").json["items"]) == count


def test_runs_count_for_a_day(admin: Api, hub: ScriptedHub, job_id: int) -> None:
    for status, hours_ago in (
        ("succeeded", 1),
        ("succeeded", 23.9),
        ("failed", 24.1),
        ("partial", 2),
        ("cancelled", 3),
    ):
        add_run(hub.database, job_id, status, hours_ago)
    add_run(hub.database, job_id, "queued", bytes_done=0, bytes_wire=0, bytes_reused=0)
    stored = add_run(hub.database, job_id, "waiting_agent")
    live = add_run(hub.database, job_id, "transferring")
    hub.live_runs[live] = LiveProgress("transferring", "", 2, 1, 0, 0, 900, 700, 300, 5)
    shown = admin.get("/api/dashboard").json
    assert shown["runs"] == {
        "active": 2,
        "queued": 1,
        "last_24h": NOTHING | {"succeeded": 2, "partial": 1, "cancelled": 1},
    }
    assert shown["bytes_24h"] == {"moved": 4 * 100 + 100 + 700, "wire": 4 * 40 + 40 + 300, "reused": 4 * 10 + 10 + 5}
    assert [run["id"] for run in shown["active_runs"]][:2] == [live, stored]
    assert shown["active_runs"][0] == admin.get(f"/api/runs/{live}").json


def test_the_lists_are_short_and_the_worst_comes_first(admin: Api, hub: ScriptedHub, job_body: dict[str, Any]) -> None:
    jobs = [admin.post("/api/jobs", job_body | {"name": f"job {n}"}).json["id"] for n in range(8)]
    for number, job_id in enumerate(jobs):
        for run in range(number):
            add_run(hub.database, job_id, "failed" if run % 2 else "partial", 2, reason=f"reason {run}")
        add_run(hub.database, job_id, "failed", 30)
        add_run(hub.database, job_id, "succeeded", 1)
    for number in range(12):
        add_run(hub.database, jobs[0], "planning")
        with hub.database.transaction() as tx:
            alerts.raise_alert(tx, "refresh_reused", f"user:{number}", "…")
    with hub.database.transaction() as tx:
        tx.execute("UPDATE jobs SET deleted_at = now() WHERE id = %s", (jobs[7],))
        tx.execute("UPDATE jobs SET ad_hoc = true WHERE id = %s", (jobs[6],))
        alerts.dismiss(tx, alerts.list_page(tx, 1)[0].id, "me")
    shown = admin.get("/api/dashboard").json
    assert [(job["job_id"], job["name"], job["failed"]) for job in shown["failing_jobs"]] == [
        (jobs[n], f"job {n}", n) for n in (5, 4, 3, 2, 1)
    ]
    assert shown["failing_jobs"][0]["last_reason"] == "reason 4"
    assert len(shown["active_runs"]) == 10
    assert [alert["object"] for alert in shown["alerts"]] == [f"user:{n}" for n in range(10, 0, -1)]


def test_one_answer_serves_all_for_a_second(admin: Api, hub: ScriptedHub, job_id: int, clock: FakeClock) -> None:
    assert admin.get("/api/dashboard").json["runs"]["queued"] == 0
    add_run(hub.database, job_id, "queued")
    assert admin.get("/api/dashboard").json["runs"]["queued"] == 0
    clock.advance(1)
    assert admin.get("/api/dashboard").json["runs"]["queued"] == 1
