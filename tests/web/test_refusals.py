from __future__ import annotations

from fileflux.audit import log as audit
from fileflux.clock import FakeClock
from fileflux.protocol.limits import Limits
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Database
from fileflux.web.refusals import MAX_OBJECT_CHARS, RefusalLog


def entries(database: Database) -> list:
    with database.transaction() as tx:
        return audit.LIST.page(tx, Ask(200)).rows


def test_the_first_few_are_written_and_the_rest_counted(database: Database) -> None:
    clock = FakeClock()
    refusals = RefusalLog(database, Limits(login_attempts=3, login_window=60.0), clock)
    for _ in range(10):
        refusals.record("192.0.2.1", "anonymous", "api.refused", "GET /api/" + "x" * 1000, "unauthenticated")
    refusals.record("192.0.2.2", "a@b", "api.refused", "GET /api/runs", "forbidden")
    written = entries(database)
    assert [row.actor for row in written] == ["anonymous"] * 3 + ["a@b"]
    assert len(written[0].object) == MAX_OBJECT_CHARS
    assert written[-1].detail == {"address": "192.0.2.2", "reason": "forbidden"}
    clock.advance(61)
    refusals.record("192.0.2.1", "anonymous", "api.refused", "GET /", "unauthenticated")
    assert entries(database)[-1].detail["left_out_before"] == 7


def test_requests_without_a_token_do_not_hide_failed_logins(database: Database) -> None:
    refusals = RefusalLog(database, Limits(login_attempts=3, login_window=60.0), FakeClock())
    for _ in range(10):
        refusals.record("192.0.2.1", "anonymous", "api.refused", "GET /api/runs", "unauthenticated")
    refusals.record("192.0.2.1", "a@b", "login", "user", "wrong_credentials")
    last = entries(database)[-1]
    assert (last.action, last.actor) == ("login", "a@b")
    assert "left_out_before" not in last.detail


def test_a_database_that_is_away_does_not_matter() -> None:
    away = Database("host=/does/not/exist dbname=x", Limits())
    RefusalLog(away, Limits(), FakeClock()).record("192.0.2.1", "a", "b", "c", "d")
