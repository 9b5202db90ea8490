"""Backup and restore of a database that is there already; a hub's own folder is in tests/integration/test_operations.py."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fileflux import backup
from fileflux.backup import LAST_BACKUP, Place
from fileflux.clock import FakeClock
from fileflux.errors import ConfigError, FluxError
from fileflux.jobs.models import JobSpec
from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage import agents, dump, jobs, migrate, runs, settings, tokens, transfers
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.pool import Database
from tests.conftest import administer, with_database


@pytest.fixture
def history(database: Database) -> int:
    """A job with one live run of one file; its id."""
    with database.transaction() as tx:
        source, destination = agents.create(tx, "source"), agents.create(tx, "destination")
        tokens.create(tx, source.id, "first")
        job = jobs.create(tx, JobSpec("nightly", source.id, "/in", destination.id, "/out"), "user:1")
        run = runs.create(tx, job, "user:1")
        transfers.insert_many(tx, run.id, [transfers.NewTransfer(b"a\xff", 5, 1, 0o644, 1 << 20)])
        settings.secret(tx, "jwt")
    return run.id


@pytest.fixture
def empty_url(postgres_url: str) -> str:
    name = f"empty_{os.urandom(6).hex()}"
    administer(postgres_url, f"CREATE DATABASE {name}")
    return with_database(postgres_url, name)


def place(tmp_path: Path, url: str, name: str = "data") -> Place:
    (tmp_path / name).mkdir(exist_ok=True)
    return Place(tmp_path / name, url, DEFAULT_LIMITS)


def test_a_database_comes_back_as_it_was_but_for_live_runs(
    tmp_path: Path, database: Database, database_url: str, empty_url: str, history: int
) -> None:
    here, there, file = place(tmp_path, database_url), place(tmp_path, empty_url, "new"), tmp_path / "hub.backup"
    (here.data_dir / "tls").mkdir()
    (here.data_dir / "tls" / "ca.key").write_text("a key")
    (here.data_dir / "tls" / ".draft").write_text("half a key")
    made = backup.back_up(here, file, "1.2.3", FakeClock())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(made.parts) == ["database.dump", "tls/ca.key"]

    manifest, ended = backup.restore(there, file)
    assert (manifest, ended) == (made, 1)
    restored = Database(empty_url, DEFAULT_LIMITS, size=1)
    with database.transaction() as old, restored.transaction() as new:
        for table in ("agents", "agent_tokens", "jobs", "schema_migrations"):
            rows = f"SELECT * FROM {table} ORDER BY 1"
            assert new.all(rows) == old.all(rows)
        assert settings.secret(new, "jwt") == settings.secret(old, "jwt")
        assert settings.get(new, LAST_BACKUP) == settings.get(old, LAST_BACKUP) == made.created_at
        run = runs.get(new, history)
        assert (run.status, run.lease_owner) == ("failed", None)
        assert "restored from a backup of 2026-01-01" in run.reason
        assert new.one("SELECT status, encode(path, 'hex') FROM transfers") == ("failed", "61ff")
        assert new.one("SELECT count(*) FROM audit WHERE action = 'hub.restored'") == (1,)
    restored.close()
    key = there.data_dir / "tls" / "ca.key"
    assert (key.read_text(), stat.S_IMODE(key.stat().st_mode)) == ("a key", 0o600)

    # What is there already stays, unless it is to be replaced.
    with pytest.raises(ConfigError, match="there is a hub in"):
        backup.restore(there, file)
    with pytest.raises(ConfigError, match="not empty"):
        backup.restore(place(tmp_path, empty_url, "third"), file)
    with pytest.raises(ConfigError, match="exists: choose another name"):
        backup.back_up(here, file, "1.2.3")
    assert backup.restore(there, file, force=True)[1] == 1


def test_a_restore_that_does_not_fit_changes_nothing(
    tmp_path: Path, database_url: str, empty_url: str, history: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, there = tmp_path / "hub.backup", place(tmp_path, empty_url)
    backup.back_up(place(tmp_path, database_url, "old"), file, "1.2.3")
    (there.data_dir / "tls").mkdir()
    (there.data_dir / "tls" / "ca.key").write_text("own")

    def refused(why: str) -> None:
        with pytest.raises(ConfigError, match=why):
            backup.restore(there, file, force=True)
        assert (there.data_dir / "tls" / "ca.key").read_text() == "own"
        assert sorted(path.name for path in there.data_dir.iterdir() if path.name != "lock") == ["tls"]

    with monkeypatch.context() as patch:
        patch.setattr(backup, "load", lambda _folder: [])
        refused("newer fileflux .*upgrade")
    with monkeypatch.context() as patch:
        patch.setattr(dump, "server_major", lambda _database: 15)
        refused("is of PostgreSQL 1[68] and this is 15")
    with monkeypatch.context() as patch:
        patch.setattr(dump, "load", lambda *_, **__: (_ for _ in ()).throw(FluxError("pg_restore failed: no")))
        refused("nothing was changed: pg_restore failed")
    other = Database(empty_url, DEFAULT_LIMITS, size=1)
    other.wait_until_ready(5)
    refused("a hub uses this database")
    other.close()
    lock = backup.try_lock(there.data_dir)
    assert lock is not None
    refused("a hub runs in")
    os.close(lock)


def test_what_cannot_be_backed_up_leaves_no_file(tmp_path: Path, empty_url: str, database_url: str) -> None:
    for somewhere, why in (
        (place(tmp_path, empty_url), "holds no hub yet"),
        (Place(tmp_path / "none", None, DEFAULT_LIMITS), "there is no hub in"),
        (place(tmp_path, with_database(database_url, "nothing")), "does not exist"),
    ):
        with pytest.raises(ConfigError, match=why):
            backup.back_up(somewhere, tmp_path / "hub.backup", "1.2.3")
    with pytest.raises(ConfigError, match="cannot write"):
        backup.back_up(place(tmp_path, database_url), tmp_path / "no" / "such" / "folder", "1.2.3")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_no_password_on_a_command_line(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others see command lines; the environment is the process's own."""
    seen: list[tuple[list[str], str]] = []
    run = subprocess.run

    def watched(command: list[str], **options: object) -> object:
        seen.append((command, options["env"]["PGPASSWORD"]))
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    backup.back_up(place(tmp_path, database_url), tmp_path / "hub.backup", "1.2.3")
    ((command, password),) = seen
    assert len(password) > 20
    assert not any(password in word for word in command)


