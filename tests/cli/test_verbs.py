"""Each verb sends what the API takes, and prints what it answers in every form."""

from __future__ import annotations

import io
import json

import pytest
import yaml

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub, problem

READS = [
    ("users list --role admin", "GET /api/users", "limit=200&role=admin"),
    ("users show ann@example.org", "GET /api/users", "limit=200&email=ann%40example.org"),
    ("users show #1", "GET /api/users/1", ""),
    ("keys list --user 1", "GET /api/keys", "limit=200&user_id=1"),
    ("tokens list --agent web-1", "GET /api/tokens", "limit=200&agent_id=1"),
    ("agents list --status online --status new --tag x", "GET /api/agents", "limit=200&status=online&status=new&tag=x"),
    ("agents list --temporary", "GET /api/agents", "limit=200&temporary=true"),
    ("agents show web-1", "GET /api/agents", "limit=200&name=web-1"),
    ("agents browse web-1", "GET /api/agents/1/browse", "limit=200"),
    ("agents browse web-1 /srv/a", "GET /api/agents/1/browse", "limit=200&path=%2Fsrv%2Fa"),
    ("jobs list --agent 1 --disabled --tag x", "GET /api/jobs", "limit=200&tag=x&agent_id=1&enabled=false"),
    ("jobs list --ad-hoc", "GET /api/jobs", "limit=200&ad_hoc=true"),
    ("jobs show nightly --json", "GET /api/jobs", "limit=200&name=nightly"),
    ("jobs versions nightly", "GET /api/jobs/3/versions", "limit=100"),
    ("runs list --job 3 --status failed --status partial --sort -id --since 2026-01-01T00:00:00Z", "GET /api/runs",
     "limit=50&job_id=3&status=failed&status=partial&since=2026-01-01T00%3A00%3A00Z&sort=-id"),
    ("runs show 5", "GET /api/runs/5", ""),
    ("transfers list --run 5 --filename rep", "GET /api/transfers", "limit=50&run_id=5&filename=rep"),
    ("transfers list --run 5 --code no_space", "GET /api/transfers", "limit=50&run_id=5&code=no_space"),
    ("transfers show 8", "GET /api/transfers/8", ""),
    ("transfers chunks 8", "GET /api/transfers/8/chunks", "limit=200"),
    ("alerts list --dismissed", "GET /api/alerts", "limit=200&dismissed=true"),
    ("audit list --actor a@b --object job:3", "GET /api/audit", "limit=50&actor=a%40b&object=job%3A3"),
    ("settings show", "GET /api/settings", ""),
    ("dashboard", "GET /api/dashboard", ""),
    ("whoami", "GET /api/auth/user", ""),
]  # fmt: skip


@pytest.mark.parametrize(("words", "line", "query"), READS)
def test_what_reads(command: Command, hub: StubHub, words: str, line: str, query: str) -> None:
    code, table, err = command(*words.split())
    assert (code, err) == (ExitCode.OK, "")
    assert table
    assert hub.requests[-1][:2] == (line, query)
    as_json, as_yaml = command(*words.split(), "--json")[1], command(*words.split(), "-o", "yaml")[1]
    assert isinstance(
        json.loads(as_json),
        list if " list" in words or "browse" in words or "vers" in words or "chunks" in words else dict,
    )
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


ACTS = [
    ("users create bob@x --role viewer --password-stdin", "POST /api/users", {"email": "bob@x", "role": "viewer", "password": "a long one"}),
    ("users edit #1 --role auditor --disable", "PATCH /api/users/1", {"role": "auditor", "disabled": True}),
    ("users edit #1 --enable --name N --password-stdin", "PATCH /api/users/1", {"name": "N", "disabled": False, "password": "a long one"}),
    ("users delete ann@example.org", "DELETE /api/users/1", None),
    ("keys create ci --scope read --scope jobs:run", "POST /api/keys", {"name": "ci", "scopes": ["read", "jobs:run"]}),
    ("keys create ci --scope all --expires-in-days 3", "POST /api/keys", {"name": "ci", "scopes": ["all"], "expires_in_days": 3}),
    ("keys revoke 7", "DELETE /api/keys/7", None),
    ("tokens rotate 4 --overlap-hours 0", "POST /api/tokens/4/rotate", {"overlap_hours": 0}),
    ("tokens revoke 4 --yes", "DELETE /api/tokens/4", None),
    ("agents edit web-1 --name w --tag a", "PATCH /api/agents/1", {"name": "w", "tags": ["a"]}),
    ("agents edit web-1 --no-tags", "PATCH /api/agents/1", {"tags": []}),
    ("agents revoke web-1", "DELETE /api/agents/1", None),
    ("agents test web-1", "POST /api/agents/1/test", None),
    ("jobs edit nightly --verify full --retry-delay 1m --clear exclude", "PATCH /api/jobs/3",
     {"exclude": [], "verify": "full", "retry": {"attempts": 5, "delay": 60.0, "factor": 2.0}}),
    ("jobs edit nightly --source 7:/x --name n", "PATCH /api/jobs/3", {"source_agent_id": 2, "source_path": "/x", "name": "n"}),
    ("jobs delete nightly", "DELETE /api/jobs/3", None),
    ("jobs enable nightly", "POST /api/jobs/3/enable", None),
    ("jobs disable nightly", "POST /api/jobs/3/disable", None),
    ("jobs run nightly", "POST /api/jobs/3/run", None),
    ("runs cancel 5", "POST /api/runs/5/cancel", None),
    ("runs retry 5", "POST /api/runs/5/retry", None),
    ("runs pause 5", "POST /api/runs/5/pause", None),
    ("runs resume 5", "POST /api/runs/5/resume", None),
    ("transfers cancel 8", "POST /api/transfers/8/cancel", None),
    ("transfers resume 8", "POST /api/transfers/8/resume", None),
    ("alerts dismiss 6", "POST /api/alerts/6/dismiss", None),
    ("settings set site_name=Berlin max_key_days=30 default_token_days=none", "PATCH /api/settings",
     {"site_name": "Berlin", "max_key_days": 30, "default_token_days": None}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "line", "body"), ACTS)
