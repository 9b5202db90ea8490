from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Api


def test_a_job_has_the_defaults_of_its_reference(admin: Api, job_body: dict[str, Any], audited) -> None:
    made = admin.post("/api/jobs", job_body)
    assert made.status_code == 201
    job = made.json
    assert made.headers["Location"] == f"/api/jobs/{job['id']}"
    assert job.items() >= job_body.items()
    assert job.items() >= {
        "type": "push", "description": "", "tags": [], "include": [], "exclude": [], "recursive": True, "compression": "auto",
        "chunk_size": 8 * 1024 * 1024, "verify": "chunks", "hub_check": "sample", "conflict": "overwrite", "on_change": "retry",
        "preserve": ["mtime", "mode"], "retry": {"attempts": 5, "delay": 10.0, "factor": 2.0}, "deadline": 604800.0, "parallel": 8,
        "enabled": True, "created_by": "admin@example.org",
    }.items()  # fmt: skip
    assert admin.get(f"/api/jobs/{job['id']}").json == job
    assert admin.get("/api/jobs").json == {"items": [job], "next_cursor": None}
    assert audited()[-1][1:3] == ("job.created", f"job:{job['id']}")


def test_every_field_is_kept(admin: Api, job_body: dict[str, Any]) -> None:
    chosen = job_body | {
        "source_path": "C:\\data\n", "description": "two\nlines", "tags": ["a"], "type": "pull", "include": ["*.csv", "sub/**"],
        "exclude": ["tmp/**"], "recursive": False, "compression": "lz4", "chunk_size": 1024 * 1024, "verify": "reread", "hub_check": "all",
        "conflict": "rename", "on_change": "prefix", "preserve": ["mtime"], "retry": {"attempts": 0, "delay": 0.5, "factor": 1.0},
        "deadline": 60.0, "parallel": 1,
    }  # fmt: skip
    made = admin.post("/api/jobs", chosen)
    assert made.status_code == 201, made.text
    assert made.json.items() >= chosen.items()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"source_path": ""}, "source_path"),
        ({"source_path": "a\0b"}, "source_path"),
        ({"source_path": "/" + "a" * 4096}, "source_path"),
        ({"source_path": None}, "source_path"),
        ({"source_path": ["/a"]}, "source_path"),
        ({"destination_path": "/\ud800"}, "destination_path"),
        ({"source_agent_id": 424242}, "source_agent_id"),
        ({"source_agent_id": "1"}, "source_agent_id"),
        ({"source_agent_id": 2**63}, "source_agent_id"),
        ({"verify": "none"}, "verify"),
        ({"conflict": None}, "conflict"),
        ({"chunk_size": 1}, "chunk_size"),
        ({"chunk_size": 2**40}, "chunk_size"),
        ({"chunk_size": 8388608.0}, "chunk_size"),
        ({"parallel": 0}, "parallel"),
        ({"parallel": True}, "parallel"),
        ({"recursive": "yes"}, "recursive"),
        ({"preserve": ["owner"]}, "preserve.0"),
        ({"retry": {"attempts": -1}}, "retry.attempts"),
        ({"retry": {"forever": True}}, "retry.forever"),
        ({"deadline": 0}, "deadline"),
        ({"include": ["x"] * 1000}, "include"),
        ({"include": [""]}, "include.0"),
        ({"exclude": ["{" * 500]}, "exclude"),
        ({"id": 5}, "id"),
        ({"created_by": "root"}, "created_by"),
        ({"spec": {}}, "spec"),
    ],
)
def test_errors_name_the_field(admin: Api, job_body: dict[str, Any], change: dict[str, Any], field: str) -> None:
    answer = admin.post("/api/jobs", job_body | change)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert field in answer.json["errors"], answer.json
    assert admin.get("/api/jobs").json["items"] == []


@pytest.mark.parametrize("field", ["destination_agent_id", "destination_path", "destinations"])
def test_one_destination_for_now(admin: Api, job_body: dict[str, Any], field: str) -> None:
    answer = admin.post("/api/jobs", job_body | {field: [1, 2]})
    assert answer.status_code == 422
    assert "One destination per job for now" in answer.json["errors"][field][0]


def test_a_revoked_agent_is_no_end_of_a_job(admin: Api, job_body: dict[str, Any]) -> None:
    admin.delete(f"/api/agents/{job_body['destination_agent_id']}")
    assert list(admin.post("/api/jobs", job_body).json["errors"]) == ["destination_agent_id"]


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("/srv/data", "/srv/data"),
        ("/srv/data", "/srv//data/./"),
        ("C:\\Data", "c:/data/"),
        ("/srv/data/f", "/srv/data/f"),
    ],
)
def test_an_agents_path_is_not_copied_onto_itself(
    admin: Api, job_body: dict[str, Any], source: str, destination: str
) -> None:
    there = job_body | {"source_path": source, "destination_path": destination}
    refused = admin.post("/api/jobs", there | {"destination_agent_id": there["source_agent_id"]})
    assert refused.status_code == 422
    assert refused.json["errors"] == {"destination_path": ["This is the source itself: choose another destination."]}
    assert admin.post("/api/jobs", there).status_code == 201


@pytest.mark.parametrize(
    ("source", "destination"),
    [("/srv/data", "/srv/data/copy"), ("/srv/data", "/srv/Data"), ("data", "data"), ("/srv/data/*", "/srv/data")],
)
def test_other_paths_of_the_same_agent_are_its_own_to_judge(
    admin: Api, job_body: dict[str, Any], source: str, destination: str
) -> None:
    both = {"source_path": source, "destination_path": destination, "destination_agent_id": job_body["source_agent_id"]}
    assert admin.post("/api/jobs", job_body | both).status_code == 201


def test_a_name_is_given_once(admin: Api, job_body: dict[str, Any]) -> None:
    assert admin.post("/api/jobs", job_body).status_code == 201
    assert admin.post("/api/jobs", job_body).status_code == 409


def test_running_answers_202_and_where_to_follow(admin: Api, job_body: dict[str, Any]) -> None:
    job = admin.post("/api/jobs", job_body).json
    started = admin.post(f"/api/jobs/{job['id']}/run")
    assert started.status_code == 202
    assert started.headers["Location"] == f"/api/runs/{started.json['id']}"
    assert (started.json["job_id"], started.json["status"], started.json["requested_by"]) == (
        job["id"],
        "queued",
        "admin@example.org",
    )
    assert started.json["files_total"] is None
    assert admin.get(started.headers["Location"]).json == started.json


def test_jobs_that_do_not_exist(admin: Api) -> None:
    assert admin.get("/api/jobs/424242").status_code == 404
    assert admin.post("/api/jobs/424242/run").status_code == 404
