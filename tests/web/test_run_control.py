"""What people ask of runs and transfers is stored with its audit entry before the run hears of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fileflux.storage import directories, runs, transfers
from fileflux.storage.directories import NewDirectory
from fileflux.storage.transfers import NewTransfer
from tests.web.conftest import Api, ScriptedHub

BY = "admin@example.org"
PLAN = {"base": "L3Nydi9kYXRh", "path_type": "directory", "errors": 0}


@pytest.fixture
def run(admin: Api, job_body: dict[str, Any]) -> dict[str, Any]:
    job = admin.post("/api/jobs", job_body).json
    return admin.post(f"/api/jobs/{job['id']}/run").json


@pytest.fixture
def end(hub: ScriptedHub) -> Callable[..., None]:
    """Let a run end as the hub would have ended it, with a transfer for each status."""

    def make(run_id: int, status: str, *files: str, plan: dict[str, Any] | None = PLAN, planned: bool = True) -> None:
        with hub.database.transaction() as tx:
            new = [
                NewTransfer(f"{place}-{one}".encode(), 10, 5, 0o640, 4, status=one) for place, one in enumerate(files)
            ]
            if new:
                transfers.insert_many(tx, run_id, new)
            epoch = runs.get(tx, run_id).lease_epoch
            assert runs.update(tx, run_id, epoch, status=status, plan=plan, planned=planned)

    return make


def asked(hub: ScriptedHub, run_id: int) -> tuple[str | None, str]:
    with hub.database.transaction() as tx:
        return runs.asked(tx, run_id)


def test_pause_resume_and_cancel(admin: Api, hub: ScriptedHub, run: dict[str, Any], audited) -> None:
    url = f"/api/runs/{run['id']}"
    for verb, wanted in (
        ("pause", ("pause", BY)),
        ("resume", (None, BY)),
        ("pause", ("pause", BY)),
        ("cancel", ("cancel", BY)),
    ):
        for _ in range(2):
            answer = admin.post(f"{url}/{verb}")
            assert (answer.status_code, answer.json["id"], answer.headers["Location"]) == (202, run["id"], url)
            assert asked(hub, run["id"]) == wanted
    assert hub.told == [("asked", run["id"])] * 4, "what is wanted already is told once"
    actions = [action for _, action, about, _ in audited() if about == f"run:{run['id']}"]
    assert [action for action in actions if action != "run.requested"] == [
        "run.pause",
        "run.resume",
        "run.pause",
        "run.cancel",
    ]
    for verb in ("pause", "resume"):
        assert admin.post(f"{url}/{verb}").json["code"] == "run_ended", "a cancel is not taken back"


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_only_live_runs_are_controlled(admin: Api, hub: ScriptedHub, run: dict[str, Any], end, verb: str) -> None:
    end(run["id"], "succeeded")
    answer = admin.post(f"/api/runs/{run['id']}/{verb}")
    assert (answer.status_code, answer.json["code"]) == (409, "run_ended")
    assert admin.post(f"/api/runs/424242/{verb}").status_code == 404
    assert hub.told == []


def test_a_paused_run_that_never_began_has_no_start(database, run: dict[str, Any]) -> None:
    with database.transaction() as tx:
        row = runs.get(tx, run["id"])
        assert runs.update(tx, row.id, row.lease_epoch, status="paused", reason="paused by x")
        assert runs.get(tx, row.id).started_at is None


def test_a_retry_takes_what_did_not_get_done(admin: Api, hub: ScriptedHub, run: dict[str, Any], end, audited) -> None:
    end(run["id"], "partial", "completed", "failed", "skipped", "cancelled")
    answer = admin.post(f"/api/runs/{run['id']}/retry")
    made = answer.json
    assert (answer.status_code, made["retry_of"], made["job_id"], made["status"]) == (
        202,
        run["id"],
        run["job_id"],
        "queued",
    )
    assert answer.headers["Location"] == f"/api/runs/{made['id']}"
    assert hub.told == [("begin", made["id"])]
    assert (BY, "run.requested", f"run:{made['id']}", "ok") in audited()
    with hub.database.transaction() as tx:
        row, before = runs.get(tx, made["id"]), runs.get(tx, run["id"])
    assert row.plan == {"base": PLAN["base"], "path_type": "directory", "rows_of": run["id"]}
    assert (row.spec, row.planned, row.lease_owner) == (before.spec, False, None)
    again = admin.post(f"/api/runs/{run['id']}/retry")
    assert (again.status_code, again.json["code"]) == (409, "retry_live")


@pytest.mark.parametrize(
    ("status", "files", "changes"),
    [
        ("failed", (), {"plan": None, "planned": False}),
        ("cancelled", ("cancelled",), {"planned": False}),
        ("partial", ("completed", "failed"), {"plan": {**PLAN, "errors": 2}}),
        ("partial", ("completed",), {}),
    ],
    ids=["no listing", "half a listing", "paths that could not be listed", "directories that could not be set"],
)
def test_what_rows_do_not_tell_is_done_again_as_a_whole(
    admin: Api, hub: ScriptedHub, run: dict[str, Any], end, status: str, files: tuple[str, ...], changes: dict[str, Any]
) -> None:
    end(run["id"], status, *files, **changes)
    made = admin.post(f"/api/runs/{run['id']}/retry").json
    with hub.database.transaction() as tx:
        assert runs.get(tx, made["id"]).plan is None


def test_a_retry_of_a_retry_that_had_not_all_rows_takes_them_from_the_first(
    admin: Api, hub: ScriptedHub, run: dict[str, Any], end
) -> None:
    end(run["id"], "partial", "failed")
    second = admin.post(f"/api/runs/{run['id']}/retry").json["id"]
    end(second, "cancelled", plan={**PLAN, "rows_of": run["id"]}, planned=False)
    third = admin.post(f"/api/runs/{second}/retry").json
    with hub.database.transaction() as tx:
        assert runs.get(tx, third["id"]).plan["rows_of"] == run["id"]
    assert third["retry_of"] == second


def test_retries_that_are_refused(admin: Api, hub: ScriptedHub, run: dict[str, Any], end) -> None:
    def code() -> tuple[int, str]:
        answer = admin.post(f"/api/runs/{run['id']}/retry")
        return answer.status_code, answer.json["code"]

    assert code() == (409, "run_live")
    end(run["id"], "succeeded", "completed", "skipped")
    assert code() == (409, "nothing_failed")
    with hub.database.transaction() as tx:
        tx.execute("UPDATE runs SET status = 'failed' WHERE id = %s", (run["id"],))
        tx.execute("UPDATE jobs SET enabled = false")
    assert code() == (409, "job_disabled")
    with hub.database.transaction() as tx:
        tx.execute("UPDATE jobs SET enabled = true, deleted_at = now()")
    assert code() == (409, "job_deleted")
    assert admin.post("/api/runs/424242/retry").status_code == 404
    assert hub.told == []


def test_cancelling_one_transfer(admin: Api, hub: ScriptedHub, run: dict[str, Any], audited) -> None:
    with hub.database.transaction() as tx:
        live, done = transfers.insert_many(
            tx, run["id"], [NewTransfer(b"a", 10, 0, 0o600, 4), NewTransfer(b"b", 10, 0, 0o600, 4, status="skipped")]
        )
    for _ in range(2):
        answer = admin.post(f"/api/transfers/{live.id}/cancel")
        assert (answer.status_code, answer.json["id"]) == (202, live.id)
    assert hub.told == [("cancel", live.id)]
    assert [entry for entry in audited() if entry[1] == "transfer.cancel"] == [
        (BY, "transfer.cancel", f"transfer:{live.id}", "ok")
    ]
    with hub.database.transaction() as tx:
        assert transfers.get(tx, live.id).cancelled_by == BY
    assert admin.post(f"/api/transfers/{done.id}/cancel").json["code"] == "transfer_ended"
    assert admin.post("/api/transfers/424242/cancel").status_code == 404


def test_resuming_one_transfer(admin: Api, hub: ScriptedHub, run: dict[str, Any], end) -> None:
    new = [
        NewTransfer(name.encode(), 10, 0, 0o600, 4, status=name)
        for name in ("pending", "failed", "cancelled", "completed")
    ]
    with hub.database.transaction() as tx:
        pending, failed, cancelled, completed = transfers.insert_many(tx, run["id"], new)
    for row in (failed, cancelled):
        assert admin.post(f"/api/transfers/{row.id}/resume").status_code == 202
    assert hub.told == [("resume", failed.id), ("resume", cancelled.id)]
    for row in (pending, completed):
        answer = admin.post(f"/api/transfers/{row.id}/resume")
        assert (answer.status_code, answer.json["code"]) == (409, "transfer_live")
    end(run["id"], "partial")
    answer = admin.post(f"/api/transfers/{failed.id}/resume")
    assert (answer.status_code, answer.json["code"]) == (409, "run_ended")
    assert "retry the run" in answer.json["detail"]
    assert admin.post("/api/transfers/424242/resume").status_code == 404


def test_reviving_is_under_the_lease(database, run: dict[str, Any]) -> None:
    with database.transaction() as tx:
        (row,) = transfers.insert_many(tx, run["id"], [NewTransfer(b"a", 10, 0, 0o600, 4, status="failed", code="io")])
        assert transfers.revive(tx, run["id"], 7, row.id) is None, "another owner's epoch"
        before, after = transfers.revive(tx, run["id"], 0, row.id)
        assert (before.status, before.code, after.status, after.code, after.ended_at) == (
            "failed",
            "io",
            "pending",
            "",
            None,
        )
        assert after.part == row.part
        assert transfers.revive(tx, run["id"], 0, row.id) is None, "it is live"


def test_directories_of_a_retry(database, run: dict[str, Any], admin: Api) -> None:
    """Those above its files, whose time they change, and those that were never set."""
    new = admin.post(f"/api/jobs/{run['job_id']}/run").json["id"]
    names = [b"a", b"a/b", b"c", b"d", b"d/e"]
    with database.transaction() as tx:
        directories.insert_many(tx, run["id"], [NewDirectory(name, 0o750, 7) for name in names])
        directories.mark_done(tx, run["id"], names[:4])
        directories.copy_above(tx, new, run["id"], [b"a/b/file", b"top"])
        assert [row.path for row in directories.pending(tx, new, 10)] == [b"a/b", b"a"]
        key, keys = b"", 0
        while (following := directories.copy_undone(tx, new, run["id"], key, 1)) is not None:
            key, keys = following, keys + 1
        assert keys == 1
        assert [row.path for row in directories.pending(tx, new, 10)] == [b"a/b", b"d/e", b"a"]
