"""The command line against the real API and database: both ends of each request agree."""

from __future__ import annotations

import io
import json
import threading

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from fileflux.cli.options import ExitCode
from fileflux.storage import users
from fileflux.web.deps import LiveAgent
from tests.cli.conftest import Command
from tests.web.conftest import PASSWORD, ScriptedHub, app, clock, hub, limits

# Fixtures of the API's tests, used here by name.
__all__ = ["app", "clock", "hub", "limits"]


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """No lines on stderr: the tests look at it."""


@pytest.fixture
def address(app: Flask):
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_from_login_to_logout(
    address: str, hub: ScriptedHub, clock, fileflux: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub.database.transaction() as tx:
        users.create(tx, "admin@example.org", hub.hash(PASSWORD), "admin")
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert fileflux("login", address, "--email", "admin@example.org", "--password-stdin")[0] == ExitCode.OK

    def ask(*words: str) -> dict | list:
        code, out, err = fileflux(*words, "--json")
        assert code == ExitCode.OK, err
        return json.loads(out)

    for name in ("web-1", "backup"):
        ask("agents", "create", name, "--tag", "t")
    assert fileflux("agents", "create", "web-1")[0] == ExitCode.OTHER
    assert ask("tokens", "create", "web-1", "--expires-in-days", "3")["value"].startswith("ffx_")
    assert len(ask("tokens", "list")) == 1
    assert fileflux("agents", "test", "web-1")[0] == ExitCode.TEMPORARY
    agent_id = ask("agents", "show", "web-1")["id"]
    hub.live_agents[agent_id] = LiveAgent(True, "websocket", "", clock.utc_now(), "s1")
    assert ask("agents", "test", "web-1")["round_trip_ms"] == 12.5
    job = ask(
        "jobs",
        "create",
        "nightly",
        "web-1:/srv/data",
        "backup:/data/",
        "--verify",
        "full",
        "--exclude",
        "tmp/**",
        "--parallel",
        "2",
    )
    assert (job["verify"], job["exclude"], job["parallel"]) == ("full", ["tmp/**"], 2)
    assert fileflux("jobs", "create", "bad", "web-1:/a", "backup:/b", "--verify", "bogus")[0] == ExitCode.USAGE
    run = ask("jobs", "run", "nightly")
    assert [item["id"] for item in ask("runs", "list", "--job", "nightly", "--status", "queued")] == [run["id"]]
    assert ask("transfers", "list", "--run", str(run["id"])) == []
    with hub.database.transaction() as tx:
        tx.execute("UPDATE runs SET status = 'cancelled' WHERE id = %s", (run["id"],))
    assert fileflux("runs", "wait", str(run["id"]))[0] == ExitCode.CANCELLED
    assert fileflux("runs", "show", "424242")[0] == ExitCode.NOT_FOUND
    clock.advance(3600)
    assert ask("whoami")["email"] == "admin@example.org"
    assert fileflux("logout")[0] == ExitCode.OK
    assert fileflux("whoami")[0] == ExitCode.FORBIDDEN
