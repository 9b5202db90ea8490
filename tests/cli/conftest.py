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
JOBS = [{"id": 3, "name": "nightly", "source_path": "/a", "enabled": True}]


def listing(items: list[dict]) -> tuple[int, dict]:
    return 200, {"items": items, "next_cursor": None}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    routes = {
        "GET /api/agents": listing(AGENTS),
        "GET /api/agents/1": (200, AGENTS[0]),
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
    }
    with StubHub(routes) as stub:
        monkeypatch.setenv("FILEFLUX_URL", stub.url)
        monkeypatch.setenv("FILEFLUX_TOKEN", "t")
        yield stub


# The login file's fixture clears the environment, so it has to come before ``hub`` sets it.
@pytest.fixture
def command(fileflux: Command, hub: StubHub) -> Command:
    return fileflux
