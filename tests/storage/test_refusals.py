"""Databases that a hub cannot use: each is one line that says what to do, and nothing is changed in them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fileflux.errors import ConfigError, FluxError, UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage import pool
from fileflux.storage.cluster import Cluster
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.migrate import migrate
from fileflux.storage.pool import Database
from fileflux.storage.process import Child
from tests.conftest import administer, with_database


def refusal(url: str) -> FluxError:
    """What the start of a hub says to this database."""
    with pytest.raises(FluxError) as caught:
        start(url)
    assert "\n" not in caught.value.message
    return caught.value


def start(url: str) -> None:
    """As serve.py does, with less patience."""
    database = Database(url, DEFAULT_LIMITS, size=1)
    try:
        database.wait_until_ready(0.2)
        migrate(database)
    finally:
        database.close()


def run(url: str, *statements: str) -> str:
    administer(url, *statements)
    return url


def name_of(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda _: "postgresql://[broken", "the database URL is not valid"),
        (lambda _: "https://db.example.org/fileflux", "the database URL is not valid"),
        (lambda url: with_database(url, "no_such_database"), "does not exist; check the database URL"),
        (
            lambda url: url.replace("fileflux:", "fileflux:wrong"),
            "password authentication failed.*check the database URL",
        ),
        (
            lambda url: run(url, f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on"),
            "read-only.*must name the primary",
        ),
        (
            lambda url: run(
                url, "INSERT INTO schema_migrations (number, name, sha256) VALUES (9999, '9999_later', '')"
            ),
            "migration 9999_later, which this version does not know: upgrade",
        ),
        (
            lambda url: run(url, "UPDATE schema_migrations SET sha256 = 'other' WHERE number = 2"),
            "not the one that the database was made with",
        ),
        (
            lambda url: run(url, "DELETE FROM schema_migrations WHERE number > 2"),
            "does not fit what is in the database.*already exists.*restore a backup",
        ),
    ],
    ids=[
        "no URL",
        "no PostgreSQL",
        "no database",
        "password",
        "read-only",
        "newer schema",
        "other schema",
        "half of a schema",
    ],
)
def test_what_waiting_cannot_mend(database_url: str, spoil: Callable[[str], str], says: str) -> None:
    error = refusal(spoil(database_url))
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=says):
        raise error


def test_a_server_that_is_too_old(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MIN_SERVER_VERSION", 990000)
    assert "is too old; 99 is the oldest supported" in refusal(database_url).message


def test_no_connection_is_left(database_url: str, postgres_url: str) -> None:
    """A superuser gets one of those kept back; a hub's role does not."""
    role = f"limited_{name_of(database_url)}"
    administer(postgres_url, f"CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
    url = f"postgresql://{role}:x@{database_url.partition('@')[2]}"
    error = refusal(url)
    assert isinstance(error, UnavailableError)
    assert "too many connections" in error.message


def test_a_replica(tmp_path: Path) -> None:
    """A real one, that only replays."""
    primary = EmbeddedPostgres(tmp_path)
    url = primary.start()
    primary.stop()
    cluster = Cluster(tmp_path)
    signal_file = cluster.folder / "standby.signal"
    signal_file.touch()
    cluster.account.own(signal_file)
    command = [cluster.program("postgres"), "-D", str(cluster.folder), "-k", str(cluster.socket_folder()), "-h", ""]
    replica = Child(command, cluster.account, [cluster.folder], cluster.log)
    try:
        database = Database(url, DEFAULT_LIMITS, size=1)
        with pytest.raises(ConfigError, match=r"read-only replica.*must name the primary"):
            database.wait_until_ready(20)
        database.close()
    finally:
        replica.signal(signal.SIGINT)
        assert replica.wait(20)
