from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from fileflux.bus.events import JobChanged
from fileflux.storage import runs
from fileflux.web.context import deps
from tests.web.conftest import Api, ScriptedHub


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


def edit(api: Api, job_id: int, change: dict[str, Any], **headers: str) -> TestResponse:
    return api.call("PATCH", f"/api/jobs/{job_id}", change, **headers)


def test_an_edit_changes_what_it_names_and_nothing_else(
    admin: Api, app: Flask, hub: ScriptedHub, job_body: dict[str, Any]
) -> None:
    with app.app_context():
        events = deps().bus.subscribe([JobChanged], 10)
    job = admin.post("/api/jobs", job_body | {"tags": ["a"], "retry": {"attempts": 1, "delay": 7.0}}).json
    run = admin.post(f"/api/jobs/{job['id']}/run").json
    edited = edit(admin, job["id"], {"source_path": "/srv/new", "retry": {"attempts": 9}, "enabled": False})
    assert edited.status_code == 200, edited.text
    expected = job | {
        "source_path": "/srv/new",
        "retry": {"attempts": 9, "delay": 7.0, "factor": 2.0},
        "enabled": False,
        "version": 2,
        "last_run": run["created_at"],
        "last_run_id": run["id"],
    }
    assert edited.json | {"updated_at": ""} == expected | {"updated_at": ""}
    assert edited.headers["ETag"] == '"2"'
    assert admin.get(f"/api/jobs/{job['id']}").json == edited.json
    with hub.database.transaction() as tx:
        before = runs.get(tx, run["id"])
        action, job_named, detail = tx.one("SELECT action, object, detail FROM audit ORDER BY id DESC LIMIT 1") or ()
    assert before is not None
    assert before.spec["source_path"] == "/srv/data"
    assert (action, job_named, detail["changes"]) == (
        "job.changed",
        f"job:{job['id']}",
        {
            "source_path": ["/srv/data", "/srv/new"],
            "retry": [job["retry"], expected["retry"]],
            "enabled": [True, False],
        },
    )
    # Nothing to change is no change.
    assert edit(admin, job["id"], {}).json == edited.json == edit(admin, job["id"], {"enabled": False}).json
    assert events.take_all() == [JobChanged(job["id"], 1, deleted=False), JobChanged(job["id"], 2, deleted=False)]


def test_versions_are_kept_with_who_made_them(admin: Api, as_role, job_body: dict[str, Any]) -> None:
    job = admin.post("/api/jobs", job_body).json
    edit(as_role("operator"), job["id"], {"name": "hourly"})
    admin.post(f"/api/jobs/{job['id']}/disable")
    first = admin.get(f"/api/jobs/{job['id']}/versions?limit=2").json
    rest = admin.get(f"/api/jobs/{job['id']}/versions?cursor={first['next_cursor']}").json
    shown = [
        (one["version"], one["changed_by"], one["enabled"], one["job"]["name"])
        for one in first["items"] + rest["items"]
    ]
    assert shown == [
        (3, "admin@example.org", False, "hourly"),
        (2, "operator@example.org", True, "hourly"),
        (1, "admin@example.org", True, "nightly"),
    ]
    assert [one["changes"] for one in first["items"] + rest["items"]] == [
        {"enabled": [True, False]},
        {"name": ["nightly", "hourly"]},
        {},
    ]
    assert rest["next_cursor"] is None
    assert rest["items"][0]["job"].items() <= job.items()
    assert admin.get("/api/jobs/424242/versions").status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "taken"}, None),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"version": 5}, "version"),
        ({"retry": {"forever": 1}}, "retry.forever"),
        ({"retry": None}, "retry"),
        ({"include": ["{" * 500]}, "include"),
        ({"destination_agent_id": 424242}, "destination_agent_id"),
        ({"destination_path": ["/a", "/b"]}, "destination_path"),
        ({"enabled": "no"}, "enabled"),
    ],
)
def test_an_edit_is_checked_like_a_new_job(
    admin: Api, job_body: dict[str, Any], change: dict[str, Any], field: str | None
) -> None:
    admin.post("/api/jobs", job_body | {"name": "taken"})
    job = admin.post("/api/jobs", job_body).json
    answer = edit(admin, job["id"], change)
    if field is None:
        assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    else:
        assert (answer.status_code, answer.json["code"], list(answer.json["errors"])) == (422, "invalid", [field])
    assert admin.get(f"/api/jobs/{job['id']}").json == job


def test_an_edit_cannot_make_a_job_that_copies_onto_itself(admin: Api, job_body: dict[str, Any]) -> None:
    job = admin.post("/api/jobs", job_body | {"destination_agent_id": job_body["source_agent_id"]}).json
    answer = edit(admin, job["id"], {"destination_path": "/srv/data/"})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["destination_path"])
    admin.delete(f"/api/agents/{job_body['source_agent_id']}")
    assert "source_agent_id" in edit(admin, job["id"], {"description": "x"}).json["errors"]


