"""Commands run in this process, with a login and settings of their own, and a scripted hub that knows a little of everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fileflux.cli import credentials
from fileflux.cli.main import run
from tests.cli.stub import StubHub, run_record

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def login_file(tmp_path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "config" / "credentials.json"
    monkeypatch.setattr(credentials, "default_path", lambda: path)
    for name in ("FILEFLUX_URL", "FILEFLUX_TOKEN", "FILEFLUX_TOKEN_FILE", "FILEFLUX_INSECURE", "FILEFLUX_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def fileflux(login_file, capsys: pytest.CaptureFixture[str]) -> Command:
    """``fileflux("runs", "list")`` gives the exit code, stdout and stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return int(code), out, err

    return command


AGENTS = [
    {"id": 1, "name": "web-1", "status": "online", "tags": []},
    {"id": 2, "name": "7", "status": "new", "tags": ["x"]},
]
JOBS = [
    {
        "id": 3,
        "name": "nightly",
        "source_agent_id": 1,
        "source_path": "/a",
        "destination_agent_id": 99,
        "destination_path": "/b",
        "enabled": True,
        "retry": {"attempts": 5, "delay": 10.0, "factor": 2.0},
    }
]
USERS = [{"id": 1, "email": "ann@example.org", "name": "Ann", "role": "admin", "disabled": False}]
ALERT = {
    "id": 6,
    "kind": "refresh_reused",
    "object": "user:1",
    "count": 1,
    "last_at": "2026-01-01T00:00:00+00:00",
    "message": "m",
}
DASHBOARD = {
    "agents": {"online": 1, "offline": 0}, "runs": {"active": 1, "queued": 0, "last_24h": {"succeeded": 2, "failed": 1}},
    "bytes_24h": {"moved": 4096, "wire": 2048, "reused": 0}, "active_runs": [run_record()], "failing_jobs": [], "alerts": [ALERT],
    "version": "0.1.0",
}  # fmt: skip
EVENTS = b': hello\n\nid: 41\nevent: run\ndata: {"id": 5}\n\nid: 42\nevent: transfer\ndata: {"id":\ndata: 8}\n\n'


def listing(items: list[dict]) -> tuple[int, dict]:
    return 200, {"items": items, "next_cursor": None}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    routes = {
        "GET /api/agents": listing(AGENTS),
        "GET /api/agents/1": (200, AGENTS[0]),
        "POST /api/temporary-agents": (201, {"agent": {"id": 30, "name": "me@host-1"}, "value": "ffx_secret"}),
        "DELETE /api/temporary-agents/30": (204, None),
        "GET /api/agents/30": [(200, {"id": 30, "status": "new"}), (200, {"id": 30, "status": "online"})],
        "POST /api/agents": lambda _query, _token, body: (201, {"id": 9, **body}),
        "DELETE /api/agents/1": (204, None),
        "POST /api/agents/1/test": (200, {"round_trip_ms": 1.5}),
        "GET /api/tokens": listing([{"id": 4, "agent_id": 1, "name": "", "prefix": "ffx_ab"}]),
        "POST /api/tokens": (201, {"token": {"id": 4, "agent_id": 1}, "value": "ffx_value"}),
        "DELETE /api/tokens/4": (204, None),
        "GET /api/jobs": listing(JOBS),
        "POST /api/jobs": lambda _query, _token, body: (201, {"id": 3, **body}),
        "POST /api/jobs/3/run": (202, run_record()),
        "GET /api/runs": listing([run_record()]),
        "GET /api/runs/5": (200, run_record(status="succeeded")),
        "POST /api/runs/5/cancel": (202, run_record()),
        "GET /api/transfers": listing([{"id": 8, "run_id": 5, "filename": "a"}]),
        "GET /api/transfers/8": (200, {"id": 8, "filename": "a"}),
        "PATCH /api/agents/1": lambda _query, _token, body: (200, AGENTS[0] | body),
        "GET /api/agents/1/browse": listing([{"name": "a", "kind": "file", "size": 1, "mtime": None, "mode": "0644"}]),
        "POST /api/agents/1/doctor": (
            200,
            {"works": False, "checks": [{"name": "dns", "status": "fail", "found": "", "advice": "x"}]},
        ),
        "POST /api/tokens/4/rotate": (201, {"token": {"id": 7, "agent_id": 1}, "value": "ffx_value"}),
        "GET /api/jobs/3": (200, JOBS[0], {"ETag": '"2"'}),
        "PATCH /api/jobs/3": lambda _query, _token, body: (200, JOBS[0] | body),
        "DELETE /api/jobs/3": (204, None),
        "POST /api/jobs/3/enable": (200, JOBS[0]),
        "POST /api/jobs/3/disable": (200, JOBS[0]),
        "GET /api/jobs/3/versions": listing([{"version": 1, "changed_by": "a@b", "enabled": True, "job": JOBS[0]}]),
        "POST /api/runs/5/retry": (202, run_record()),
        "POST /api/runs/5/pause": (202, run_record()),
        "POST /api/runs/5/resume": (202, run_record()),
        "GET /api/transfers/8/chunks": listing([{"index": 0, "offset": 0, "size": 1, "status": "done"}]),
        "POST /api/transfers/8/cancel": (202, {"id": 8}),
        "POST /api/transfers/8/resume": (202, {"id": 8}),
        "GET /api/users": listing(USERS),
        "GET /api/users/1": (200, USERS[0]),
        "POST /api/users": lambda _query, _token, body: (
            201,
            {"id": 2, **{k: v for k, v in body.items() if k != "password"}},
        ),
        "PATCH /api/users/1": (200, USERS[0]),
        "DELETE /api/users/1": (204, None),
        "GET /api/keys": listing([{"id": 7, "name": "ci", "scopes": ["read"]}]),
        "POST /api/keys": (201, {"key": {"id": 7, "name": "ci"}, "value": "ffk_value"}),
        "DELETE /api/keys/7": (204, None),
        "GET /api/alerts": listing([ALERT]),
        "POST /api/alerts/6/dismiss": (200, ALERT),
        "GET /api/audit": listing(
            [{"id": 1, "at": "2026-01-01T00:00:00+00:00", "actor": "a@b", "action": "job.created"}]
        ),
        "GET /api/settings": (200, {"site_name": "x", "default_token_days": None}),
        "PATCH /api/settings": lambda _query, _token, body: (200, body),
        "GET /api/dashboard": (200, DASHBOARD),
        "GET /api/events": (200, EVENTS, {"Content-Type": "text/event-stream"}),
        "GET /api/auth/user": (200, {"id": 1, "email": "ann@example.org", "role": "admin", "via": "key"}),
    }
    with StubHub(routes) as stub:
        monkeypatch.setenv("FILEFLUX_URL", stub.url)
        monkeypatch.setenv("FILEFLUX_TOKEN", "t")
        yield stub


# The login file's fixture clears the environment, so it has to come before ``hub`` sets it.
@pytest.fixture
def command(fileflux: Command, hub: StubHub) -> Command:
    return fileflux
