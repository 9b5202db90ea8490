from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import psycopg2
import pytest

from fileflux.errors import ConfigError, ConflictError, FluxError, NotFoundError, UnavailableError
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage import agents
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Database
from tests.conftest import administer, with_database

QUICK = DEFAULT_LIMITS.with_overrides({"database_statement_timeout": 0.3})


def cut_all(url: str) -> None:
    """End the database's connections, and wait until they have ended."""
    administer(
        url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def names(database: Database) -> list[str]:
    with database.transaction() as tx:
        return [row.name for row in agents.LIST.page(tx, Ask(100)).rows]


def test_commit_and_roll_back(database: Database) -> None:
    with database.transaction() as tx:
        agents.create(tx, "kept")

    def fail() -> None:
        with database.transaction() as tx:
            agents.create(tx, "lost")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(database) == ["kept"]
    assert database.statistics().in_use == 0
    assert database.statistics().open == 1


def test_errors_of_the_database_become_ours(database: Database) -> None:
    with database.transaction() as tx:
        agents.create(tx, "a")
    cases: list[tuple[type[FluxError], str, str]] = [
        (ConflictError, "conflict", "INSERT INTO agents (name) VALUES ('a')"),
        (
            NotFoundError,
            "not_found",
            "INSERT INTO runs (job_id, spec, requested_by, deadline_at) VALUES (9, '{}', '', now())",
        ),
        (FluxError, "bad_value", "SELECT 'x'::int"),
        (FluxError, "internal", "SELECT * FROM nowhere"),
        (UnavailableError, "unavailable", "SELECT pg_terminate_backend(pg_backend_pid())"),
    ]
    for kind, code, statement in cases:
        with pytest.raises(kind) as caught, database.transaction() as tx:
            tx.execute(statement)
        assert caught.value.code == code
        assert "\n" not in caught.value.message
    with pytest.raises(FluxError) as caught, database.transaction() as tx:
        tx.execute("SELECT %s", ("a\0b",))
    assert caught.value.code == "bad_value"
    assert names(database) == ["a"]


def test_a_slow_statement_is_ended(database_url: str) -> None:
    database = Database(database_url, QUICK)
    with pytest.raises(UnavailableError, match=r"took longer than 0\.3 s"), database.transaction() as tx:
        tx.execute("SELECT pg_sleep(20)")
    assert names(database) == []
    database.close()


def test_connections_that_died_while_idle_are_replaced_unseen(database: Database, database_url: str) -> None:
    assert names(database) == []
    cut_all(database_url)
    assert names(database) == []


def test_a_connection_that_dies_in_a_transaction(database: Database, database_url: str) -> None:
    def lose() -> None:
        with database.transaction() as tx:
            agents.create(tx, "lost")
            cut_all(database_url)
            tx.one("SELECT 1")

    with pytest.raises(UnavailableError):
        lose()
    assert names(database) == []
    assert database.statistics().in_use == 0


def test_a_connection_that_dies_before_the_commit_leaves_it_unknown(database: Database, database_url: str) -> None:
    def lose() -> None:
        with database.transaction() as tx:
            agents.create(tx, "lost")
            cut_all(database_url)

    with pytest.raises(UnavailableError) as caught:
        lose()
    assert caught.value.code == "commit_unknown"
    assert caught.value.retryable
    assert names(database) == []


def test_callers_wait_for_a_connection_but_not_for_ever(database_url: str) -> None:
    database = Database(database_url, QUICK, size=1)
    with database.transaction():
        assert database.statistics().in_use == 1
        with pytest.raises(UnavailableError, match="stayed in use"), database.transaction():
            pass
    done: list[list[str]] = []
    with database.transaction() as tx:
        thread = threading.Thread(target=lambda: done.append(names(database)))
        thread.start()
        agents.create(tx, "first")
    thread.join(10)
    assert done == [["first"]]
    database.close()
    assert database.statistics().open == 0
    assert names(database) == ["first"]
    database.close()


def test_many_threads_share_few_connections(database_url: str) -> None:
    database = Database(database_url, DEFAULT_LIMITS, size=3)

    def work(number: int) -> None:
        for _ in range(5):
            with database.transaction() as tx:
                tx.execute(
                    "INSERT INTO settings VALUES ('n', '1') ON CONFLICT (key) DO UPDATE SET value = to_jsonb(settings.value::int + 1)"
                )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with database.transaction() as tx:
        assert tx.one("SELECT value::int FROM settings") == (50,)
    assert database.statistics().open <= 3
    database.close()


def test_sessions_have_the_settings_that_the_rows_rely_on(database: Database) -> None:
    with database.transaction() as tx:
        assert tx.one("SHOW timezone") == ("UTC",)
        assert tx.one("SHOW statement_timeout") == ("30s",)
        assert tx.one("SHOW client_encoding") == ("UTF8",)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url.replace("fileflux:", "fileflux:wrong"),
        lambda url: with_database(url, "no_such_database"),
        lambda _: "postgresql://[broken",
        lambda _: "nonsense",
    ],
)
def test_what_waiting_cannot_mend_is_refused_at_once(database_url: str, spoil: Callable[[str], str]) -> None:
    database = Database(spoil(database_url), DEFAULT_LIMITS)
    with pytest.raises(ConfigError):
        database.wait_until_ready(60)


def test_a_server_that_is_away_is_waited_for(tmp_path: object, database_url: str) -> None:
    away = Database(f"postgresql://u:secret-password@/x?host={tmp_path}", DEFAULT_LIMITS)
    with pytest.raises(UnavailableError, match="cannot connect") as caught:
        away.wait_until_ready(0.3)
    assert "secret-password" not in caught.value.message
    there = Database(database_url, DEFAULT_LIMITS)
    there.wait_until_ready(5)
    there.close()


GREEN = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, time, gevent
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage.pool import Database, green
green()
database = Database(sys.argv[1], DEFAULT_LIMITS, size=2)
def work():
    with database.transaction() as tx:
        tx.execute("SELECT pg_sleep(0.5)")
def killed():
    with database.transaction() as tx:
        tx.execute("SELECT pg_sleep(20)")
started = time.monotonic()
gevent.joinall([gevent.spawn(work) for _ in range(4)], raise_error=True)
took = time.monotonic() - started
assert 0.9 < took < 1.9, took
victim = gevent.spawn(killed)
gevent.sleep(0.2)
victim.kill()
with database.transaction() as tx:
    assert tx.one("SELECT 42") == (42,)
assert database.statistics().in_use == 0
database.close()
print("green")
"""


def test_under_gevent_queries_wait_side_by_side(database_url: str) -> None:
    # In a process of its own: patching cannot be undone.
    done = subprocess.run(
        [sys.executable, "-c", GREEN, database_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("green\n", 0), done.stderr


def test_psycopg2_here_is_not_green() -> None:
    assert psycopg2.extensions.get_wait_callback() is None
