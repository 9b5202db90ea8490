"""Bring the schema up to date: numbered SQL files, forward only, each in its own transaction.

A session-level advisory lock would be lost behind a pooling proxy, so every migration's transaction takes a transaction-level one and
looks again at what is applied: two hubs that start together take turns and do nothing twice.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from fileflux.errors import ConfigError
from fileflux.storage.pool import Database, Transaction

_LOCK = 0x46465846
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def find_folder() -> Path:
    """Where the SQL files are: in the checkout, else where the installation put them. Raises ConfigError."""
    checkout = Path(__file__).resolve().parents[2] / "db" / "migrations"
    installed = Path(sys.prefix) / "share" / "fileflux" / "migrations"
    for folder in (checkout, installed):
        if folder.is_dir():
            return folder
    raise ConfigError(f"no database migrations in {checkout} or {installed}; install fileflux again")


def load(folder: Path) -> list[Migration]:
    """The migrations by number. Raises ConfigError for a name or number out of line."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise ConfigError(f"{path}: not named like 0001_what_it_does.sql")
        found.append(Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ConfigError(f"{folder}: the migrations are not numbered 1, 2, 3 …")
    return found


def migrate(database: Database, folder: Path | None = None) -> int:
    """Apply what is missing; returns how many were applied here.

    Raises ConfigError when the schema is newer than this program or was made by other files, UnavailableError when the database is
    not there. What was applied before an error stays applied: run it again.
    """
    migrations = load(folder or find_folder())
    applied = 0
    for migration in migrations:
        with database.transaction() as tx:
            known = _applied(tx)
            _check(known, migrations)
            if migration.number in known:
                continue
            _apply(tx, migration)
            tx.execute(
                "INSERT INTO schema_migrations (number, name, sha256) VALUES (%s, %s, %s)",
                (migration.number, migration.name, migration.checksum),
            )
            applied += 1
    return applied


def _apply(tx: Transaction, migration: Migration) -> None:
    try:
        tx.execute(migration.sql)
    except psycopg2.Error as error:
        if isinstance(error, psycopg2.OperationalError):
            raise
        raise ConfigError(
            f"migration {migration.name} does not fit what is in the database ({error.diag.message_primary}): it was changed by hand"
            " or restored in part; restore a backup, or give an empty database"
        ) from error


def _applied(tx: Transaction) -> dict[int, tuple[str, str]]:
    # A large table takes its time, and so does waiting for the hub that works on it.
    tx.take_its_time()
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    tx.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    return {
        number: (name, sha256) for number, name, sha256 in tx.all("SELECT number, name, sha256 FROM schema_migrations")
    }


def _check(known: dict[int, tuple[str, str]], migrations: list[Migration]) -> None:
    by_number = {migration.number: migration for migration in migrations}
    for number, (name, sha256) in sorted(known.items()):
        migration = by_number.get(number)
        if migration is None:
            raise ConfigError(f"the database has migration {name}, which this version does not know: upgrade fileflux")
        if migration.checksum != sha256:
            raise ConfigError(
                f"migration {name} is not the one that the database was made with: install the matching fileflux"
            )
