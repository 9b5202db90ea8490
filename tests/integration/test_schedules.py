"""The fields of a job that say when it runs, over REST with a real hub and real agents. Times are seconds; the rules are tests/jobs/test_schedule.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg2

from tests.integration.conftest import Site
from tests.integration.harness import wait_for

EVERY_SECOND = "* * * * * *"
NEW_YEAR = "0 0 1 1 *"


def job(site: Site, name: str, **fields: Any) -> int:
    """It moves one file of its own."""
    (site.source.read / name).mkdir()
    (site.source.read / name / "file").write_text(name)
    return site.hub.job(
        site.source.id, site.source.read / name, site.destination.id, site.destination.write / name, **fields
    )


def runs(site: Site, job_id: int) -> list[dict[str, Any]]:
    """Oldest first."""
    return sorted(site.hub.client.pages("/api/runs", job_id=job_id), key=lambda run: run["id"])


def switch(site: Site, job_id: int, word: str) -> dict[str, Any]:
    answer: dict[str, Any] = site.hub.client.post(f"/api/jobs/{job_id}/{word}")
    return answer


def late(site: Site, job_id: int, interval: str) -> None:
    """As if the hub had been down since its next time."""
    folder = site.folder / "hub"
    password = (folder / "postgres-password").read_text().strip()
    host = str(next(folder.rglob(".s.PGSQL.*")).parent)
    connection = psycopg2.connect(host=host, user="fileflux", password=password, dbname="postgres")
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs SET next_fire = next_fire - %s::interval, due_at = due_at - %s::interval WHERE id = %s",
            (interval, interval, job_id),
        )
    connection.close()


def test_schedule_timezone_jitter_and_enabled(site: Site) -> None:
    job_id = job(site, "seconds", schedule=EVERY_SECOND, timezone="Asia/Kathmandu", jitter_s=0.1, enabled=False)
    assert site.hub.client.get(f"/api/jobs/{job_id}")["next_run"] is None
    switch(site, job_id, "enable")
    ended = wait_for("two runs", lambda: [run for run in runs(site, job_id) if run["status"] == "succeeded"][1:])
    assert switch(site, job_id, "disable")["next_run"] is None
    assert (site.destination.write / "seconds" / "file").read_text() == "seconds"
    assert {run["trigger"] for run in ended} == {"schedule"}
    before = len(runs(site, job_id))
    fire_times = [run["fire_time"] for run in runs(site, job_id)]
    assert len(set(fire_times)) == before
    assert all(datetime.fromisoformat(fire).microsecond == 0 for fire in fire_times)
    row = site.hub.client.get(f"/api/jobs/{job_id}")
    assert row["last_run_id"] == runs(site, job_id)[-1]["id"]
    assert len(runs(site, job_id)) == before


def test_overlap(site: Site) -> None:
    """The destination is away, so a run lasts until it is cancelled."""
    away, _ = site.hub.enrol("away", site.folder)

    def made(name: str, **fields: Any) -> int:
        return site.hub.job(site.source.id, site.source.read, away, "/in", name=name, **fields)

    jobs = {rule: made(rule, overlap=rule, schedule=EVERY_SECOND) for rule in ("skip", "queue", "cancel")}
    disturbed = made("by-hand", overlap="skip")
    by_hand = site.hub.run(disturbed)
    site.hub.client.patch(f"/api/jobs/{disturbed}", {"schedule": EVERY_SECOND})

    def missed(job_id: int) -> list[dict[str, Any]]:
        return list(site.hub.client.pages("/api/audit", action="job.missed", object=f"job:{job_id}"))

    for job_id in (jobs["skip"], jobs["queue"], disturbed):
        wait_for("a tick that is left out", lambda job_id=job_id: missed(job_id))
    (only,) = runs(site, jobs["skip"])
    assert missed(jobs["skip"])[0]["detail"]["reason"] == f"run {only['id']} of this job has not ended"
    first, second = runs(site, jobs["queue"])
    assert missed(jobs["queue"])[0]["detail"]["reason"] == f"run {second['id']} of this job waits already"
    assert (first["status"], second["status"], second["after_run"]) == ("waiting_agent", "queued", first["id"])
    assert second["reason"] == f"waits for run {first['id']} of this job"
    hand, tick = runs(site, disturbed)
    assert (hand["id"], hand["status"], tick["after_run"], tick["trigger"]) == (
        by_hand,
        "waiting_agent",
        by_hand,
        "schedule",
    )
    for ended, waiting in ((first, second), (hand, tick)):
        switch(site, waiting["job_id"], "disable")
        site.hub.client.post(f"/api/runs/{ended['id']}/cancel")
        wait_for(
            "the one that waited", lambda waiting=waiting: site.hub.show(waiting["id"])["status"] == "waiting_agent"
        )

    def cancelled() -> list[dict[str, Any]]:
        return [run for run in runs(site, jobs["cancel"]) if run["status"] == "cancelled"]

    assert wait_for("a run to be cancelled", cancelled)[0]["reason"] == "cancelled by schedule"
    for job_id in jobs.values():
        switch(site, job_id, "disable")
    # One that waits is cancelled at once.
    behind = [run for run in runs(site, jobs["cancel"]) if run["status"] == "queued"]
    for run in behind:
        site.hub.client.post(f"/api/runs/{run['id']}/cancel")
        site.hub.wait_ended(run["id"], 10)


def test_catch_up(site: Site) -> None:
    once, skip = job(site, "once", schedule=NEW_YEAR), job(site, "left-out", schedule=NEW_YEAR, catch_up="skip")
    for job_id in (once, skip):
        late(site, job_id, "3 years")
    (run,) = wait_for("the run that catches up", lambda: runs(site, once))
    fire, made = (datetime.fromisoformat(run[name]) for name in ("fire_time", "created_at"))
    assert (fire.month, fire.day, fire.year) == (1, 1, made.year)
    assert site.hub.wait_ended(run["id"])["status"] == "succeeded"
    (entry,) = wait_for(
        "what is left out", lambda: list(site.hub.client.pages("/api/audit", object=f"job:{skip}", action="job.missed"))
    )
    assert entry["detail"]["count"] >= 3
    assert runs(site, skip) == []


def test_expected_by(site: Site) -> None:
    """One second has passed without a success."""
    job_id = job(site, "expected", expected_by=EVERY_SECOND)

    def raised() -> list[dict[str, Any]]:
        alerts = site.hub.client.pages("/api/alerts")
        return [
            alert for alert in alerts if (alert["kind"], alert["object"]) == ("expectation_failed", f"job:{job_id}")
        ]

    (alert,) = wait_for("the alert", raised)
    site.hub.client.patch(f"/api/jobs/{job_id}", {"expected_by": None})
    assert "No run of job" in alert["message"]
