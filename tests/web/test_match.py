from __future__ import annotations

from typing import Any

import pytest

from fileflux.protocol.messages import Entry, ListError, ListResult
from fileflux.web import match
from tests.web.conftest import Api, ScriptedHub

ENTRIES = (
    Entry("a.csv", "file", 10),
    Entry("tmp", "directory"),
    Entry("tmp/b.csv", "file", 20),
    Entry("c.pdf", "file", 40),
    Entry("d.csv", "symlink", 1),
    Entry("caf\udce9.csv", "file", 5, code="young"),
)


def page(entries: tuple[Entry, ...], number: int = 0, *, last: bool = True, **more: Any) -> ListResult:
    return ListResult(7, number, last, "/srv/data", "directory", entries, **more)


def test_paths_that_are_given(as_role) -> None:
    body = {"include": ["*.csv"], "exclude": ["tmp/"], "paths": ["a.csv", "tmp/b.csv", "./c.pdf", "tmp/", "d/.x"]}
    found = as_role("operator").post("/api/jobs/match", body)
    assert found.status_code == 200, found.text
    assert (found.json["files"], found.json["matched"], found.json["directories"]) == (4, 1, 1)
    assert found.json["summary"] == "matches 1 of 4 files"
    shown = {one["path"]: (one["by"], one["pattern"], one["at"]) for one in found.json["unmatched_sample"]}
    assert shown == {
        "tmp/b.csv": ("exclude", "tmp/", "tmp"),
        "c.pdf": ("no_include", "", ""),
        "d/.x": ("no_include", "", ""),
    }
    assert [(one["path"], one["pattern"]) for one in found.json["matched_sample"]] == [("a.csv", "*.csv")]
    assert as_role("viewer").post("/api/jobs/match", body).status_code == 403


def test_what_an_agent_has(admin: Api, hub: ScriptedHub, two_agents: tuple[int, int]) -> None:
    hub.listed = [
        page(ENTRIES[:3], last=False),
        page(ENTRIES[3:], 1, errors=(ListError("x", "permission", "Permission denied"),)),
    ]
    body = {"agent_id": two_agents[0], "path": "/srv/data", "pattern": "*.csv", "exclude": ["/tmp/"]}
    found = admin.post("/api/jobs/match", body).json
    assert (found["files"], found["matched"], found["skipped"], found["directories"]) == (5, 3, 2, 1)
    assert (found["bytes"], found["matched_bytes"], found["base"], found["stopped"]) == (76, 16, "/srv/data", "")
    assert (found["errors"], found["error_sample"]) == (1, [{"path": "x", "message": "Permission denied"}])
    assert {(one["by"], one["pattern"]): one["files"] for one in found["decided"]} == {
        ("include", "*.csv"): 3,
        ("exclude", "/tmp/"): 1,
        ("no_include", ""): 1,
    }
    skipped = {one["path"]: one["skipped"] for one in found["matched_sample"]}
    assert skipped["a.csv"] == ""
    assert "symlink" in skipped["d.csv"]
    assert "younger" in skipped["caf\\xe9.csv"]


def test_it_says_when_it_stopped(
    admin: Api, hub: ScriptedHub, two_agents: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match, "ENTRIES_MAX", 3)
    hub.listed = [page(ENTRIES[:3], last=False), page(ENTRIES[3:], 1)]
    body = {"agent_id": two_agents[0], "path": "/srv/data"}
    found = admin.post("/api/jobs/match", body).json
    assert (found["stopped"], found["files"]) == ("entries", 2)
    assert "there is more" in found["summary"]
    # What ends with its last page was looked at to its end.
    hub.listed = [page(ENTRIES[:3])]
    assert admin.post("/api/jobs/match", body).json["stopped"] == ""


def test_what_cannot_be_asked(admin: Api, hub: ScriptedHub, two_agents: tuple[int, int]) -> None:
    body = {"agent_id": two_agents[0], "path": "/srv/data"}
    assert admin.post("/api/jobs/match", body).json["code"] == "agent_offline"
    hub.listed = [page((), errors=(ListError("", "not_found", "/srv/data does not exist"),))]
    assert admin.post("/api/jobs/match", body).status_code == 404
    assert admin.post("/api/jobs/match", {"agent_id": 999, "path": "/x"}).status_code == 404
    for wrong, field in (
        ({}, "agent_id"),
        ({"agent_id": 1}, "path"),
        ({"paths": [], "agent_id": 1, "path": "x"}, "paths"),
        ({"paths": ["a"], "include": ["[a"]}, "include"),
        ({"paths": ["a"], "pattern": "{a"}, "pattern"),
        ({"paths": ["a"] * (match.PATHS_MAX + 1)}, "paths"),
    ):
        answer = admin.post("/api/jobs/match", wrong)
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), wrong
