from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from fileflux.errors import ConflictError, FluxError, ForbiddenError, NotFoundError
from fileflux.storage import agents, settings, tokens, users
from fileflux.storage.pool import Database


def test_an_agent_from_new_to_revoked(database: Database) -> None:
    with database.transaction() as tx:
        agent = agents.create(tx, "büro-1", "in the cellar", ["a", "b'c"])
        assert (agent.status, agent.epoch, agent.last_seen, agent.tags, agent.info) == (
            "new",
            0,
            None,
            ["a", "b'c"],
            {},
        )
        assert agents.connected(tx, agent.id) == 1
        assert agents.connected(tx, agent.id) == 2
        agents.save_info(
            tx, agent.id, {"hostname": "h\0\udcff", "cpu_count": 2, "disks": [{"free": 1.5}], "load": float("nan")}
        )
        found = agents.by_name(tx, "büro-1")
        assert found == agents.get(tx, agent.id)
        assert found is not None
        assert (found.status, found.epoch) == ("known", 2)
        assert found.info == {"hostname": "h\\x00\\udcff", "cpu_count": 2, "disks": [{"free": 1.5}], "load": "nan"}
        assert found.last_seen is not None
        agents.seen(tx, [agent.id])
        _, value = tokens.create(tx, agent.id, "t")
        assert agents.revoke(tx, agent.id).status == "revoked"
        assert agents.revoke(tx, agent.id).status == "revoked"
        assert tokens.find_live(tx, value) is None
        with pytest.raises(ForbiddenError):
            agents.connected(tx, agent.id)
        with pytest.raises(ConflictError):
            tokens.create(tx, agent.id, "t")


def test_agent_names_are_unique_and_storable(database: Database) -> None:
    with database.transaction() as tx:
        one, two = agents.create(tx, "one"), agents.create(tx, "two")
        with pytest.raises(ConflictError, match="one"):
            agents.create(tx, "one")
        with pytest.raises(ConflictError, match="one"):
            agents.rename(tx, two.id, "one")
        assert agents.rename(tx, two.id, "three").name == "three"
        assert agents.rename(tx, one.id, "one").name == "one"
        for bad in ("a\0b", "\ud800"):
            with pytest.raises(FluxError) as caught:
                agents.create(tx, bad)
            assert caught.value.code == "bad_value"
        for act in (agents.connected, agents.revoke):
            with pytest.raises(NotFoundError):
                act(tx, 12345)
        with pytest.raises(NotFoundError):
            agents.rename(tx, 12345, "x")
        assert [row.name for row in agents.list_page(tx, 1)] == ["one"]
        assert [row.name for row in agents.list_page(tx, 5, one.id)] == ["three"]


def test_a_token_is_stored_as_a_hash_only(database: Database) -> None:
    with database.transaction() as tx:
        agent = agents.create(tx, "a")
        row, value = tokens.create(tx, agent.id, "first", None)
        assert len(value) == 47
        assert value.startswith("ffx_")
        assert row.prefix == value[:12]
        assert tokens.find_live(tx, value) == row == tokens.get(tx, row.id)
        stored = tx.all("SELECT to_jsonb(t)::text, sha256 FROM agent_tokens t")
        assert value not in stored[0][0]
        assert bytes(stored[0][1]) == hashlib.sha256(value.encode()).digest()
        tokens.touch(tx, row.id)
        used = tokens.get(tx, row.id)
        assert used is not None
        assert used.last_used_at is not None


def test_only_live_tokens_are_found(database: Database) -> None:
    with database.transaction() as tx:
        agent = agents.create(tx, "a")
        _, expired = tokens.create(tx, agent.id, "old", datetime.now(UTC) - timedelta(seconds=1))
        _, valid = tokens.create(tx, agent.id, "new", datetime.now(UTC) + timedelta(hours=1))
        revoked, value = tokens.create(tx, agent.id, "gone")
        assert tokens.revoke(tx, revoked.id).agent_id == agent.id
        assert tokens.revoke(tx, revoked.id).revoked_at is not None
        assert tokens.find_live(tx, valid) is not None
        for bad in (
            expired,
            value,
            "",
            "ffx_",
            valid[:-1],
            valid + "x",
            valid.swapcase(),
            "ffx_" + "é" * 43,
            valid[:-1] + "\0",
            f"{valid}.",
            f"{valid}.{'a' * 63}",
            f"{valid}.{'a' * 65}",
            f"{valid}.{'A' * 64}",
            f"{valid}.{'a' * 64}.{'a' * 64}",
            f"{expired}.{'a' * 64}",
        ):
            assert tokens.find_live(tx, bad) is None
        assert tokens.find_live(tx, tokens.with_pin(valid, "0a" * 32)) == tokens.find_live(tx, valid)
        assert [row.name for row in tokens.list_page(tx, 10)] == ["old", "new", "gone"]
        assert tokens.list_page(tx, 10, agent_id=agent.id + 1) == []
        with pytest.raises(NotFoundError):
            tokens.revoke(tx, 999)
        with pytest.raises(NotFoundError):
            tokens.create(tx, 999, "t")


def test_users_are_found_in_any_case(database: Database) -> None:
    with database.transaction() as tx:
        assert users.count_admins(tx) == 0
        user = users.create(tx, "Ann@example.org", "$argon2id$x", "admin")
        assert (user.session_version, user.disabled_at) == (1, None)
        assert users.by_email(tx, "aNN@EXAMPLE.org") == users.get(tx, user.id) == user
        with pytest.raises(ConflictError):
            users.create(tx, "ann@EXAMPLE.org", "h", "viewer")
        for nobody in ("", "bob@example.org", "a\0", "\ud800", "' OR 1=1 --"):
            assert users.by_email(tx, nobody) is None
        users.create(tx, "eve@example.org", "h", "viewer")
        users.end_sessions(tx, user.id)
        assert users.count_admins(tx) == 1
        again = users.get(tx, user.id)
        assert again is not None
        assert again.session_version == 2


def test_a_secret_is_made_once(database: Database) -> None:
    with database.transaction() as tx:
        secret = settings.secret(tx, "jwt")
        assert len(secret) == 32
        assert settings.secret(tx, "other") != secret
        assert settings.get(tx, "missing") is None
        settings.put(tx, "theme", {"dark": True})
        settings.put(tx, "theme", {"dark": False})
    with database.transaction() as tx:
        assert settings.secret(tx, "jwt") == secret
        assert settings.get(tx, "theme") == {"dark": False}
