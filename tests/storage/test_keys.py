from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from fileflux.errors import ConflictError, NotFoundError
from fileflux.storage import keys, users
from fileflux.storage.keys import KeyRow
from fileflux.storage.pool import Database, Transaction
from fileflux.storage.users import UserRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


@pytest.fixture
def user(database: Database) -> UserRow:
    with database.transaction() as tx:
        return users.create(tx, "ann@example.org", "h", "viewer")


def make(tx: Transaction, user: UserRow, expires_at: datetime = LATER) -> tuple[KeyRow, str]:
    return keys.create(tx, user.id, "k", ["runs:read"], NOW, expires_at)


def test_a_key_is_stored_as_a_hash_only(database: Database, user: UserRow) -> None:
    with database.transaction() as tx:
        row, value = make(tx, user)
        assert len(value) == 47
        assert (value[:4], value[:12]) == ("ffk_", row.prefix)
        stored = tx.all("SELECT to_jsonb(k)::text, sha256 FROM api_keys k")
        assert value not in stored[0][0]
        assert bytes(stored[0][1]) == hashlib.sha256(value.encode()).digest()
        found = keys.find_live(tx, value, NOW)
        assert found is not None
        assert (found[0], found[1]) == (row, user)


def test_only_live_keys_of_live_users_are_found(database: Database, user: UserRow) -> None:
    with database.transaction() as tx:
        _, good = make(tx, user)
        _, expired = make(tx, user, NOW)
        revoked, gone = make(tx, user)
        assert keys.revoke(tx, revoked.id, NOW).revoked_at == NOW
        assert keys.revoke(tx, revoked.id, LATER).revoked_at == NOW
        for bad in (
            expired,
            gone,
            "",
            "ffk_",
            good[:-1],
            good + "x",
            good.swapcase(),
            "ffk_" + "é" * 43,
            "ffx_" + good[4:],
            good[:-1] + "\0",
        ):
            assert keys.find_live(tx, bad, NOW) is None, bad
        assert keys.find_live(tx, good, NOW) is not None
        users.update(tx, user.id, {"disabled_at": NOW})
        assert keys.find_live(tx, good, NOW) is None
        users.update(tx, user.id, {"disabled_at": None})
        assert keys.find_live(tx, good, NOW) is not None
        users.delete(tx, user.id)
        assert keys.find_live(tx, good, NOW) is None
        with pytest.raises(NotFoundError):
            keys.revoke(tx, revoked.id, NOW)


def test_its_use_is_noted_once_a_minute(database: Database, user: UserRow) -> None:
    with database.transaction() as tx:
        row, value = make(tx, user)
        noted = []
        for second in (0, 30, 59, 60, 100, 121):
            assert keys.find_live(tx, value, NOW + timedelta(seconds=second)) is not None
            now = keys.get(tx, row.id)
            assert now is not None
            assert now.last_used_at is not None
            noted.append((now.last_used_at - NOW).total_seconds())
        assert noted == [0, 0, 0, 60, 60, 121]


def test_one_user_has_so_many_live_keys(database: Database, user: UserRow, monkeypatch) -> None:
    monkeypatch.setattr(keys, "MAX_KEYS", 2)
    with database.transaction() as tx:
        make(tx, user, NOW)
        first, _ = make(tx, user)
        make(tx, user)
        with pytest.raises(ConflictError) as caught:
            make(tx, user)
        assert caught.value.code == "too_many_keys"
        keys.revoke(tx, first.id, NOW)
        make(tx, user)
        assert len(keys.list_page(tx, 10, None, user.id)) == 4
        assert keys.list_page(tx, 10, None, user.id + 1) == []
