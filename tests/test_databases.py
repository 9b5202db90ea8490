"""A database that is used again is as good as new."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage import agents, users
from fileflux.storage.pool import Database
from tests.databases import Databases


def run(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def dump(url: str) -> list[object]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        tables = [row[0] for row in cursor.fetchall()]
        found: list[object] = []
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  # its own name
            found.append((table, cursor.fetchone()))
        cursor.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
        return found + cursor.fetchall()


def test_it_comes_back_empty_and_counts_from_one(databases: Databases) -> None:
    url = databases.take()
    new = dump(url)
    left_open = psycopg2.connect(url)
    database = Database(url, DEFAULT_LIMITS)
    with database.transaction() as tx:
        agents.create(tx, "web-1")
        users.create(tx, "a@b.c", "x", "admin")
        tx.execute("INSERT INTO audit (actor, action, object, outcome) VALUES ('a', 'b', 'c', 'ok')", ())
    assert dump(url) != new
    database.close()
    databases.give_back(url)
    assert databases.take() == url
    assert dump(url) == new
    with pytest.raises(psycopg2.OperationalError):
        left_open.cursor().execute("SELECT 1")
    databases.give_back(url)


@pytest.mark.parametrize(
    "spoil",
    [
        "CREATE TABLE more (id int)",
        "DROP INDEX runs_by_created",
        "ALTER TABLE agents ALTER COLUMN description SET DEFAULT 'x'",
        "ALTER TABLE audit DISABLE TRIGGER audit_keeps_rows",
        "DELETE FROM schema_migrations WHERE number = 1",
        "ANALYZE agents",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    ],
)
def test_what_is_not_as_it_was_is_not_used_again(databases: Databases, spoil: str) -> None:
    url = databases.take()
    run(url, spoil)
    databases.give_back(url)
    following = databases.take()
    assert following != url
    databases.give_back(following)
