"""Two hubs on one database.

With schedules of seconds, one is killed or hangs past its leases: each fire time has one run, none is lost. No agent is needed for that: a run
that waits for one is a run. And with agents that a load balancer sends now to the one and now to the other.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from fileflux.hub_id import hub_id
from fileflux.jobs import cron
from fileflux.jobs.models import JobSpec
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage import agents, jobs
from fileflux.storage.migrate import migrate
from fileflux.storage.pool import Database
from tests.conftest import administer, drop_database, with_database
from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.harness import Agent, Hub, wait_for

LOCKS_S = 5.0
LEASE_S = 3
JOBS = 40
"""Each fires every 6 seconds, at different seconds: 400 fire times a minute."""


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    name = f"two_hubs_{os.getpid()}_{time.monotonic_ns()}"
    administer(postgres_url, f"CREATE DATABASE {name}")
    url = with_database(postgres_url, name)
    database = Database(url, DEFAULT_LIMITS)
    migrate(database)
    yield database
    database.close()
    drop_database(postgres_url, url)


def url_of(database: Database) -> str:
    return database._url


@pytest.fixture
def hubs(tmp_path: Path, database: Database) -> Iterator[list[Hub]]:
    hubs: list[Hub] = []
    password = secrets.token_urlsafe(12)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        env = {
            "FILEFLUX_LIMITS_RUN_LEASE": str(LEASE_S),
            # One that is stopped inside a transaction keeps its locks so long.
            "FILEFLUX_LIMITS_DATABASE_STATEMENT_TIMEOUT": str(LOCKS_S),
            "FILEFLUX_ADMIN_PASSWORD": password,
        }
        hubs.append(Hub(tmp_path / name, url_of(database), env))
        hubs[-1].password = password
    for hub in hubs:
        hub.begin()
    try:
        for hub in hubs:
            hub.wait_ready()
        yield hubs
    finally:
        for hub in hubs:
            # Shown when the test fails.
            print(hub.running.text()[-4000:])
            if hub.running.popen.poll() is None:
                for pid in processes(hub):
                    psutil.Process(pid).resume()
                hub.stop()


def processes(hub: Hub) -> list[int]:
    """The arbiter first."""
    return [hub.running.pid, *(child.pid for child in psutil.Process(hub.running.pid).children(recursive=True))]


def make_jobs(database: Database) -> datetime:
    """Jobs that fire every 6 seconds, and when they were made."""
    with database.transaction() as tx:
        source, destination = agents.create(tx, "source"), agents.create(tx, "destination")
        for number in range(JOBS):
            # Live runs of before are no reason to leave a tick out.
            spec = JobSpec(
                f"job-{number}", source.id, "/in", destination.id, "/out", schedule=f"{number % 6}-59/6 * * * * *"
            )
            jobs.create(tx, spec, "eve")
        row = tx.one("SELECT clock_timestamp()")
    assert row is not None
    made: datetime = row[0]
    return made


def end_runs(database: Database) -> None:
    """What agents would do: a live run of before would be a reason to leave a tick out."""
    with database.transaction() as tx:
        tx.execute(
            "UPDATE runs SET status = 'succeeded', ended_at = now(), lease_owner = NULL, lease_until = NULL"
            " WHERE status IN ('queued', 'waiting_agent') AND lease_epoch > 0 AND created_at < now() - interval '1 second'"
        )


def check_every_tick(database: Database, begin: datetime, end: datetime) -> None:
    """Each fire time between has exactly one run."""
    with database.transaction() as tx:
        rows = tx.all("SELECT id, spec ->> 'schedule' FROM jobs ORDER BY id")
        found = tx.all(
            "SELECT job_id, fire_time FROM runs WHERE fire_time > %s AND fire_time <= %s ORDER BY job_id, fire_time",
            (begin, end),
        )
        total = tx.one("SELECT count(*), count(DISTINCT (job_id, fire_time)) FROM runs")
    assert total is not None
    assert total[0] == total[1] > 0
    expected = []
    for job_id, schedule in rows:
        fire = cron.next_after(cron.parse(schedule), cron.zone("UTC"), begin)
        while fire is not None and fire <= end:
            expected.append((job_id, fire))
            fire = cron.next_after(cron.parse(schedule), cron.zone("UTC"), fire)
    assert [tuple(row) for row in found] == expected


def run_for(database: Database, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        end_runs(database)
        time.sleep(0.3)


def name_of(hub: Hub) -> str:
    """What its leases are written in."""
    return str(hub_id(hub.folder / "hub"))


def owners(database: Database) -> set[str]:
    """The hubs that hold leases."""
    with database.transaction() as tx:
        rows = tx.all("SELECT DISTINCT lease_owner::text FROM runs WHERE lease_until > clock_timestamp()")
    return {row[0] for row in rows}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", [0.5, pytest.param(60.0, marks=pytest.mark.long)])
def test_each_tick_has_one_run(database: Database, hubs: list[Hub], seconds: float) -> None:
    """One hub hangs past its leases and comes back, then the other one is killed."""
    begin = make_jobs(database)
    wait_for("both hubs to have runs", lambda: len(owners(database)) == 2, 20)
    first, second = (processes(hub) for hub in hubs)
    for pid in first:
        os.kill(pid, signal.SIGSTOP)
    # Not merely one hub: for a moment only the runs of the stopped one may be left.
    wait_for("the other hub to have every run", lambda: alone(database) == {name_of(hubs[1])}, 20)
    run_for(database, seconds)
    for pid in reversed(first):
        os.kill(pid, signal.SIGCONT)
    wait_for("both hubs to have runs", lambda: len(owners(database)) == 2, 20)
    run_for(database, seconds)
    for pid in second:
        os.kill(pid, signal.SIGKILL)
    wait_for("the hub that came back to have every run", lambda: alone(database) == {name_of(hubs[0])}, 20)
    run_for(database, seconds)
    with database.transaction() as tx:
        row = tx.one("SELECT clock_timestamp()")
    assert row is not None
    # What a hub held when it was stopped comes late, and comes.
    wait_for("the last ticks", lambda: none_due(database, row[0]), 20)
    check_every_tick(database, begin, row[0])


def alone(database: Database) -> set[str]:
    """The only hub that has runs; none while there are two. What has begun ends meanwhile."""
    end_runs(database)
    found = owners(database)
    return found if len(found) == 1 else set()


def none_due(database: Database, end: datetime) -> bool:
    with database.transaction() as tx:
        row = tx.one("SELECT count(*) FROM jobs WHERE due_at <= %s", (end,))
    return row is not None and row[0] == 0


def move(agent: Agent, hub: Hub) -> None:
    """Its next connection leads to ``hub``."""
    if agent.process is not None:
        agent.stop()
    agent._hub, agent._hub_url = hub, hub.client.url
    agent.start()


def wait_for_bytes(hub: Hub, run: int) -> None:
    """Until it moves; it must not have ended."""
    wait_for("bytes to move", lambda: hub.show(run)["bytes_done"] > 0)
    assert hub.show(run)["status"] == "transferring"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("restarts", [2, pytest.param(10, marks=pytest.mark.long)])
def test_hubs_restarted_in_turn(hubs: list[Hub], tmp_path: Path, restarts: int) -> None:
    """SIGTERM to the hub that all agents are at, while many files move; what stands before the hubs leads to the other one. Nothing fails."""
    stays, goes = hubs
    link = FaultProxy(goes.port, rule=Rule.link(bandwidth=20e6)).start()
    agents = [Agent(goes, name, tmp_path, hub_url=link.url()) for name in ("source", "destination")]
    source, destination = agents
    for number in range(6):
        (source.read / f"{number}.bin").write_bytes(os.urandom(12 * 2**20))
    try:
        for agent in agents:
            agent.start()
        runs = []
        for number in range(restarts):
            target = destination.write / str(number)
            job = goes.job(source.id, source.read, destination.id, target, compression="none")
            runs.append(goes.run(job))
            wait_for_bytes(goes, runs[-1])
            link.lead_to(stays.port)
            goes.running.stop(40)
            goes.begin()
            stays, goes = goes.wait_ready(), stays
            for agent in agents:
                agent._hub = goes
                agent.wait_online()
        for number, run in enumerate(runs):
            ended = goes.wait_ended(run, 60)
            assert (ended["status"], ended["files_done"], ended["files_failed"]) == ("succeeded", 6, 0)
            for file in source.read.iterdir():
                assert (destination.write / str(number) / file.name).read_bytes() == file.read_bytes()
    finally:
        for agent in agents:
            agent.stop()
        link.stop()


@pytest.mark.timeout(180)
def test_a_run_goes_to_the_hub_of_its_agents(hubs: list[Hub], tmp_path: Path) -> None:
    """Whichever was asked for it; while they are at two, it waits, says so, and goes on once they are together."""
    one, two = hubs
    source, destination = Agent(one, "source", tmp_path), Agent(one, "destination", tmp_path)
    try:
        for agent in (source, destination):
            move(agent, two)
        (source.read / "a.bin").write_bytes(os.urandom(100_000))
        job = one.job(source.id, source.read, destination.id, destination.write)
        assert one.wait_ended(one.run(job))["files_done"] == 1

        move(destination, one)
        (source.read / "b.bin").write_bytes(os.urandom(100_000))
        run = one.run(job)
        wait_for("the run to say where its agents are", lambda: "another hub" in one.show(run)["reason"], 30)
        shown = two.show(run)
        assert shown["status"] == "waiting_agent"
        assert re.fullmatch(
            r"waiting for agent (source|destination): it is connected to another hub; both agents of a job have to be connected"
            r" to the same one",
            shown["reason"],
        )
        move(source, one)
        assert two.wait_ended(run)["files_done"] == 1
        assert {path.name for path in destination.write.iterdir()} == {"a.bin", "b.bin"}
    finally:
        for agent in (source, destination):
            agent.stop()
