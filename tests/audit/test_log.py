from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fileflux.audit import log as audit
from fileflux.errors import FluxError
from fileflux.storage.pages import After, Ask
from fileflux.storage.pool import Database


def test_entries_come_back_newest_first(database: Database) -> None:
    with database.transaction() as tx:
        audit.append(tx, "user:1", "job.created", "job:1", detail={"name": "n"})
        audit.append_many(tx, [audit.NewEntry("agent:a", f"act.{n}", outcome="refused") for n in range(3)])
        audit.append_many(tx, [])
    with database.transaction() as tx:
        rows = audit.LIST.page(tx, Ask(3, descending=True)).rows
        assert [row.action for row in rows] == ["act.2", "act.1", "act.0"]
        (first,) = audit.LIST.page(tx, Ask(3, descending=True, after=After(None, rows[-1].id))).rows
        assert (first.actor, first.action, first.object, first.outcome, first.detail) == (
            "user:1",
            "job.created",
            "job:1",
            "ok",
            {"name": "n"},
        )
        assert first.at.tzinfo is not None


def test_no_text_keeps_an_entry_out(database: Database) -> None:
    with database.transaction() as tx:
        audit.append(
            tx, "agent:\0", "x", "\udcff" * 9000, "refused", {"k\0": ["\ud800", float("inf"), b"raw", {"deep": "\0"}]}
        )
        (row,) = audit.LIST.page(tx, Ask(10)).rows
    assert row.actor == "agent:\\x00"
    assert row.object.startswith("\\udcff")
    assert row.detail == {"k\\x00": ["\\ud800", "inf", "b'raw'", {"deep": "\\x00"}]}


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_database_refuses_to_change_the_log(database: Database, statement: str) -> None:
    with database.transaction() as tx:
        audit.append(tx, "user:1", "job.created")
    with pytest.raises(FluxError, match="append-only"), database.transaction() as tx:
        tx.execute(statement)
    with database.transaction() as tx:
        assert [row.actor for row in audit.LIST.page(tx, Ask(10)).rows] == ["user:1"]


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def long_log(database: Database) -> Database:
    """20,000 entries, one a minute up to noon, and the statistics of them."""
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO audit (at, actor, action, object, outcome) SELECT %s - make_interval(mins => 20000 - n),"
            " 'user' || n %% 50, 'act.' || n %% 20, 'job:' || n %% 5000, CASE WHEN n %% 1000 = 0 THEN 'failed' ELSE 'ok' END"
            " FROM generate_series(1, 20000) AS n",
            (NOON,),
        )
        tx.execute("ANALYZE audit")
    return database


FILTERS: tuple[tuple[dict[str, Any], int], ...] = (
    ({}, 20000),
    ({"actor": "user7"}, 400),
    ({"action": "act.3"}, 1000),
    ({"object": "job:4242"}, 4),
    ({"outcome": "failed"}, 20),
    ({"actor": "user0", "outcome": "failed"}, 20),
    ({"since": NOON - timedelta(minutes=9)}, 10),
    ({"until": NOON - timedelta(minutes=19990)}, 9),
    ({"since": NOON - timedelta(hours=9), "until": NOON - timedelta(hours=8)}, 60),
    ({"since": NOON + timedelta(days=9)}, 0),
    ({"until": NOON - timedelta(days=99)}, 0),
    ({"actor": "nobody"}, 0),
)


def test_filters_find_what_they_say_without_reading_the_log(long_log: Database) -> None:
    with long_log.transaction() as tx:
        for filters, found in FILTERS:
            rows = audit.LIST.page(tx, Ask(1000, descending=True, filters=filters)).rows
            assert len(rows) == min(found, 1000), filters
            assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)
            sql, params = audit.LIST.statement(Ask(50, descending=True, filters=filters), 51)
            plan = tx.one(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
            assert plan is not None
            # Of every 50th entry a page of 51 may be found by the index of the actor, or by walking back from the newest: 2,550 of 20,000.
            assert read(plan[0][0]["Plan"]) < 2700, filters


def read(node: dict[str, Any]) -> float:
    """Rows that the plan touched, those it threw away included."""
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float(own * node["Actual Loops"] + sum(read(below) for below in node.get("Plans", ())))


def test_an_entry_whose_transaction_began_early_is_found_by_its_time(database: Database) -> None:
    with database.transaction() as tx:
        for at in (NOON, NOON - timedelta(minutes=30), NOON + timedelta(minutes=5), NOON - timedelta(minutes=1)):
            tx.execute("INSERT INTO audit (at, actor, action, object, outcome) VALUES (%s, 'a', 'x', '', 'ok')", (at,))
        before = audit.LIST.page(tx, Ask(10, filters={"until": NOON})).rows
        since = audit.LIST.page(tx, Ask(10, filters={"since": NOON})).rows
    assert [row.at for row in before] == [NOON - timedelta(minutes=30), NOON - timedelta(minutes=1)]
    assert [row.at for row in since] == [NOON, NOON + timedelta(minutes=5)]
