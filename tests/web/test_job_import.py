"""Jobs by the thousand: a file in, the same file out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from fileflux.jobs.job_file import Form
from tests.web.conftest import Api

TYPES = {"json": "application/json", "yaml": "application/yaml", "csv": "text/csv"}
CSV = """\
name,source_agent,source_path,destination_agent,destination_path,schedule,tags,parallel,retry.attempts,delete_extra
nightly,web-1,/srv/data,backup,/backup/,@daily,a;b,4,2,yes
hourly,web-1,/srv/in,backup,/in,'-,,,,
"""


def send(api: Api, content: str | bytes, form: Form = "csv", query: str = "") -> TestResponse:
    return api.client.post(
        f"/api/jobs/import{query}",
        data=content,
        headers={"Authorization": f"Bearer {api.token}", "Content-Type": TYPES[form]},
    )


def export(api: Api, form: Form) -> str:
    return api.get(f"/api/jobs/export?format={form}").text


def sums(answer: TestResponse) -> dict[str, int]:
    assert answer.status_code == 200, answer.text
    return {
        name: count for name, count in answer.json.items() if isinstance(count, int) and count and name != "dry_run"
    }


@pytest.fixture
def made(admin: Api, two_agents: tuple[int, int]) -> TestResponse:
    return send(admin, CSV.replace(",'-,", ",0 * * * *,"))


def test_a_row_is_a_job_with_every_field(admin: Api, made: TestResponse, audited: Any) -> None:
    assert sums(made) == {"created": 2}
    assert [(item["row"], item["name"], item["outcome"]) for item in made.json["items"]] == [
        (2, "nightly", "created"),
        (3, "hourly", "created"),
    ]
    job = admin.get(f"/api/jobs/{made.json['items'][0]['job_id']}").json
    assert (job["schedule"], job["tags"], job["parallel"]) == ("@daily", ["a", "b"], 4)
    assert (job["retry"]["attempts"], job["retry"]["delay"], job["delete_extra"], job["version"]) == (2, 10.0, True, 1)
    assert job["next_run"] is not None
    assert ("admin@example.org", "jobs.imported", "jobs", "ok") in audited()


@pytest.mark.parametrize("form", ["json", "yaml", "csv"])
def test_what_comes_out_goes_in_and_changes_nothing(admin: Api, made: TestResponse, form: Form) -> None:
    text = export(admin, form)
    assert "source_agent_id" not in text
    assert sums(send(admin, text, form)) == {"unchanged": 2}
    assert export(admin, form) == text


EVERYTHING: dict[str, Any] = {
    "name": "=every field",
    "source_agent": "web-1",
    "source_path": "/srv/a b",
    "destination_agent": "backup",
    "destination_path": " /x ",
    "description": "two\nlines; and: more",
    "tags": ["no", "07"],
    "type": "pull",
    "pattern": "*.csv",
    "include": ["a;b", "[x]*"],
    "exclude": ["tmp/**"],
    "recursive": False,
    "schedule": "*/5 * * * *",
    "timezone": "Europe/Berlin",
    "overlap": "queue",
    "catch_up": "skip",
    "jitter_s": 1.5,
    "watch": {"settle": 2.0, "marker": ".done", "poll": None},
    "compression": "zstd",
    "chunk_size": 1048576,
    "verify": "full",
    "hub_check": "all",
    "conflict": "newer",
    "delete_extra": True,
    "on_success": "archive",
    "archive_path": "done",
    "on_change": "fail",
    "preserve": [],
    "symlinks": "copy",
    "names": "encode",
    "retry": {"attempts": 1, "delay": 0.5, "factor": 1.0},
    "deadline": 60.0,
    "expected_by": "06:00",
    "min_age": 30.0,
    "keep_versions": 3,
    "bandwidth_limit": 2048,
    "priority": 9,
    "parallel": 1,
    "enabled": False,
}


@pytest.mark.usefixtures("two_agents")
@pytest.mark.parametrize("form", ["json", "yaml", "csv"])
def test_every_field_comes_back_in_an_empty_hub(admin: Api, form: Form) -> None:
    job_id = send(admin, json.dumps([EVERYTHING]), "json").json["items"][0]["job_id"]
    assert json.loads(export(admin, "json")) == [EVERYTHING]
    shown = admin.get(f"/api/jobs/{job_id}").json
    assert {name for name in shown if name not in EVERYTHING} == {
        "id", "version", "ad_hoc", "created_by", "created_at", "updated_at", "next_run", "last_run", "last_run_id",
        "source_agent_id", "destination_agent_id",
    }  # fmt: skip
    text = export(admin, form)
    assert admin.delete(f"/api/jobs/{job_id}").status_code == 204
    assert sums(send(admin, text, form)) == {"created": 1}
    assert export(admin, form) == text
    assert json.loads(export(admin, "json")) == [EVERYTHING]


@pytest.mark.usefixtures("made")
def test_a_name_that_is_there_is_changed_left_or_refused(admin: Api) -> None:
    changed = CSV.replace(",'-,", ",0 * * * *,").replace("/in,0", "/other,0")
    assert sums(send(admin, changed, query="?dry_run=true")) == {"updated": 1, "unchanged": 1}
    assert sums(send(admin, changed, query="?on_existing=skip")) == {"skipped": 2}
    refused = send(admin, changed, query="?on_existing=error")
    assert (refused.status_code, refused.json["code"]) == (422, "invalid_jobs")
    assert set(refused.json["errors"]) == {"2.name", "3.name"}
    assert sums(send(admin, changed)) == {"updated": 1, "unchanged": 1}
    (job,) = (job for job in admin.get("/api/jobs").json["items"] if job["name"] == "hourly")
    assert (job["destination_path"], job["version"]) == ("/other", 2)
    versions = admin.get(f"/api/jobs/{job['id']}/versions").json["items"]
    assert [version["version"] for version in versions] == [2, 1]


def test_all_errors_come_at_once_and_nothing_is_made(admin: Api, two_agents: tuple[int, int]) -> None:
    good = {
        "name": "good",
        "source_agent": "web-1",
        "source_path": "/a",
        "destination_agent_id": two_agents[1],
        "destination_path": "/b",
    }
    jobs = [
        good,
        good | {"name": "good"},
        good | {"name": "far", "source_agent": "wbe-1", "parralel": 3},
        {"name": "bare"},
        good | {"name": "wrong", "schedule": "0 0 31 2 *", "chunk_size": 1, "retry": {"attempts": -1}},
        good | {"name": "both", "source_agent_id": two_agents[0]},
    ]
    answer = send(admin, json.dumps(jobs), "json")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_jobs")
    errors = answer.json["errors"]
    assert set(errors) == {
        "2.name",
        "3.source_agent",
        "3.parralel",
        "4.source_agent",
        "4.source_path",
        "4.destination_agent",
        "4.destination_path",
        "5.schedule",
        "5.chunk_size",
        "5.retry.attempts",
        "6.source_agent",
    }
    assert "Did you mean web-1?" in errors["3.source_agent"][0]
    assert "Did you mean parallel?" in errors["3.parralel"][0]
    assert "5 of 6 jobs cannot be imported" in answer.json["detail"]
    assert [(item["row"], item["name"], list(item["errors"])) for item in answer.json["items"]][:2] == [
        (2, "good", ["name"]),
        (3, "far", ["source_agent", "parralel"]),
    ]
    assert admin.get("/api/jobs").json["items"] == []

    partial = send(admin, json.dumps(jobs), "json", "?partial=true")
    assert sums(partial) == {"created": 1, "failed": 5}
    assert [job["name"] for job in admin.get("/api/jobs").json["items"]] == ["good"]


@pytest.mark.parametrize(
    ("content", "form", "status", "code"),
    [
        (b"- [", "yaml", 422, "bad_job_file"),
        (b"x" * (33 * 2**20), "csv", 413, "too_large"),
    ],
)
def test_no_file_of_jobs(admin: Api, content: bytes, form: Form, status: int, code: str) -> None:
    answer = send(admin, content, form)
    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_another_type_and_another_role(admin: Api, as_role: Any) -> None:
    headers = {"Authorization": f"Bearer {admin.token}", "Content-Type": "text/plain"}
    assert admin.client.post("/api/jobs/import", data="x", headers=headers).status_code == 415
    assert send(as_role("viewer"), CSV).status_code == 403
    assert as_role("viewer").get("/api/jobs/export").status_code == 200
