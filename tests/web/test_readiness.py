"""/readyz: which check fails for what, that asking costs nothing, and that it says no more than it has to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from fileflux.actors.kernel import runtime
from fileflux.clock import FakeClock
from fileflux.protocol.limits import DEFAULT_LIMITS, Limits
from fileflux.storage import alerts
from fileflux.storage.pool import Database, Transaction
from fileflux.web import access, context, readiness
from fileflux.web.app import create_app
from fileflux.web.readiness import Readiness
from tests.conftest import administer
from tests.web.conftest import SECRET, ScriptedHub

GOOD = {"database": True, "workers": True, "disk": True}


@dataclass
class Site:
    """A hub's parts that are looked at."""

    folder: Path
    database_url: str
    clock: FakeClock
    limits: Limits = DEFAULT_LIMITS
    alive: bool = True
    looks: int = 0

    def workers_alive(self) -> bool:
        self.looks += 1
        return self.alive

    def readiness(self) -> Readiness:
        return Readiness(self.database_url, self.limits, self.clock, self.folder, self.workers_alive)


@pytest.fixture
def site(tmp_path: Path, database_url: str, clock: FakeClock) -> Site:
    return Site(tmp_path, database_url, clock)


@pytest.fixture
def one(site: Site) -> Iterator[Readiness]:
    made = site.readiness()
    yield made
    made.close()


def later(one: Readiness, clock: FakeClock) -> dict[str, bool]:
    clock.advance(1.1)
    return dict(one.state().checks)


def test_each_check_fails_for_its_own_reason_and_recovers(one: Readiness, site: Site, clock: FakeClock) -> None:
    assert one.state().ready
    assert one.state().free > 0
    site.alive = False
    assert later(one, clock) == GOOD | {"workers": False}
    site.alive = True
    moved = site.folder.rename(site.folder.with_name("away"))
    assert later(one, clock) == GOOD | {"disk": False}
    moved.rename(site.folder)
    assert later(one, clock) == GOOD
    assert not list(site.folder.iterdir())


def test_a_full_disk_is_not_ready(site: Site) -> None:
    site.limits = Limits(data_free_min=2**52)
    one = site.readiness()
    assert dict(one.state().checks) == GOOD | {"disk": False}
    one.close()


def test_a_disk_that_hangs_holds_one_thread(
    one: Readiness, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fifo = tmp_path / "hangs"
    os.mkfifo(fifo)
    hung: list[int] = []

    def hang(_folder: Path) -> int:
        hung.append(1)
        return len(fifo.read_bytes())

    monkeypatch.setattr(readiness, "_writable_bytes", hang)
    monkeypatch.setattr(readiness, "CHECK_S", 0.01)
    for _ in range(3):
        assert later(one, clock) == GOOD | {"disk": False}
    assert len(hung) == 1
    fifo.write_bytes(b"")


def test_a_database_that_is_frozen_is_not_ready_and_holds_one_task(
    one: Readiness, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one.state().ready
    thaw, count, asked = runtime.Event(), alerts.count_open, []

    def hang(tx: Transaction) -> dict[str, int]:
        asked.append(tx)
        thaw.wait(5)
        return count(tx)

    monkeypatch.setattr(alerts, "count_open", hang)
    monkeypatch.setattr(readiness, "CHECK_S", 0.05)
    for _ in range(3):
        assert later(one, clock) == GOOD | {"database": False}
    assert len(asked) == 1
    thaw.set()
    monkeypatch.setattr(readiness, "CHECK_S", 2.0)
    assert later(one, clock) == GOOD


def test_asking_often_costs_nothing(one: Readiness, site: Site, clock: FakeClock) -> None:
    for _ in range(200):
        one.state()
    assert site.looks == 1
    clock.advance(1.1)
    for _ in range(200):
        one.state()
    assert site.looks == 2


def spoilt(url: str, how: str) -> None:
    """What happens to databases; connections that are open break, or keep their old settings."""
    name = url.rpartition("/")[2].partition("?")[0]
    administer(
        url.replace(f"/{name}", "/postgres"),
        how.format(name=name),
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )


@pytest.mark.parametrize(
    "how",
    [
        "ALTER DATABASE {name} SET default_transaction_read_only = on",
        "ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false",
        "DROP DATABASE {name} WITH (FORCE)",
    ],
    ids=["read-only", "refuses connections", "gone"],
)
def test_a_database_that_cannot_be_used_is_not_ready(one: Readiness, site: Site, clock: FakeClock, how: str) -> None:
    assert one.state().ready
    spoilt(site.database_url, how)
    assert later(one, clock) == GOOD | {"database": False}


def test_no_connection_left_is_not_ready(site: Site, database_url: str, postgres_url: str) -> None:
    name = database_url.rpartition("/")[2].partition("?")[0]
    role = f"few_{name}"
    administer(
        postgres_url,
        f"CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 1",
        f"GRANT ALL ON DATABASE {name} TO {role}",
    )
    user, _, rest = database_url.partition("@")
    site.database_url = f"postgresql://{role}:x@{rest}"
    assert user
    holder = Database(site.database_url, DEFAULT_LIMITS, size=1)
    one = site.readiness()
    with holder.transaction():
        assert one.state().checks["database"] is False
    holder.close()
    one.close()


def test_all_connections_of_the_hub_in_use_is_busy_not_broken(one: Readiness, site: Site) -> None:
    pool = Database(site.database_url, DEFAULT_LIMITS, size=1)
    with pool.transaction():
        assert one.state().ready
    pool.close()


@pytest.fixture
def ready_app(database: Database, hub: ScriptedHub, clock: FakeClock, limits: Limits, one: Readiness) -> Flask:
    return create_app(context.Deps(database, None, limits, SECRET, clock, hub, hub, hub, hub, readiness=one))


def test_the_route_says_which_check_failed_and_nothing_else(
    ready_app: Flask, one: Readiness, site: Site, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    client = ready_app.test_client()
    good = {"database": "ok", "workers": "ok", "disk": "ok"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "checks": good})
    site.alive = False
    clock.advance(1.1)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "fail", "checks": good | {"workers": "fail"}})
    site.alive = True
    clock.advance(1.1)
    one.stop()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "stopping", "checks": good})
    assert ("GET", "/readyz") in access.PUBLIC
    assert not caplog.text


def test_a_hub_that_starts_is_not_ready(app: Flask) -> None:
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "fail")


def test_open_alerts_come_with_the_check(one: Readiness, database: Database) -> None:
    with database.transaction() as tx:
        alerts.raise_alert(tx, "token_on_two_hosts", "agent:1", "look")
        alerts.dismiss(tx, alerts.raise_alert(tx, "refresh_reused", "user:1", "look").id, "me")
    assert one.state().alerts == {"token_on_two_hosts": 1}
