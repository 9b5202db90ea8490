from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from fileflux.errors import OverloadedError, UnavailableError
from fileflux.jobs.models import JobSpec
from fileflux.storage import jobs, report, runs, transfers
from fileflux.storage.pool import Database
from fileflux.web import report as web_report
from fileflux.web.places import Places
from fileflux.web.report import COLUMNS, disposition
from tests.web.conftest import Api
from tests.web.test_transfers import new_transfer

NAMES = [
    b"=1+1",
    b"+a",
    b"-rf",
    b"@x",
    b"\tx",
    b"\rx",
    b'a","b',
    b"a\r\nb",
    b"caf\xe9",
    "é".encode(),
    b"\x1b[2J",
    b"plain",
]


@pytest.fixture
def run_id(database: Database, two_agents: tuple[int, int]) -> int:
    with database.transaction() as tx:
        spec = JobSpec('x"\r\nSet-Cookie: a=1 é', two_agents[0], "/srv/data", two_agents[1], "/backup")
        run = runs.create(tx, jobs.create(tx, spec, "me"), "me")
        found = transfers.insert_many(tx, run.id, [new_transfer(name) for name in NAMES])
        tx.execute(
            "UPDATE transfers SET status = 'failed', reason = '=cmd|x', code = 'io' WHERE id = %s", (found[0].id,)
        )
        tx.execute(
            "INSERT INTO run_deletions (run_id, path, directory, size, mtime_ns, outcome, reason)"
            " VALUES (%(run)s, '=old', false, 3, 0, 'deleted', ''), (%(run)s, 'kept', true, 0, 0, 'kept', 'not empty')",
            {"run": run.id},
        )
    return run.id


def records(api: Api, path: str) -> list[dict[str, Any]]:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    if answer.mimetype == "application/x-ndjson":
        return [json.loads(line) for line in answer.data.decode().splitlines()]
    assert answer.mimetype == "text/csv"
    return list(csv.DictReader(io.StringIO(answer.data.decode(), newline="")))


def test_every_file_and_an_end(as_role, run_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PAGE", 5)
    viewer = as_role("viewer")
    lines = records(viewer, f"/api/runs/{run_id}/report?format=ndjson")
    assert [line["path"] for line in lines[:-3]] == [transfers.shown_name(name) for name in NAMES]
    assert [(line["path"], line["status"]) for line in lines[-3:-1]] == [("=old", "deleted"), ("kept", "kept")]
    assert (lines[-1]["kind"], lines[-1]["size"], lines[-1]["status"]) == ("end", len(NAMES) + 2, "queued")
    assert all(tuple(line) == COLUMNS for line in lines)
    only = records(viewer, f"/api/runs/{run_id}/report?format=ndjson&status=failed&status=deleted")
    assert [line["path"] for line in only[:-1]] == ["=1+1", "=old"]
    assert viewer.call("HEAD", f"/api/runs/{run_id}/report").status_code == 200


def test_csv_is_no_formula_and_reads_back(admin: Api, run_id: int) -> None:
    rows = records(admin, f"/api/runs/{run_id}/report")
    shown = [row["path"].removeprefix("'") for row in rows[:-3]]
    assert shown == [transfers.shown_name(name) for name in NAMES]
    for row in rows:
        assert not any(str(cell).startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values()), row
    assert rows[0]["reason"] == "'=cmd|x"
    assert (rows[-1]["kind"], rows[-1]["path"]) == ("end", "")
    text = admin.get(f"/api/runs/{run_id}/report").data.decode()
    assert text.startswith(",".join(COLUMNS) + "\r\n")
    assert text.endswith("\r\n")


def test_the_name_of_the_job_stays_in_its_place(admin: Api, run_id: int) -> None:
    answer = admin.get(f"/api/runs/{run_id}/report")
    given = answer.headers["Content-Disposition"]
    assert given.startswith(
        f"attachment; filename=\"run-{run_id}.csv\"; filename*=UTF-8''x%22%0D%0ASet-Cookie%3A%20a%3D1%20%C3%A9"
    )
    assert "Set-Cookie" not in answer.headers
    assert "/" not in disposition(1, "a/../b", "csv")


def test_a_report_that_cannot_go_on_has_no_end(admin: Api, run_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        yield []
        raise UnavailableError("the database is away")

    monkeypatch.setattr(report, "pages", broken)
    lines = records(admin, f"/api/runs/{run_id}/report?format=ndjson")
    assert lines == []


def test_only_so_many_at_once(admin: Api, run_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(1, "reports")
    monkeypatch.setattr(web_report, "_places", places)
    for _ in range(3):
        admin.get(f"/api/runs/{run_id}/report").close()
    leave = places.take()
    assert admin.get(f"/api/runs/{run_id}/report").status_code in (429, 503)
    with pytest.raises(OverloadedError):
        places.take()
    leave()
    leave()
    assert admin.get(f"/api/runs/{run_id}/report").status_code == 200


def test_what_is_refused(admin: Api, run_id: int) -> None:
    assert admin.get(f"/api/runs/{run_id}/report?format=xml").status_code == 422
    assert admin.get(f"/api/runs/{run_id}/report?status=none").status_code == 422
    assert admin.get("/api/runs/999999/report").status_code == 404
