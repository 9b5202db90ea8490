"""The keeper of watches on a real database, with ports that note what agents are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.watches import Watches
from fileflux.bus.bus import Bus
from fileflux.bus.events import AgentOffline, AgentOnline, JobChanged
from fileflux.clock import SystemClock
from fileflux.jobs.models import JobSpec, WatchRule
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.storage import jobs, watches
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database


class Ear(Actor[Any]):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def receive(self, message: Any) -> None:
        self.heard.append(message)


class Port:
    """As much of a SessionPort as the keeper sees."""

    def __init__(self, agent_id: int, session_id: str, features: tuple[str, ...] = ("watch",)) -> None:
        self.agent_id, self.session_id, self.features = agent_id, session_id, features
        self.link: object | None = object()
        self.told: list[m.Message] = []

    def post(self, message: a.Post) -> None:
        self.told.append(message.message)


class Receipt:
    def __init__(self) -> None:
        self.is_done = False

    def done(self) -> None:
        self.is_done = True


class Stage:
    def __init__(self, database: Database, job: JobRow) -> None:
        self.database, self.job = database, job
        self.agent_id = JobSpec.from_json(job.spec).source_agent_id
        self.ports: dict[int, Port] = {}
        self.bus = Bus()
        self.runs = Ear()
        self.root = Supervisor("root", "one_for_one")
        self.root.start()
        runs = self.root.start_child(ChildSpec("runs", lambda: self.runs))
        hub: Any = lambda: self  # noqa: E731  # the connection hub is this object
        self.ref = self.root.start_child(
            ChildSpec(
                "watches",
                lambda: Watches(
                    database, hub, runs, self.bus, itertools.count(1), Limits(watch_gather=0.01), SystemClock()
                ),
            )
        )

    def port(self, agent_id: int) -> Port | None:
        return self.ports.get(agent_id)

    def come(self, session_id: str, *features: str) -> Port:
        port = self.ports[self.agent_id] = Port(self.agent_id, session_id, features)
        self.bus.publish(AgentOnline(self.agent_id, session_id, "websocket"))
        return port

    def edit(self, *, enabled: bool = True, **changes: Any) -> None:
        with self.database.transaction() as tx:
            held = jobs.hold(tx, self.job.id)
            spec = replace(JobSpec.from_json(held.spec), **changes)
            row = jobs.change(tx, held, "user:1", spec=spec, enabled=enabled, ad_hoc=False)
        self.bus.publish(JobChanged(row.id, row.version, deleted=False))

    def say(self, message: m.WatchState | m.WatchReady) -> Receipt:
        receipt = Receipt()
        self.ref.tell(a.WatchSaid(self.agent_id, message, receipt))
        until(lambda: receipt.is_done)
        return receipt

    @property
    def row(self) -> watches.WatchRow | None:
        with self.database.transaction() as tx:
            return watches.get(tx, self.job.id)

    def until_status(self, status: str, reason: str = "") -> None:
        until(lambda: (row := self.row) is not None and row.status == status and reason in row.reason)


def until(condition: Callable[[], Any]) -> Any:
    with gevent.Timeout(10, AssertionError("did not happen")):
        while not (value := condition()):
            gevent.sleep(0.005)
        return value


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    from fileflux.storage import agents

    with database.transaction() as tx:
        source, destination = agents.create(tx, "source"), agents.create(tx, "destination")
        job = jobs.create(tx, JobSpec("in", source.id, "/in", destination.id, "/out", watch=WatchRule(1.0)), "user:1")
    stage = Stage(database, job)
    yield stage
    stage.root.stop(5)


def test_a_watch_is_set_in_every_session_and_follows_its_job(stage: Stage) -> None:
    stage.until_status("waiting", "not connected")
    port = stage.come("one", "watch")
    until(lambda: len(port.told) == 2)
    assert port.told[0] == m.WatchClear()
    assert (port.told[1].path, port.told[1].settle_s) == ("/in", 1.0)  # type: ignore[attr-defined]  # a WatchSet
    first = port.told[1].watch_id  # type: ignore[attr-defined]  # as above
    stage.say(m.WatchState(first, "degraded", "looking", "no events"))
    stage.until_status("degraded", "no events")
    # The link is lost for a while; the session, and so the watch, goes on.
    link, port.link = port.link, None
    stage.bus.publish(AgentOffline(stage.agent_id, "gone"))
    stage.until_status("waiting", "not connected")
    port.link = link
    stage.bus.publish(AgentOnline(stage.agent_id, "one", "websocket"))
    stage.until_status("degraded", "no events")
    assert len(port.told) == 2
    stage.edit(source_path="/other")
    until(lambda: len(port.told) == 4)
    assert port.told[2] == m.WatchClear(first)
    assert port.told[3].path == "/other"  # type: ignore[attr-defined]  # a WatchSet
    stage.edit(enabled=False)
    until(lambda: len(port.told) == 5)
    assert port.told[4] == m.WatchClear(port.told[3].watch_id)  # type: ignore[attr-defined]  # as above
    stage.edit(enabled=True)
    other = stage.come("two", "watch")
    until(lambda: len(other.told) == 2)


def test_an_agent_without_the_feature_is_asked_for_nothing(stage: Stage) -> None:
    port = stage.come("old", "browse")
    stage.until_status("failed", "too old to watch")
    assert port.told == []


def test_offers_of_earlier_definitions_and_of_strangers_are_dropped(stage: Stage) -> None:
    port = stage.come("one", "watch")
    until(lambda: len(port.told) == 2)
    watch_id = port.told[1].watch_id  # type: ignore[attr-defined]  # a WatchSet
    files = (m.Entry("a", "file", 1),)
    stage.say(m.WatchReady(watch_id + 1, "/in", "directory", files))
    receipt = Receipt()
    stage.ref.tell(a.WatchSaid(stage.agent_id + 1, m.WatchReady(watch_id, "/in", "directory", files), receipt))
    until(lambda: receipt.is_done)
    assert stage.row is not None
    assert stage.row.seen == 0
    stage.say(m.WatchReady(watch_id, "/in", "directory", files))
    until(lambda: stage.runs.heard)
    assert stage.row.seen == 1
    assert [type(one) for one in stage.runs.heard] == [a.StartRun]