def test_a_change_can_be_tied_to_a_version(admin: Api, job_body: dict[str, Any]) -> None:
    made = admin.post("/api/jobs", job_body)
    path = f"/api/jobs/{made.json['id']}"
    assert made.headers["ETag"] == '"1"' == admin.get(path).headers["ETag"]
    for wrong in ('"2"', '"0", "7"', 'W/"1"', "", '""'):
        for method, where in (
            ("PATCH", path),
            ("DELETE", path),
            ("POST", f"{path}/disable"),
            ("POST", f"{path}/enable"),
        ):
            answer = admin.call(method, where, {"parallel": 2} if method == "PATCH" else None, **{"If-Match": wrong})
            assert (answer.status_code, answer.json["code"]) == (412, "version_conflict"), (wrong, method)
    assert edit(admin, made.json["id"], {"parallel": 2}, **{"If-Match": '"1"'}).json["version"] == 2
    assert admin.call("POST", f"{path}/disable", **{"If-Match": '"7", "2"'}).headers["ETag"] == '"3"'
    for same in ('"3"', 'W/"3"', '"1", "3"', "*"):
        answer = admin.call("GET", path, **{"If-None-Match": same})
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", '"3"')
    assert admin.call("GET", path, **{"If-None-Match": '"2"'}).status_code == 200
    assert admin.call("DELETE", path, **{"If-Match": "*"}).status_code == 204


def test_a_disabled_job_does_not_run(admin: Api, job_body: dict[str, Any], audited) -> None:
    job = admin.post("/api/jobs", job_body).json
    for _ in range(2):
        assert admin.post(f"/api/jobs/{job['id']}/disable").json["enabled"] is False
    refused = admin.post(f"/api/jobs/{job['id']}/run")
    assert (refused.status_code, refused.json["code"]) == (409, "job_disabled")
    enabled = admin.post(f"/api/jobs/{job['id']}/enable").json
    assert (enabled["enabled"], enabled["version"]) == (True, 3)
    assert admin.post(f"/api/jobs/{job['id']}/run").status_code == 202
    assert [entry[1] for entry in audited()][-2:] == ["job.disabled", "job.enabled"]
    assert admin.post("/api/jobs/424242/enable").status_code == 404


def test_a_deleted_job_is_gone_and_its_runs_stay(
    admin: Api, app: Flask, hub: ScriptedHub, job_body: dict[str, Any], audited
) -> None:
    job = admin.post("/api/jobs", job_body).json
    run = admin.post(f"/api/jobs/{job['id']}/run").json
    refused = admin.delete(f"/api/jobs/{job['id']}")
    assert (refused.status_code, refused.json["code"]) == (409, "job_running")
    with hub.database.transaction() as tx:
        tx.execute("UPDATE runs SET status = 'succeeded'")
    with app.app_context():
        events = deps().bus.subscribe([JobChanged], 10)
    assert admin.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert events.take_all() == [JobChanged(job["id"], 1, deleted=True)]
    assert audited()[-1][1:3] == ("job.deleted", f"job:{job['id']}")
    for method, where in (("GET", ""), ("DELETE", ""), ("GET", "/versions"), ("POST", "/run"), ("POST", "/enable")):
        assert admin.call(method, f"/api/jobs/{job['id']}{where}").status_code == 404, where
    assert edit(admin, job["id"], {"parallel": 2}).status_code == 404
    assert admin.get("/api/jobs").json["items"] == []
    assert admin.get(f"/api/runs/{run['id']}").status_code == 200
    assert admin.post("/api/jobs", job_body).status_code == 201


def test_lists_are_filtered_and_sorted(admin: Api, job_body: dict[str, Any]) -> None:
    def make(name: str, **change: Any) -> int:
        return admin.post("/api/jobs", job_body | {"name": name} | change).json["id"]

    one = make("b", tags=["x"])
    two = make("a", enabled=False, destination_agent_id=job_body["source_agent_id"])
    sent = make("sent", ad_hoc=True)

    def found(query: str) -> list[int]:
        return [item["id"] for item in admin.get(f"/api/jobs?{query}").json["items"]]

    assert found("") == [one, two]
    assert found("ad_hoc=true") == [sent]
    assert found("sort=name") == found("sort=-id") == [two, one]
    assert found("tag=x") == found("enabled=true") == found("name=b") == [one]
    assert found(f"agent_id={job_body['destination_agent_id']}") == [one]
    assert found(f"agent_id={job_body['source_agent_id']}") == [one, two]
    assert found("name=%25") == []
    first = admin.get("/api/jobs?limit=1&sort=-name").json
    assert [item["id"] for item in first["items"]] == [one]
    assert found(f"sort=-name&cursor={first['next_cursor']}") == [two]
    for bad in (
        "sort=spec",
        "sort=name;--",
        "ad_hoc=maybe",
        "tag=",
        "id=1",
        f"sort=name&cursor={first['next_cursor']}",
        "name=a&name=b",
    ):
        assert admin.get(f"/api/jobs?{bad}").status_code == 422, bad
    assert edit(admin, sent, {"ad_hoc": False}).json["ad_hoc"] is False
    assert found("") == [one, two, sent]