def test_what_acts(
    command: Command, hub: StubHub, words: str, line: str, body: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long one\n"))
    code, _, err = command(*words.split())
    assert code == ExitCode.OK, err
    assert (hub.requests[-1][0], hub.requests[-1][3]) == (line, body)
    assert ("Idempotency-Key" in hub.headers[-1]) == line.startswith("POST ")
    assert hub.headers[-1].get("If-Match") == ('"2"' if "/jobs/3" in line and not line.endswith("/run") else None)


def test_every_option_of_a_job(command: Command, hub: StubHub) -> None:
    words = """jobs create j web-1:/a 7:/b --description d --tag t --type pull --include *.csv --exclude tmp/** --no-recursive
        --compression zstd --chunk-size 1MiB --verify full --hub-check all --conflict newer --on-change fail --preserve mtime
        --retry-attempts 1 --retry-delay 2s --retry-factor 3 --deadline 1h --parallel 2 --disabled"""
    assert command(*words.split())[0] == ExitCode.OK
    assert hub.requests[-1][3] == {
        "name": "j", "source_agent_id": 1, "source_path": "/a", "destination_agent_id": 2, "destination_path": "/b", "description": "d",
        "tags": ["t"], "type": "pull", "include": ["*.csv"], "exclude": ["tmp/**"], "recursive": False, "compression": "zstd",
        "chunk_size": 1_048_576, "verify": "full", "hub_check": "all", "conflict": "newer", "on_change": "fail", "preserve": ["mtime"],
        "retry": {"attempts": 1, "delay": 2.0, "factor": 3.0}, "deadline": 3600.0, "parallel": 2, "enabled": False,
    }  # fmt: skip
    assert command("jobs", "create", "j", "web-1:/a", "7:/b", "--preserve", "none")[0] == ExitCode.OK
    assert hub.requests[-1][3]["preserve"] == []


@pytest.mark.parametrize(
    "words",
    [
        "users edit #1", "agents edit web-1", "jobs edit nightly", "agents edit web-1 --tag a --no-tags", "jobs edit nightly --clear name",
        "settings set nonsense", "users create a@b --role king", "users create a@b --role viewer", "users edit #1 --new-password",
        "users create a@b --role viewer --generate-password --password-stdin", "keys create x", "runs list --status bogus",
        "jobs create j web-1:/a 7:/b --deadline soon", "runs list --fields , ", "runs show 5 --fields nmae", "tokens rotate 4 --overlap-hours 169",
        "completion tcsh", "jobs create j ./a 7:/b", "password",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_not_sent(
    command: Command, hub: StubHub, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, err = command(*words.split())
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith("fileflux: ")
    assert err.count("\n") == 1
    assert all(line.startswith("GET ") for line in hub.lines())


def test_a_password_that_is_made_up_is_printed_once(command: Command, hub: StubHub) -> None:
    made = json.loads(command("users", "create", "a@b", "--role", "viewer", "--generate-password", "--json")[1])
    assert len(made["password"]) == 24
    assert hub.requests[-1][3]["password"] == made["password"]


@pytest.mark.parametrize("words", ["keys create ci --scope read", "tokens create web-1", "tokens rotate 4"])
def test_a_secret_is_alone_on_stdout_and_one_that_got_lost_is_said(command: Command, hub: StubHub, words: str) -> None:
    code, out, err = command(*words.split())
    assert code == ExitCode.OK
    assert out in ("ffk_value\n", "ffx_value\n")
    assert "not shown again" in err
    assert json.loads(command(*words.split(), "--json")[1])["value"] == out.strip()
    for line in ("POST /api/keys", "POST /api/tokens", "POST /api/tokens/4/rotate"):
        status, answer = hub.routes[line]
        hub.routes[line] = (status, answer | {"value": None})
    code, out, err = command(*words.split())
    assert (code, out) == (ExitCode.OTHER, "")
    assert "revoke" in err


def test_somebody_else_was_quicker(command: Command, hub: StubHub) -> None:
    hub.routes["PATCH /api/jobs/3"] = problem(412, "version_conflict", "the job has changed; look at it again")
    code, _, err = command("jobs", "edit", "nightly", "--parallel", "2")
    assert (code, err) == (ExitCode.OTHER, "fileflux: the job has changed; look at it again\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "done"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_terminal_is_asked_before_something_is_gone(
    command: Command, hub: StubHub, answer: str, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    code, _, err = command("jobs", "delete", "nightly")
    assert "Delete the job nightly? [y/N]" in err
    assert code == (ExitCode.OK if done else ExitCode.OTHER)
    assert ("DELETE /api/jobs/3" in hub.lines()) == done
    assert command("jobs", "delete", "nightly", "--yes")[2] == ""


def test_a_doctor_that_found_something(command: Command) -> None:
    code, out, _ = command("agents", "doctor", "web-1")
    assert code == ExitCode.OTHER
    assert "dns" in out
    assert json.loads(command("agents", "doctor", "web-1", "--json")[1])["works"] is False


def test_the_dashboard_for_people(command: Command) -> None:
    out = command("dashboard")[1]
    assert "4.0 KiB (2.0 KiB on the wire" in out
    assert "active runs\n" in out
    assert "refresh_reused" in out
    assert "failing jobs" not in out
