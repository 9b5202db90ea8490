"""How a watch does, over REST."""

from __future__ import annotations

from typing import Any

from fileflux.storage import watches
from fileflux.storage.pool import Database
from tests.web.conftest import Api


def test_a_watch_is_shown_as_it_is_stored(
    admin: Api, as_role: Any, job_body: dict[str, Any], database: Database
) -> None:
    job = admin.post("/api/jobs", {**job_body, "watch": {"settle": 2}}).json
    path = f"/api/jobs/{job['id']}/watch"
    viewer = as_role("viewer")
    assert (viewer.get(path).json["status"], viewer.get(path).json["seen"]) == ("waiting", 0)
    with database.transaction() as tx:
        watches.begin(tx, job["id"], b"origin", "asked")
        watches.say(tx, [job["id"]], "degraded", "looking", "no events here")
    shown = viewer.get(path).json
    assert {**shown, "since": ""} == {
        "job_id": job["id"], "status": "degraded", "how": "looking", "reason": "no events here", "since": "", "seen": 0,
        "pending": 0, "last_fired": None, "last_run_id": None,
    }  # fmt: skip
    admin.post(f"/api/jobs/{job['id']}/disable")
    assert (viewer.get(path).json["status"], viewer.get(path).json["reason"]) == ("off", "the job is disabled")


def test_jobs_without_a_watch_and_jobs_that_are_none(admin: Api, job_body: dict[str, Any]) -> None:
    job = admin.post("/api/jobs", job_body).json
    assert admin.get(f"/api/jobs/{job['id']}/watch").json["status"] == "off"
    assert admin.get("/api/jobs/999999/watch").status_code == 404
