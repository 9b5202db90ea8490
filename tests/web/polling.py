"""The routes of long-polling on the real app and database, one agent's requests, and who listens in place of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from fileflux.actors import messages as a
from fileflux.actors.kernel.pump import Pump
from fileflux.clock import SystemClock
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, Limits
from fileflux.protocol.records import Kind, RecordReader, head_of
from fileflux.storage import agents, tokens
from fileflux.storage.pool import Database
from fileflux.web import agent_poll, agent_ws
from fileflux.web.polling_links import PollingLinks
from tests.contracts.link_suite import Recorder


@dataclass
class Tree:
    """What the routes need of the hub's actors; hellos are kept, and nobody answers them."""

    pump: Pump
    hellos: list[Any] = field(default_factory=list)
    relay: Any = None

    @property
    def hub(self) -> Any:
        return self

    def tell(self, message: Any) -> bool:
        assert isinstance(message, a.HelloArrived)
        self.hellos.append(message)
        return True


@pytest.fixture
def limits() -> Limits:
    return replace(DEFAULT_LIMITS, login_attempts=5, slice_max=256 * KIB, slice_reorder_budget=512 * KIB)


@pytest.fixture
def tree() -> Iterator[Tree]:
    pump = Pump()
    pump.start()
    yield Tree(pump)
    pump.stop()


@pytest.fixture
def links(app: Flask, database: Database, limits: Limits, tree: Tree) -> Iterator[PollingLinks]:
    clock = SystemClock()
    links = PollingLinks(tree.pump, limits, clock)
    app.extensions[agent_ws.EXTENSION] = agent_ws.Accepting(database, tree, limits, clock)
    app.extensions[agent_poll.LINKS] = links
    app.register_blueprint(agent_poll.blueprint)
    yield links
    for _, peer in tuple(links._open.values()):
        peer.link.lost("the test is over")
    gevent.sleep(0.01)


@dataclass
class Agent:
    """Requests with one token over one link."""

    app: Flask
    token: str
    link_id: str = ""

    def connect(self) -> Agent:
        answer = self.ask("POST", "/api/agent/connect")
        assert answer.status_code == 200, answer.text
        self.link_id = answer.json["session_id"]
        return self

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> TestResponse:
        sent = {"Authorization": f"Bearer {self.token}", "X-FileFlux-Session": self.link_id}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().open(path, method=method, data=body, headers=sent)

    def poll(self, number: Any, known: Any = 0, timeout: Any = "0.05") -> TestResponse:
        headers = {"X_FileFlux_Seq": str(number)}
        if known is not None:
            headers["X_FileFlux_Ack"] = str(known)
        return self.ask("GET", f"/api/agent/poll?timeout={timeout}", **headers)

    def slice(self, number: Any, body: bytes, **headers: str) -> TestResponse:
        return self.ask("POST", "/api/agent/messages", body, X_FileFlux_Seq=str(number), **headers)


@pytest.fixture
def token(database: Database) -> str:
    return token_of(database, "web-1")


def token_of(database: Database, name: str) -> str:
    with database.transaction() as tx:
        return tokens.create(tx, agents.create(tx, name).id, "t", None)[1]


@pytest.fixture
def agent(app: Flask, links: PollingLinks, token: str) -> Agent:
    return Agent(app, token).connect()


@pytest.fixture
def heard(links: PollingLinks, agent: Agent) -> Recorder:
    """Listens to the link in place of the hub."""
    recorder = Recorder()
    links._open[agent.link_id][1].link.start(recorder)
    return recorder


def link_of(links: PollingLinks, agent: Agent) -> Any:
    return links._open[agent.link_id][1].link


def text(value: str) -> bytes:
    return head_of(Kind.TEXT, len(value.encode())) + value.encode()


def texts_in(answer: TestResponse) -> list[str]:
    reader = RecordReader(DEFAULT_LIMITS)
    reader.feed(answer.data)
    found = []
    while (record := reader.next()) is not None:
        found.append(record.text())
    return found


def codes(*answers: TestResponse) -> list[tuple[int, str]]:
    return [(answer.status_code, answer.json["code"]) for answer in answers]


class Counted(Database):
    """Counts transactions."""

    count = 0

    def transaction(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        return super().transaction(*args, **options)


@pytest.fixture
def database(database_url: str) -> Iterator[Counted]:
    pool = Counted(database_url, DEFAULT_LIMITS)
    yield pool
    pool.close()
