from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest

from fileflux.jobs.models import JobSpec
from fileflux.storage import directories, jobs, runs, transfers
from fileflux.storage.directories import NewDirectory
from fileflux.storage.pool import Database
from tests.web.conftest import Api
from tests.web.test_transfers import new_transfer


@pytest.fixture
def run_id(database: Database, two_agents: tuple[int, int]) -> int:
    spec = JobSpec("nightly", two_agents[0], "/srv/data", two_agents[1], "/backup", exclude=("*.tmp",))
    with database.transaction() as tx:
        run = runs.create(tx, jobs.create(tx, spec, "me"), "me")
        sent, _ = transfers.insert_many(tx, run.id, [new_transfer(b"a/caf\xe9.csv"), new_transfer(b"b.csv")])
        directories.insert_many(tx, run.id, [NewDirectory(b"a", 0o755, 0)])
        tx.execute(
            "UPDATE transfers SET status = 'completed', bytes_wire = 5, file_hash = sha256('x'), final_path = %s WHERE id = %s",
            (b"/backup/a/caf\xe9.csv", sent.id),
        )
        tx.execute(
            "INSERT INTO run_deletions (run_id, path, directory, size, mtime_ns, outcome) VALUES (%s, 'extra', false, 3, 0, 'deleted')",
            (run.id,),
        )
    set_plan(database, run.id, {})
    return run.id


def set_plan(database: Database, run_id: int, more: dict[str, Any]) -> None:
    import json

    plan = {"base": base64.b64encode(b"/srv/data").decode(), "path_type": "directory", "system": "posix", "errors": 0}
    with database.transaction() as tx:
        tx.execute(
            "UPDATE runs SET status = 'succeeded', planned = true, started_at = now(), plan = %s WHERE id = %s",
            (json.dumps(plan | more), run_id),
        )


def asked(api: Api, run_id: int, path: str) -> dict[str, Any]:
    answer = api.get(f"/api/runs/{run_id}/explain?path={quote(path)}")
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"path", "verdict", "summary", "steps"}
    return answer.json


def test_each_verdict(as_role, database: Database, run_id: int) -> None:
    viewer = as_role("viewer")
    for path, verdict in (
        ("a/caf\\xe9.csv", "sent"),
        ("/srv/data/a/caf\\xe9.csv", "sent"),
        ("b.csv", "waiting"),
        ("a", "directory"),
        ("/srv/data", "directory"),
        ("a/x.tmp", "left_out"),
        ("a/nothing", "not_there"),
        ("extra", "deleted"),
        ("/backup/extra", "deleted"),
        ("/etc/passwd", "outside"),
    ):
        found = asked(viewer, run_id, path)
        assert found["verdict"] == verdict, (path, found)
        assert found["steps"]
    set_plan(database, run_id, {"errors": 1, "troubles": ["a: Permission denied"]})
    assert asked(viewer, run_id, "a/nothing")["verdict"] == "unknown"


def test_what_is_refused(admin: Api, run_id: int) -> None:
    assert admin.get(f"/api/runs/{run_id}/explain").status_code == 422
    assert admin.get(f"/api/runs/{run_id}/explain?path=a%00b").status_code == 422
    assert admin.get("/api/runs/999999/explain?path=a").status_code == 404
    assert asked(admin, run_id, "../../etc")["verdict"] in ("not_there", "outside")
