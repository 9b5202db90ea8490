"""Routes of plans; that real agents are asked is tested in tests/integration/test_plans.py."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from fileflux.bus.bus import Bus
from fileflux.clock import FakeClock
from fileflux.protocol.limits import Limits
from fileflux.storage import plan_drift, plans
from fileflux.storage.plans import Entry
from fileflux.storage.pool import Database
from fileflux.web.app import create_app
from fileflux.web.deps import Deps
from tests.web.conftest import SECRET, Api, InlineWork, ScriptedHub, ScriptedPlanning


@pytest.fixture
def planning() -> ScriptedPlanning:
    return ScriptedPlanning()


@pytest.fixture
def app(database: Database, hub: ScriptedHub, clock: FakeClock, limits: Limits, planning: ScriptedPlanning) -> Flask:
    work = InlineWork()
    return create_app(Deps(database, Bus(), limits, SECRET, clock, hub, hub, hub, hub, work=work, planning=planning))


@pytest.fixture
def job(admin: Api, job_body: dict[str, Any]) -> int:
    return int(admin.post("/api/jobs", job_body).json["id"])


def ready(database: Database, plan_id: int) -> None:
    sums = {name: [0, 0] for name in plans.CLASSES} | {
        "new": [3, 30],
        "directories": 1,
        "estimate_s": 1.5,
        "estimate_note": "by",
    }
    with database.transaction() as tx:
        plans.add(tx, plan_id, [Entry(f"{n}".encode(), "file", 10, 1, "new", "") for n in range(3)])
        plans.update(tx, plan_id, status="ready", sums=sums, warnings=["look out"])


def test_a_plan_from_its_beginning_to_the_drift_of_its_run(
    admin: Api, job: int, planning: ScriptedPlanning, database: Database, audited: Any
) -> None:
    answer = admin.post(f"/api/jobs/{job}/plan")
    plan = answer.json
    path = f"/api/plans/{plan['id']}"
    assert (answer.status_code, answer.headers["Location"], plan["status"]) == (202, path, "planning")
    assert planning.begun == [plan["id"]]
    assert admin.post(f"/api/jobs/{job}/plan").json["code"] == "plan_running"
    assert admin.post(f"{path}/run").json["code"] == "plan_not_ready"

    ready(database, plan["id"])
    shown = admin.get(path).json
    assert (shown["new"], shown["directories"], shown["estimated_s"]) == ({"files": 3, "bytes": 30}, 1, 1.5)
    assert (shown["warnings"], shown["job"]["source_path"]) == (["look out"], "/srv/data")
    first = admin.get(f"{path}/entries?class=new&limit=2").json
    rest = admin.get(f"{path}/entries?class=new&limit=2&cursor={first['next_cursor']}").json
    assert [item["path"] for item in first["items"] + rest["items"]] == ["0", "1", "2"]
    assert (rest["items"][0]["class"], rest["next_cursor"]) == ("new", None)
    assert admin.get(f"{path}/entries?class=other").status_code == 422
    assert [item["id"] for item in admin.get(f"/api/jobs/{job}/plans").json["items"]] == [plan["id"]]

    run = admin.post(f"{path}/run")
    assert (run.status_code, run.headers["Location"]) == (202, f"/api/runs/{run.json['id']}")
    assert planning.compared == [(plan["id"], run.json["id"])]
    assert admin.post(f"{path}/run").json["code"] == "plan_used"
    drift_path = f"/api/runs/{run.json['id']}/drift"
    drift = admin.get(drift_path).json
    assert (drift["ready"], drift["reason"], drift["new"]) == (False, "the run still lists its source", None)
    with database.transaction() as tx:
        plan_drift.finish(tx, plan["id"])
    drift = admin.get(drift_path).json
    assert (drift["ready"], drift["new"], drift["changed"], drift["gone"], drift["items"]) == (True, 0, 0, 0, [])
    assert len(planning.compared) == 1
    actions = [action for _, action, _, _ in audited()]
    assert actions[-2:] == ["plan.requested", "run.requested"]


def test_the_drift_is_looked_for_again_when_the_hub_that_did_has_stopped(
    admin: Api, job: int, planning: ScriptedPlanning, database: Database
) -> None:
    plan_id = admin.post(f"/api/jobs/{job}/plan").json["id"]
    ready(database, plan_id)
    run_id = admin.post(f"/api/plans/{plan_id}/run").json["id"]
    with database.transaction() as tx:
        tx.execute("UPDATE plans SET heard_at = now() - interval '1 hour'")
    for _ in range(2):
        admin.get(f"/api/runs/{run_id}/drift")
    assert planning.compared == [(plan_id, run_id)] * 2
    with database.transaction() as tx:
        tx.execute("UPDATE runs SET status = 'failed'")
        tx.execute("UPDATE plans SET heard_at = now() - interval '1 hour'")
    assert admin.get(f"/api/runs/{run_id}/drift").json["reason"] == "the run ended before its source was listed"
    assert len(planning.compared) == 2


def test_a_plan_that_nobody_makes_any_more_has_failed(admin: Api, job: int, database: Database) -> None:
    plan_id = admin.post(f"/api/jobs/{job}/plan").json["id"]
    with database.transaction() as tx:
        tx.execute("UPDATE plans SET heard_at = now() - interval '1 hour'")
    shown = admin.get(f"/api/plans/{plan_id}").json
    assert (shown["status"], shown["reason"]) == ("failed", "the hub that made this plan has stopped: plan again")


def test_cancelled_and_deleted(admin: Api, as_role: Any, job: int) -> None:
    plan_id = admin.post(f"/api/jobs/{job}/plan").json["id"]
    assert as_role("viewer").post(f"/api/plans/{plan_id}/cancel").status_code == 403
    assert admin.post(f"/api/plans/{plan_id}/cancel").json["status"] == "cancelled"
    assert admin.delete(f"/api/plans/{plan_id}").status_code == 204
    for answer in (
        admin.delete(f"/api/plans/{plan_id}"), admin.get(f"/api/plans/{plan_id}"), admin.get(f"/api/plans/{plan_id}/entries"),
        admin.post(f"/api/plans/{plan_id}/run"), admin.get("/api/runs/77/drift"), admin.post("/api/jobs/77/plan"),
    ):  # fmt: skip
        assert answer.status_code == 404, answer.text
