"""The command line against the real API and database: both ends of each request agree."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from fileflux.cli.options import ExitCode
from fileflux.protocol.messages import BrowseItem, BrowseResult, DoctorCheck, DoctorResult
from fileflux.storage import alerts, transfers, users
from fileflux.web.deps import LiveAgent
from tests.cli.conftest import Command
from tests.web.conftest import PASSWORD, ScriptedHub, app, clock, hub, limits

# Fixtures of the API's tests, used here by name.
__all__ = ["app", "clock", "hub", "limits"]


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """No lines on stderr: the tests look at it."""


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """The URL of a server of ``app`` in this process."""
    # The hub is in the same process, and its log would stand between what commands print.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        structlog.reset_defaults()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    with serving(app) as url:
        yield url


class Shell:
    """Commands that must work; what they print as data, and what they say."""

    def __init__(self, fileflux: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self._fileflux = fileflux
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str, stdin: str = "") -> Any:
        out = self.plain(*words, "--json", stdin=stdin)
        return json.loads(out)

    def plain(self, *words: str, stdin: str = "", code: ExitCode = ExitCode.OK) -> str:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        got, out, err = self._fileflux(*words)
        assert got == code, err
        return out


@pytest.fixture
def ask(address: str, hub: ScriptedHub, fileflux: Command, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Logged in as an administrator."""
    with hub.database.transaction() as tx:
        users.create(tx, "admin@example.org", hub.hash(PASSWORD), "admin")
    shell = Shell(fileflux, monkeypatch)
    shell.plain("login", address, "--email", "admin@example.org", "--password-stdin", stdin=PASSWORD + "\n")
    return shell


def test_from_login_to_logout(ask: Shell, hub: ScriptedHub, clock, fileflux: Command) -> None:
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


def test_users_keys_and_settings(ask: Shell, fileflux: Command, address: str) -> None:
    made = ask("users", "create", "ann@example.org", "--role", "operator", "--name", "Ann", "--generate-password")
    assert (made["role"], made["name"]) == ("operator", "Ann")
    assert [user["email"] for user in ask("users", "list", "--role", "operator")] == ["ann@example.org"]
    assert ask("users", "show", "ann@example.org")["id"] == made["id"]
    edit = ("users", "edit", f"#{made['id']}")
    assert ask(*edit, "--role", "viewer", "--disable")["disabled"] is True
    assert ask(*edit, "--enable", "--password-stdin", stdin="another long one\n")["disabled"] is False
    ask.plain("users", "delete", "ann@example.org")
    ask.plain("users", "show", "ann@example.org", code=ExitCode.NOT_FOUND)
    ask.plain("users", "delete", "admin@example.org", code=ExitCode.OTHER)

    key = ask("keys", "create", "script", "--scope", "read", "--expires-in-days", "3")
    assert key["value"].startswith("ffk_")
    assert [item["name"] for item in ask("keys", "list")] == ["script"]
    with_key = ("--url", address, "--token", key["value"])
    assert fileflux(*with_key, "jobs", "list")[0] == ExitCode.OK
    assert fileflux(*with_key, "agents", "create", "x")[0] == ExitCode.FORBIDDEN
    ask.plain("keys", "revoke", str(key["key"]["id"]))
    assert fileflux(*with_key, "jobs", "list")[0] == ExitCode.FORBIDDEN

    assert ask("settings", "set", "site_name=Berlin", "max_key_days=30")["site_name"] == "Berlin"
    assert ask("settings", "set", "default_token_days=none")["default_token_days"] is None
    assert ask("settings", "show")["max_key_days"] == 30
    actions = [entry["action"] for entry in ask("audit", "list", "--actor", "admin@example.org")]
    assert {"user.created", "key.created", "settings.changed"} <= set(actions)
    assert "site" not in ask.plain("audit", "list", "--action", "user.created")

    ask.plain("password", "--password-stdin", stdin=f"{PASSWORD}\na better one for once\n")
    assert ask("whoami")["via"] == "session"
    ask.plain("password", "--password-stdin", stdin="wrong\nyet another one\n", code=ExitCode.USAGE)


