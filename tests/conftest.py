"""Fixtures of all tests: a real PostgreSQL, started once for the whole session when the first test asks for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.migrate import migrate
from fileflux.storage.pool import Database
from tests.databases import Databases

TEMPLATE = "fileflux_template"


def with_database(url: str, name: str) -> str:
    """``url`` with another database's name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}")).replace("postgresql:/fileflux", "postgresql://fileflux")


def administer(url: str, *statements: str) -> None:
    """Run statements that want no transaction, on a connection of their own."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A superuser's URL of a running server: FILEFLUX_TEST_DATABASE_URL, or an embedded one (FILEFLUX_TEST_POSTGRES=18: of that version)."""
    given = os.environ.get("FILEFLUX_TEST_DATABASE_URL")
    if given:
        yield given
        return
    server = EmbeddedPostgres(
        Path(tmp_path_factory.mktemp("postgres")),
        version=int(os.environ.get("FILEFLUX_TEST_POSTGRES", "16")),
        # Nothing of these databases outlives the tests, so nothing waits for the disk.
        settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
    )
    url = server.start()
    yield url
    server.stop()


@pytest.fixture(scope="session")
def new_database_url(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes databases: each call gives the URL of a fresh one with the present schema. Whoever needs it no more calls ``drop_database``."""
    administer(postgres_url, f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
    template = Database(with_database(postgres_url, TEMPLATE), DEFAULT_LIMITS, size=1)
    migrate(template)
    template.close()
    names: list[str] = []
    numbers = itertools.count(1)
    given = bool(os.environ.get("FILEFLUX_TEST_DATABASE_URL"))
    # Through the log a copy takes half as long again; PostgreSQL 14 knows no strategies.
    strategy = "" if given else " STRATEGY FILE_COPY"

    def make() -> str:
        name = f"fileflux_{os.getpid()}_{next(numbers)}"
        administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}{strategy}")
        names.append(name)
        return with_database(postgres_url, name)

    yield make
    if given:
        administer(postgres_url, *(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in [*names, TEMPLATE]))


def drop_database(postgres_url: str, url: str) -> None:
    """Remove a database that ``new_database_url`` made: a thousand of them fill a disk."""
    administer(postgres_url, f"DROP DATABASE IF EXISTS {urlsplit(url).path.strip('/')} WITH (FORCE)")


@pytest.fixture(scope="session")
def databases(postgres_url: str, new_database_url: Callable[[], str]) -> Databases:
    return Databases(new_database_url, lambda url: drop_database(postgres_url, url))


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of an empty database with the present schema, for this test alone."""
    url = databases.take()
    yield url
    databases.give_back(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool on ``database_url``; closed after the test."""
    pool = Database(database_url, DEFAULT_LIMITS)
    yield pool
    pool.close()