def test_a_hub_that_is_stopped_and_one_that_runs(tmp_path: Path) -> None:
    """The embedded PostgreSQL is started for the backup, or the running one is used."""
    data_dir = tmp_path / "hub"
    here = Place(data_dir, None, DEFAULT_LIMITS)
    server = EmbeddedPostgres(data_dir)
    database = Database(server.start(), DEFAULT_LIMITS, size=1)
    migrate.migrate(database)
    database.close()
    lock = backup.try_lock(data_dir)
    backup.back_up(here, tmp_path / "running", "1.2.3")
    os.close(lock)
    server.stop()
    backup.back_up(here, tmp_path / "stopped", "1.2.3")
    there = Place(tmp_path / "new", None, DEFAULT_LIMITS)
    assert backup.restore(there, tmp_path / "stopped")[1] == 0
    with pytest.raises(ConfigError, match="give --force"):
        backup.restore(there, tmp_path / "running")
    backup.restore(there, tmp_path / "running", force=True)
    (aside,) = there.data_dir.glob("before-restore-*")
    assert sorted(path.name for path in aside.iterdir()) == ["postgres", "postgres-password"]


def test_programs_of_the_right_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_program: Callable[[str], None]
) -> None:
    assert "pginstall/" in dump._program("pg_dump", 14)
    assert "pginstall18" in dump._program("pg_dump", 17)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="not installed"):
        dump._program("pg_dump", 19)
    make_program("18.1")
    with pytest.raises(ConfigError, match="too old"):
        dump._program("pg_dump", 19)
    make_program("19beta1")
    assert dump._program("pg_dump", 19) == str(tmp_path / "pg_dump")


@pytest.fixture
def make_program(tmp_path: Path) -> Callable[[str], None]:
    def make(version: str) -> None:
        path = tmp_path / "pg_dump"
        path.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
        path.chmod(0o700)

    return make