def test_jobs_runs_and_transfers(ask: Shell, hub: ScriptedHub) -> None:
    for name in ("web-1", "backup"):
        ask("agents", "create", name)
    made = ask("jobs", "create", "nightly", "web-1:/a", "backup:/b", "--tag", "t", "--retry-delay", "1m", "--disabled")
    assert (made["enabled"], made["retry"]["delay"]) == (False, 60.0)
    assert ask("jobs", "enable", "nightly")["enabled"] is True
    changed = ask("jobs", "edit", "nightly", "--parallel", "2", "--retry-attempts", "1", "--clear", "tags")
    assert (changed["parallel"], changed["retry"], changed["tags"]) == (
        2,
        {"attempts": 1, "delay": 60.0, "factor": 2.0},
        [],
    )
    assert len(ask("jobs", "versions", "nightly")) == changed["version"]
    assert [job["id"] for job in ask("jobs", "list", "--agent", "backup", "--enabled")] == [made["id"]]
    assert ask("jobs", "list", "--disabled") == []
    assert ask("jobs", "list", "--ad-hoc") == []
    run = ask("jobs", "run", "nightly")
    number = str(run["id"])
    listed = ask("runs", "list", "--agent", "web-1", "--since", "2020-01-01T00:00:00Z", "--sort", "-created_at")
    assert [item["id"] for item in listed] == [run["id"]]
    ask.plain("jobs", "delete", "nightly", code=ExitCode.OTHER)
    ask("runs", "pause", number)
    ask("runs", "resume", number)
    ask.plain("runs", "cancel", number)
    assert len(hub.told) >= 3
    with hub.database.transaction() as tx:
        tx.execute("UPDATE runs SET status = 'failed' WHERE id = %s", (run["id"],))
        (row,) = transfers.insert_many(tx, run["id"], [transfers.NewTransfer(b"report.csv", 100, 1, 0o644, 8 * 2**20)])
        tx.execute("UPDATE transfers SET status = 'failed' WHERE id = %s", (row.id,))
    found = ask("transfers", "list", "--run", number, "--filename", "REPORT", "--status", "failed")
    assert [item["filename"] for item in found] == ["report.csv"]
    transfer = str(found[0]["id"])
    assert ask("transfers", "show", transfer)["status"] == "failed"
    assert ask("transfers", "chunks", transfer)[0]["index"] == 0
    ask.plain("transfers", "resume", transfer, code=ExitCode.OTHER)
    ask.plain("transfers", "cancel", transfer, code=ExitCode.OTHER)
    assert ask("runs", "retry", number)["id"] > run["id"]
    with hub.database.transaction() as tx:
        tx.execute("UPDATE runs SET status = 'cancelled', ended_at = now() WHERE job_id = %s", (made["id"],))
    assert ask("dashboard")["agents"]["new"] == 2
    assert "agents" in ask.plain("dashboard")
    ask.plain("jobs", "delete", "nightly")
    ask.plain("jobs", "show", "nightly", code=ExitCode.NOT_FOUND)


def test_agents_tokens_and_alerts(ask: Shell, hub: ScriptedHub) -> None:
    made = ask("agents", "create", "web-1", "--tag", "a")
    assert ask("agents", "edit", "web-1", "--name", "web-01", "--tag", "b", "--description", "d")["tags"] == ["b"]
    assert [agent["name"] for agent in ask("agents", "list", "--tag", "b", "--status", "new")] == ["web-01"]
    assert ask("agents", "list", "--temporary") == []
    ask.plain("agents", "browse", "web-01", code=ExitCode.TEMPORARY)
    ask.plain("agents", "doctor", "web-01", code=ExitCode.TEMPORARY)
    hub.browse_answer = BrowseResult(1, path="/srv", parent="", items=(BrowseItem("a", "file", size=3),))
    assert [(item["name"], item["size"]) for item in ask("agents", "browse", "web-01", "/srv")] == [("a", 3)]
    hub.doctor_answer = DoctorResult(1, checks=(DoctorCheck("dns", "ok", "127.0.0.1"),))
    assert ask("agents", "doctor", "web-01")["works"] is True
    token = ask("tokens", "create", "web-01")["token"]["id"]
    other = ask("tokens", "rotate", str(token), "--overlap-hours", "1")["token"]["id"]
    assert [item["id"] for item in ask("tokens", "list", "--agent", "web-01")] == [token, other]
    ask.plain("tokens", "revoke", str(token))
    with hub.database.transaction() as tx:
        alerts.raise_alert(tx, "token_on_two_hosts", f"agent:{made['id']}", "two hosts")
    (alert,) = ask("alerts", "list")
    assert ask("alerts", "dismiss", str(alert["id"]))["dismissed_by"] == "admin@example.org"
    assert ask("alerts", "list") == []
    assert len(ask("alerts", "list", "--dismissed")) == 1
    ask.plain("agents", "revoke", "web-01")
    assert ask("agents", "show", "web-01")["status"] == "revoked"
    ask.plain("logout", "--everywhere")
    ask.plain("whoami", code=ExitCode.FORBIDDEN)
