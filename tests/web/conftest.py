"""The app on a real database; the live parts of the hub, which other tests run for real, answer from what the test put there."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fileflux.actors.messages import RoundTrip
from fileflux.audit import log as audit
from fileflux.bus.bus import Bus
from fileflux.clock import FakeClock
from fileflux.errors import UnavailableError
from fileflux.protocol.limits import Limits
from fileflux.protocol.messages import BrowseResult, DoctorResult, ListResult, ListRules
from fileflux.storage import jobs, runs, users
from fileflux.storage.pages import Ask
from fileflux.storage.plans import PlanRow
from fileflux.storage.pool import Database
from fileflux.storage.transfers import TransferRow
from fileflux.web.app import create_app
from fileflux.web.context import Role
from fileflux.web.deps import Deps, LiveAgent
from fileflux.web.worker_tasks import hub_tasks
from fileflux.workers.tasks import describe_error, error_from
from tests.routing import remember_builders

remember_builders()

SECRET = bytes(range(64))
PASSWORD = "correct horse"


@dataclass
class ScriptedHub:
    """Runs, LiveRuns, AgentsLive and Passwords, scripted; ``passwords_checked`` counts the work a login causes."""

    database: Database
    live_agents: dict[int, LiveAgent] = field(default_factory=dict)
    live_runs: dict[int, Any] = field(default_factory=dict)
    cuts: list[tuple[int, str, int | None]] = field(default_factory=list)
    token_limits: list[tuple[int, int, datetime]] = field(default_factory=list)
    browsed: list[tuple[int, str, str | None, int]] = field(default_factory=list)
    browse_answer: BrowseResult | None = None
    doctor_answer: DoctorResult | None = None
    listed: list[ListResult] | None = None
    told: list[tuple[str, int]] = field(default_factory=list)
    """What runs were told of what people want of them."""
    live_chunks: dict[int, list[str]] = field(default_factory=dict)
    passwords_checked: list[str] = field(default_factory=list)
    workers_away: bool = False

    def start(self, job_id: int, requested_by: str) -> runs.RunRow:
        with self.database.transaction() as tx:
            return runs.create(tx, jobs.to_run(tx, job_id), requested_by)

    def begin(self, run_id: int) -> None:
        self.told.append(("begin", run_id))

    def asked(self, run_id: int) -> None:
        self.told.append(("asked", run_id))

    def cancel_transfer(self, row: TransferRow, requested_by: str) -> None:
        self.told.append(("cancel", row.id))

    def resume_transfer(self, run_id: int, transfer_id: int, requested_by: str) -> None:
        self.told.append(("resume", transfer_id))

    def chunks(self, run_id: int, transfer_id: int, first: int, count: int) -> list[str] | None:
        known = self.live_chunks.get(transfer_id)
        return None if known is None else known[first : first + count]

    def progress(self, run_id: int) -> Any:
        return self.live_runs.get(run_id)

    def ids(self) -> list[int]:
        return list(self.live_runs)

    def status(self, agent_id: int) -> LiveAgent | None:
        return self.live_agents.get(agent_id)

    def online(self) -> list[int]:
        return [agent_id for agent_id, live in self.live_agents.items() if live.online]

    def cut(self, agent_id: int, reason: str, token_id: int | None = None) -> None:
        self.cuts.append((agent_id, reason, token_id))

    def limit_token(self, agent_id: int, token_id: int, expires_at: datetime) -> None:
        self.token_limits.append((agent_id, token_id, expires_at))

    def test(self, agent_id: int) -> RoundTrip:
        if agent_id not in self.live_agents:
            raise UnavailableError("the agent is not connected")
        return RoundTrip(0.0125, self.live_agents[agent_id].transport)

    def browse(self, agent_id: int, path: str, after: str | None, limit: int) -> BrowseResult:
        self.browsed.append((agent_id, path, after, limit))
        if self.browse_answer is None:
            raise UnavailableError("the agent is not connected", code="agent_offline")
        return self.browse_answer

    def listing(self, agent_id: int, path: str, rules: ListRules, seconds: float) -> Generator[ListResult]:
        if self.listed is None:
            raise UnavailableError("the agent is not connected", code="agent_offline")
        yield from self.listed

    def examine(self, agent_id: int) -> DoctorResult:
        if self.doctor_answer is None:
            raise UnavailableError("the agent is not connected", code="agent_offline")
        return self.doctor_answer

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def check(self, password: str, password_hash: str) -> bool:
        if self.workers_away:
            raise UnavailableError("no worker")
        self.passwords_checked.append(password)
        return password_hash in (f"hash of {password}", f"old hash of {password}")

    def outdated(self, password_hash: str) -> bool:
        return password_hash.startswith("old")


class InlineWork:
    """What a worker process would do, here and now."""

    def __init__(self) -> None:
        self._tasks = hub_tasks({}, None)

    def run(self, key: str, task: str, args: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        del key, timeout
        try:
            return self._tasks[task](args)
        except Exception as error:
            raise error_from(describe_error(error)) from error


@dataclass
class ScriptedPlanning:
    """What was to be planned, and compared."""

    begun: list[int] = field(default_factory=list)
    compared: list[tuple[int, int]] = field(default_factory=list)

    def begin(self, row: PlanRow) -> None:
        self.begun.append(row.id)

    def compare(self, plan_id: int, run_id: int) -> None:
        self.compared.append((plan_id, run_id))


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

    def patch(self, path: str, body: Any) -> TestResponse:
        return self.call("PATCH", path, body)

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
    work, planning = InlineWork(), ScriptedPlanning()
    return create_app(Deps(database, Bus(), limits, SECRET, clock, hub, hub, hub, hub, work=work, planning=planning))


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
            rows = audit.LIST.page(tx, Ask(200, descending=True)).rows
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
