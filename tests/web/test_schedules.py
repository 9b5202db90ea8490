"""Times are computed by the server. The tests' clock stands at 2026-01-01; the database's is the real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fileflux.storage import schedules
from tests.web.conftest import Api


def test_preview_shows_both_zones_and_says_it_in_words(as_role: Any) -> None:
    path = "/api/schedules/preview?cron=30 2 * * MON-FRI&tz=Europe/Paris&count=2&viewer_tz=Asia/Tokyo"
    assert as_role("viewer").get(path).json == {
        "cron": "30 2 * * MON-FRI",
        "timezone": "Europe/Paris",
        "words": "At 02:30 on Monday through Friday",
        "dst_rule": "A time that the clock skips fires when the clock has been put forward; a time that comes twice fires once, at the first.",
        "items": [
            {
                "utc": "2026-01-01T01:30:00+00:00",
                "job_time": "2026-01-01T02:30:00+01:00",
                "viewer_time": "2026-01-01T10:30:00+09:00",
            },
            {
                "utc": "2026-01-02T01:30:00+00:00",
                "job_time": "2026-01-02T02:30:00+01:00",
                "viewer_time": "2026-01-02T10:30:00+09:00",
            },
        ],
    }


def test_preview_is_bounded_and_knows_the_short_words(admin: Api) -> None:
    answer = admin.get("/api/schedules/preview?cron=@hourly&count=1000000000").json
    assert (answer["cron"], len(answer["items"]), answer["dst_rule"]) == ("0 * * * *", 200, "")
    assert len(admin.get("/api/schedules/preview?cron=@hourly").json["items"]) == 5


ZONES = ["Europe/Nowhere", "../../etc/passwd", "UTC%2B25", "", "%00"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cron=61 * * * *", "cron"),
        ("cron=0 0 31 2 *", "cron"),
        ("tz=UTC", "cron"),
        ("cron=@daily&viewer_tz=Mars", "viewer_tz"),
        ("cron=@daily&count=x", "count"),
        *((f"cron=@daily&tz={zone}", "tz") for zone in ZONES),
    ],
)
def test_what_cannot_be_previewed(admin: Api, query: str, field: str) -> None:
    answer = admin.get(f"/api/schedules/preview?{query}")
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schedule": "0 0 31 2 *"}, "schedule"),
        ({"schedule": "@reboot"}, "schedule"),
        ({"schedule": ""}, "schedule"),
        ({"expected_by": "25:00"}, "expected_by"),
        *(({"timezone": zone.replace("%2B", "+").replace("%00", "\0")}, "timezone") for zone in ZONES),
    ],
)
def test_a_job_with_a_time_that_is_none_is_refused(
    admin: Api, job_body: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    answer = admin.post("/api/jobs", job_body | changes)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    made = admin.post("/api/jobs", job_body).json
    answer = admin.patch(f"/api/jobs/{made['id']}", changes)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_a_job_says_when_it_runs_and_when_it_ran(admin: Api, job_body: dict[str, Any]) -> None:
    job = admin.post("/api/jobs", job_body | {"schedule": "@hourly", "timezone": "Asia/Kathmandu"}).json
    begin = datetime.fromisoformat(job["created_at"])
    assert timedelta() < datetime.fromisoformat(job["next_run"]) - begin <= timedelta(hours=1)
    assert (job["last_run"], job["last_run_id"]) == (None, None)
    run = admin.post(f"/api/jobs/{job['id']}/run").json
    assert (run["trigger"], run["fire_time"], run["after_run"]) == ("user", None, None)
    again = admin.get(f"/api/jobs/{job['id']}").json
    assert (again["next_run"], again["last_run"], again["last_run_id"]) == (
        job["next_run"],
        run["created_at"],
        run["id"],
    )
    assert admin.post(f"/api/jobs/{job['id']}/disable").json["next_run"] is None
    assert admin.post(f"/api/jobs/{job['id']}/enable").json["next_run"] == job["next_run"]


def test_a_run_by_schedule_says_so(admin: Api, job_body: dict[str, Any], database: Any) -> None:
    job = admin.post("/api/jobs", job_body | {"schedule": "@hourly"}).json
    by_hand = admin.post(f"/api/jobs/{job['id']}/run").json
    with database.transaction() as tx:
        tx.execute("UPDATE jobs SET due_at = now() - interval '1 second'")
        (run_id,) = schedules.fire_due(tx, lambda: None).made
    run = admin.get(f"/api/runs/{run_id}").json
    assert (run["trigger"], run["requested_by"], run["fire_time"]) == ("schedule", "schedule", job["next_run"])
    assert (run["status"], run["after_run"]) == ("queued", by_hand["id"])
    assert run["reason"] == f"waits for run {by_hand['id']} of this job"


def test_upcoming_merges_the_jobs(admin: Api, job_body: dict[str, Any]) -> None:
    jobs = {
        name: admin.post("/api/jobs", job_body | {"name": name, **fields}).json["id"]
        for name, fields in {
            "hourly": {"schedule": "0 * * * *"},
            "half": {"schedule": "30 * * * *", "timezone": "Asia/Kathmandu", "jitter_s": 60},
            "off": {"schedule": "* * * * *", "enabled": False},
            "by-hand": {},
        }.items()
    }
    until = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = admin.get(f"/api/schedules/upcoming?until={until}&limit=5").json["items"]
    assert {item["job_id"] for item in found} == {jobs["hourly"], jobs["half"]}
    times = [item["utc"] for item in found]
    assert times == sorted(times)
    assert len(found) == 5
    for item in found:
        starts = datetime.fromisoformat(item["starts_at"]) - datetime.fromisoformat(item["utc"])
        assert timedelta() <= starts < timedelta(minutes=1)
        if item["job"] == "half":
            assert item["job_time"].endswith(":30:00+05:45")
    assert len(admin.get(f"/api/schedules/upcoming?until={until}").json["items"]) == 12
    assert admin.get("/api/schedules/upcoming?until=2020-01-01T00:00:00Z").json["items"] == []
    assert admin.get("/api/schedules/upcoming?until=tomorrow").status_code == 422
