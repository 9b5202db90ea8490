from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from fileflux.clock import SystemClock
from fileflux.errors import ConfigError, ConflictError, FluxError, ForbiddenError, NotFoundError
from fileflux.storage import agents, settings, tokens, users
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Database
from fileflux.web.identity import Signer


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
            agents.update(tx, two.id, name="one")
        assert agents.update(tx, two.id, name="three").name == "three"
        assert agents.update(tx, one.id, name="one").name == "one"
        for bad in ("a\0b", "\ud800"):
            with pytest.raises(FluxError) as caught:
                agents.create(tx, bad)
            assert caught.value.code == "bad_value"
        for act in (agents.connected, agents.revoke):
            with pytest.raises(NotFoundError):
                act(tx, 12345)
        with pytest.raises(NotFoundError):
            agents.update(tx, 12345, name="x")
        assert [row.name for row in agents.LIST.page(tx, Ask(5)).rows] == ["one", "three"]


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
        tokens.used(tx, [row.id])
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
        assert [row.name for row in tokens.LIST.page(tx, Ask(10)).rows] == ["old", "new", "gone"]
        assert tokens.LIST.page(tx, Ask(10, filters={"agent_id": agent.id + 1})).rows == []
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
        assert users.count_admins(tx) == 1
        assert users.lock_admins(tx) == {user.id}
        with pytest.raises(ConflictError):
            users.update(tx, user.id, {"email": "EVE@example.org"})
        changed = users.update(tx, user.id, {"email": "ANN@example.org", "name": "Ann", "role": "viewer"})
        assert changed == users.locked(tx, user.id)
        assert (changed.email, changed.name, changed.role) == ("ANN@example.org", "Ann", "viewer")
        assert users.update(tx, user.id, {}) == changed
        assert users.lock_admins(tx) == frozenset()
        users.rehash(tx, user, "newer")
        users.rehash(tx, user, "from what it no longer is")
        assert users.locked(tx, user.id).password_hash == "newer"
        users.delete(tx, user.id)
        for act in (lambda: users.locked(tx, user.id), lambda: users.update(tx, user.id, {"name": "x"})):
            with pytest.raises(NotFoundError):
                act()


def test_hub_settings_are_kept_beside_each_other(database: Database) -> None:
    with database.transaction() as tx:
        assert settings.hub(tx) == settings.HubSettings()
        settings.change_hub(tx, {"site_name": "Ärzte"})
        changed = settings.change_hub(tx, {"max_key_days": 7, "default_token_days": 30})
        assert changed == settings.hub(tx) == settings.HubSettings("Ärzte", 30, 7)


@pytest.mark.parametrize("stored", ["", "changeme", "not base64!", 7, None])
def test_a_secret_that_was_made_by_hand_is_refused(database: Database, stored: object) -> None:
    with database.transaction() as tx:
        settings.put(tx, "secret.jwt", stored)
        with pytest.raises(ConfigError):
            Signer(settings.secret(tx, "jwt"), SystemClock())


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
