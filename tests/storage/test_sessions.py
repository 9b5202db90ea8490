"""Logins: what ends them, and that of two who renew one at once a single one wins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fileflux.storage import sessions, users
from fileflux.storage.pool import Database
from fileflux.storage.sessions import IDLE_LIFETIME, MAX_LIFETIME, Reused, Session
from fileflux.storage.users import UserRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def user(database: Database) -> UserRow:
    with database.transaction() as tx:
        return users.create(tx, "ann@example.org", "h", "admin")


@pytest.fixture
def begin(database: Database, user: UserRow) -> Callable[..., Session]:
    def make(now: datetime = NOW, address: str = "192.0.2.1") -> Session:
        with database.transaction() as tx:
            made = sessions.create(tx, user, now, address, "a browser")
        assert made is not None
        return made

    return make


def renew(database: Database, value: str, now: datetime = NOW) -> Session | Reused | None:
    with database.transaction() as tx:
        return sessions.refresh(tx, value, now)


def live(database: Database, session: Session, now: datetime = NOW) -> bool:
    with database.transaction() as tx:
        return sessions.live_user(tx, session.id, session.user.id, session.user.session_version, now) is not None


def count(database: Database) -> int:
    with database.transaction() as tx:
        row = tx.one("SELECT count(*) FROM user_sessions")
    assert row is not None
    return int(row[0])


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Their results, in this order."""
    results: list[Any] = [None] * len(acts)
    gate = threading.Barrier(len(acts))

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = acts[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results


def test_a_refresh_token_is_good_once_and_stored_as_a_hash(database: Database, begin: Callable[..., Session]) -> None:
    first = begin()
    second = renew(database, first.value)
    assert isinstance(second, Session)
    assert (second.id, second.user.email) == (first.id, "ann@example.org")
    assert len({first.value, second.value}) == 2
    assert first.value[:26] == second.value[:26]
    with database.transaction() as tx:
        stored = str(tx.all("SELECT to_jsonb(s)::text FROM user_sessions s"))
    assert not any(value[26:] in stored or value[4:26] in stored for value in (first.value, second.value))
    third = renew(database, second.value)
    assert isinstance(third, Session)
    assert live(database, third)
    assert renew(database, first.value) == Reused(first.id, first.user.id, "ann@example.org")
    assert not live(database, third)
    assert renew(database, third.value) is None, "the session has ended for both who had it"
    assert renew(database, first.value) is None, "told once"


def test_of_many_at_once_one_wins_and_the_session_ends(database: Database, begin: Callable[..., Session]) -> None:
    first = begin()
    outcomes = at_once(*[lambda: renew(database, first.value)] * 5)
    kinds = [type(outcome) for outcome in outcomes]
    assert sorted(kind.__name__ for kind in kinds) == ["NoneType"] * 3 + ["Reused", "Session"]
    assert count(database) == 0


def test_a_renewal_beside_the_end_of_all_sessions_survives_nothing(
    database: Database, user: UserRow, begin: Callable[..., Session]
) -> None:
    def end() -> None:
        with database.transaction() as tx:
            sessions.end_all(tx, user.id)

    for _ in range(5):
        with database.transaction() as tx:
            fresh = sessions.create(tx, users.locked(tx, user.id), NOW, "", "")
        assert fresh is not None
        renewed, error = at_once(lambda value=fresh.value: renew(database, value), end)
        assert error is None
        assert renewed is None or (isinstance(renewed, Session) and not live(database, renewed))
        assert count(database) == 0


@pytest.mark.parametrize("change", ["end_all", "disabled", "deleted"])
def test_a_login_whose_password_was_checked_before_a_change_is_none(
    database: Database, user: UserRow, change: str
) -> None:
    with database.transaction() as tx:
        if change == "end_all":
            sessions.end_all(tx, user.id)
        elif change == "disabled":
            users.update(tx, user.id, {"disabled_at": NOW})
        else:
            users.delete(tx, user.id)
        assert sessions.create(tx, user, NOW, "", "") is None
    assert count(database) == 0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ffr_",
        "ffr_" + "A" * 65,
        "ffr_" + "A" * 64,
        "ffr_" + "A" * 66,
        "ffk_" + "A" * 65,
        "ffr_" + "é" * 65,
        "x" * 100_000,
        "ffr_" + "A" * 64 + "\0",
    ],
)
def test_what_is_no_refresh_token(database: Database, begin: Callable[..., Session], value: str) -> None:
    begin()
    assert renew(database, value) is None
    assert count(database) == 1


def test_a_session_ends_by_itself_unless_renewed_and_at_last_in_any_case(
    database: Database, begin: Callable[..., Session]
) -> None:
    idle = begin()
    assert not live(database, idle, NOW + IDLE_LIFETIME)
    assert renew(database, idle.value, NOW + IDLE_LIFETIME) is None
    session: Any = begin()
    now = NOW
    while now < NOW + MAX_LIFETIME - timedelta(days=5):
        now += timedelta(days=5)
        session = renew(database, session.value, now)
        assert isinstance(session, Session)
    assert session.expires_at == NOW + MAX_LIFETIME
    assert renew(database, session.value, NOW + MAX_LIFETIME) is None


def test_the_table_does_not_grow(database: Database, begin: Callable[..., Session], monkeypatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 5)
    made = [begin() for _ in range(8)]
    assert count(database) == 5
    assert [live(database, session) for session in made] == [False] * 3 + [True] * 5
    begin(NOW + IDLE_LIFETIME)
    assert count(database) == 1


def test_where_a_user_logged_in_before(database: Database, begin: Callable[..., Session]) -> None:
    begin(address="192.0.2.1")
    with database.transaction() as tx:
        assert sessions.knows_address(tx, "ANN@example.org", "192.0.2.1", NOW)
        assert not sessions.knows_address(tx, "ann@example.org", "192.0.2.2", NOW)
        assert not sessions.knows_address(tx, "bob@example.org", "192.0.2.1", NOW)
        assert not sessions.knows_address(tx, "ann@example.org", "192.0.2.1", NOW + IDLE_LIFETIME)
