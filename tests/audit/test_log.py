from __future__ import annotations

import pytest

from fileflux.audit import log as audit
from fileflux.errors import FluxError
from fileflux.storage.pool import Database


def test_entries_come_back_newest_first(database: Database) -> None:
    with database.transaction() as tx:
        audit.append(tx, "user:1", "job.created", "job:1", detail={"name": "n"})
        audit.append_many(tx, [audit.NewEntry("agent:a", f"act.{n}", outcome="refused") for n in range(3)])
        audit.append_many(tx, [])
    with database.transaction() as tx:
        rows = audit.list_page(tx, 3)
        assert [row.action for row in rows] == ["act.2", "act.1", "act.0"]
        (first,) = audit.list_page(tx, 3, rows[-1].id)
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
        (row,) = audit.list_page(tx, 10)
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
        assert [row.actor for row in audit.list_page(tx, 10)] == ["user:1"]
