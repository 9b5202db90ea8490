"""The app on a real database; the live parts of the hub, which other tests run for real, answer from what the test put there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fileflux.audit import log as audit
from fileflux.clock import FakeClock
from fileflux.errors import ConflictError, NotFoundError, UnavailableError
from fileflux.protocol.limits import Limits
from fileflux.storage import jobs, runs, users
from fileflux.storage.pool import Database
from fileflux.web.app import create_app
from fileflux.web.context import Role
from fileflux.web.deps import Deps, LiveAgent

SECRET = bytes(range(64))
PASSWORD = "correct horse"


@dataclass
class ScriptedHub:
    """Runs, LiveRuns, AgentsLive and Passwords, scripted; ``passwords_checked`` counts the work a login causes."""

    database: Database
    live_agents: dict[int, LiveAgent] = field(default_factory=dict)
    live_runs: dict[int, Any] = field(default_factory=dict)
    cuts: list[tuple[int, str]] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    passwords_checked: list[str] = field(default_factory=list)
    workers_away: bool = False

    def start(self, job_id: int, requested_by: str) -> runs.RunRow:
        with self.database.transaction() as tx:
            job = jobs.get(tx, job_id)
            if job is None:
                raise NotFoundError(f"there is no job {job_id}")
            return runs.create(tx, job, requested_by)

    def cancel(self, run_id: int, requested_by: str) -> None:
        with self.database.transaction() as tx:
            if runs.get(tx, run_id) is None:
                raise NotFoundError(f"there is no run {run_id}")
        if run_id in self.cancelled:
            raise ConflictError("it has ended already")
        self.cancelled.append(run_id)

    def progress(self, run_id: int) -> Any:
        return self.live_runs.get(run_id)

    def status(self, agent_id: int) -> LiveAgent | None:
        return self.live_agents.get(agent_id)

    def cut(self, agent_id: int, reason: str) -> None:
        self.cuts.append((agent_id, reason))

    def test(self, agent_id: int, timeout: float) -> float:
        if agent_id not in self.live_agents:
            raise UnavailableError("the agent is not connected")
        return 0.0125

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def check(self, password: str, password_hash: str) -> bool:
        if self.workers_away:
            raise UnavailableError("no worker")
        self.passwords_checked.append(password)
        return password_hash == f"hash of {password}"


@dataclass
class Api:
    """Requests as one user."""

    client: FlaskClient
    token: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.open(path, method=method, json=body, headers=sent | headers)

    def get(self, path: str) -> TestResponse:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> TestResponse:
        return self.call("POST", path, body)

    def delete(self, path: str) -> TestResponse:
        return self.call("DELETE", path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def hub(database: Database) -> ScriptedHub:
    return ScriptedHub(database)


@pytest.fixture
def limits() -> Limits:
    return Limits(login_attempts=5, login_window=60.0)


@pytest.fixture
def app(database: Database, hub: ScriptedHub, clock: FakeClock, limits: Limits) -> Flask:
    return create_app(Deps(database, None, limits, SECRET, clock, hub, hub, hub, hub))


@pytest.fixture
def anonymous(app: Flask) -> Api:
    return Api(app.test_client(), "")


@pytest.fixture
def as_role(app: Flask, hub: ScriptedHub):
    """``as_role("viewer")`` is the API as a new user of that role."""

    def make(role: str) -> Api:
        email = f"{role}@example.org"
        with hub.database.transaction() as tx:
            if users.by_email(tx, email) is None:
                users.create(tx, email, hub.hash(PASSWORD), Role(role).value)
        answer = app.test_client().post("/api/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return Api(app.test_client(), answer.json["token"])

    return make


@pytest.fixture
def admin(as_role) -> Api:
    return as_role("admin")


@pytest.fixture
def audited(database: Database):
    """``audited()`` is every audit entry so far, as (actor, action, object, outcome), oldest first."""

    def read() -> list[tuple[str, str, str, str]]:
        with database.transaction() as tx:
            rows = audit.list_page(tx, 200, None)
        return [(row.actor, row.action, row.object, row.outcome) for row in sorted(rows, key=lambda row: row.id)]

    return read


@pytest.fixture
def two_agents(admin: Api) -> tuple[int, int]:
    """Ids of a source and a destination agent."""
    made = [admin.post("/api/agents", {"name": name}).json["id"] for name in ("web-1", "backup")]
    return made[0], made[1]


@pytest.fixture
def job_body(two_agents: tuple[int, int]) -> dict[str, Any]:
    return {
        "name": "nightly",
        "source_agent_id": two_agents[0],
        "source_path": "/srv/data",
        "destination_agent_id": two_agents[1],
        "destination_path": "/backup/",
    }
