from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fileflux.actors.messages import LiveProgress
from fileflux.web.runs import percent
from tests.web.conftest import Api, ScriptedHub

LIVE = LiveProgress(
    status="transferring",
    reason="",
    files_total=4,
    files_done=1,
    files_failed=0,
    files_skipped=1,
    bytes_total=3000,
    bytes_done=1000,
    bytes_wire=700,
    bytes_reused=10,
)


@pytest.fixture
def run(admin: Api, job_body: dict[str, Any]) -> dict[str, Any]:
    job = admin.post("/api/jobs", job_body).json
    return admin.post(f"/api/jobs/{job['id']}/run").json


def finish(hub: ScriptedHub, run_id: int, status: str) -> None:
    with hub.database.transaction() as tx:
        tx.execute("UPDATE runs SET status = %s, bytes_total = 10, bytes_done = 10 WHERE id = %s", (status, run_id))


def test_a_live_run_shows_its_newest_counters(admin: Api, hub: ScriptedHub, run: dict[str, Any]) -> None:
    hub.live_runs[run["id"]] = LIVE
    shown = admin.get(f"/api/runs/{run['id']}").json
    expected = {
        "status": "transferring", "files_total": 4, "files_done": 1, "files_skipped": 1, "bytes_total": 3000, "bytes_done": 1000,
        "bytes_transferred": 700, "bytes_reused": 10, "progress": 33.3,
    }  # fmt: skip
    assert shown.items() >= expected.items()
    assert admin.get("/api/runs").json["items"] == [shown]


def test_a_live_run_that_just_ended_shows_its_end(admin: Api, hub: ScriptedHub, run: dict[str, Any]) -> None:
    hub.live_runs[run["id"]] = dataclasses.replace(LIVE, status="succeeded", bytes_done=3000)
    shown = admin.get(f"/api/runs/{run['id']}").json
    assert (shown["status"], shown["progress"]) == ("succeeded", 100.0)
    assert admin.get("/api/runs/424242").status_code == 404


def test_what_is_stored_as_ended_is_not_overlaid(admin: Api, hub: ScriptedHub, run: dict[str, Any]) -> None:
    finish(hub, run["id"], "cancelled")
    hub.live_runs[run["id"]] = LIVE
    assert admin.get(f"/api/runs/{run['id']}").json["status"] == "cancelled"


def test_lists_are_filtered(admin: Api, hub: ScriptedHub, run: dict[str, Any]) -> None:
    other = admin.post(f"/api/jobs/{run['job_id']}/run").json
    finish(hub, other["id"], "succeeded")

    def ids(query: str) -> list[int]:
        return [item["id"] for item in admin.get(f"/api/runs?{query}").json["items"]]

    assert set(ids("")) == {run["id"], other["id"]}
    assert ids("status=succeeded") == [other["id"]]
    assert ids(f"job_id={run['job_id']}&status=queued") == [run["id"]]
    assert ids("job_id=424242") == []
    for bad in ("status=bogus", "job_id=x", "job_id=0", "sort=reason", f"job_id={2**63}"):
        assert admin.get(f"/api/runs?{bad}").status_code == 422


def test_what_no_index_serves_is_refused_and_says_so(admin: Api) -> None:
    for query, parameter in (
        ("sort=ended_at&job_id=1", "sort"),
        ("sort=id&status=failed", "sort"),
        ("sort=-ended_at&since=2026-01-01T00:00:00Z", "sort"),
        ("job_id=1&agent_id=1", "agent_id"),
    ):
        answer = admin.get(f"/api/runs?{query}")
        assert (answer.status_code, list(answer.json["errors"])) == (422, [parameter])
    assert "no index" in admin.get("/api/runs?sort=id&status=failed").json["errors"]["sort"][0]


@pytest.mark.parametrize(
    ("done", "total", "whole", "shown"),
    [
        (0, 0, False, 0.0),
        (0, 0, True, 100.0),
        (1, 3, False, 33.3),
        (999_999, 1_000_000, False, 99.9),
        (5, 4, False, 100.0),
        (1, 2, True, 100.0),
    ],
)
def test_percent(done: int, total: int, whole: bool, shown: float) -> None:
    assert percent(done, total, whole=whole) == shown
