"""PostgreSQL's own programs for a copy of a database: ``pg_dump`` and ``pg_restore`` of the right version.

A dump is made in one transaction, so it is consistent while the hub works. Passwords go by the environment: others see command lines.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from psycopg2.extensions import make_dsn, parse_dsn

from fileflux.errors import ConfigError, FluxError
from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.storage import runs, transfers
from fileflux.storage.cluster import PACKAGED_VERSIONS, packaged_program
from fileflux.storage.pool import Database, Transaction
from fileflux.storage.values import safe_text

LOCK_WAIT: Final = "60s"
"""A migration that runs at the same time holds its tables for longer than any other statement."""
_END_RUN: Final = (
    "SET status = %s, reason = %s, ended_at = clock_timestamp(), lease_owner = NULL, lease_until = NULL,"
    " lease_epoch = lease_epoch + 1, parts_left = true"
)
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")


def server_major(database: Database) -> int:
    with database.transaction() as tx:
        row = tx.one("SELECT current_setting('server_version_num')::int / 10000")
    assert row is not None  # noqa: S101  # for the type checker: such a SELECT has one row
    return int(row[0])


def is_empty(tx: Transaction) -> bool:
    """No table of anybody's in the schema that the hub uses."""
    return tx.one("SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace LIMIT 1") is None


def other_hubs(tx: Transaction) -> int:
    """Connections of hubs to this database, without the caller's own."""
    row = tx.one(
        "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'fileflux' AND pid <> pg_backend_pid()"
    )
    return 0 if row is None else int(row[0])


def schema_number(tx: Transaction) -> int:
    """The newest migration that the database has; 0 for one that no hub has used."""
    if tx.one("SELECT 1 WHERE to_regclass('schema_migrations') IS NOT NULL") is None:
        return 0
    row = tx.one("SELECT coalesce(max(number), 0) FROM schema_migrations")
    return 0 if row is None else int(row[0])


def dump(url: str, major: int, target: Path) -> None:
    """Write the database at ``url``, of PostgreSQL ``major``, to ``target``, which must exist. Raises FluxError with what went wrong."""
    options = ["--format=custom", "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_WAIT}"]
    _run(_program("pg_dump", major), [*options, f"--file={target}"], url)


def load(url: str, major: int, source: Path, *, replace: bool) -> None:
    """Fill the database at ``url`` from a dump in one transaction; ``replace`` removes what is there of the same names first."""
    options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    if replace:
        options += ["--clean", "--if-exists"]
    _run(_program("pg_restore", major), options, url, source)


def end_live_runs(tx: Transaction, reason: str) -> int:
    """End every run that has not ended as failed, fence off whoever works on it, and have its parts removed; returns how many."""
    tx.execute(
        f"UPDATE transfers SET status = %s, reason = %s, ended_at = clock_timestamp() WHERE {transfers.LIVE_SQL}",  # noqa: S608  # the module's own constant
        (TransferStatus.FAILED.value, safe_text(reason)),
    )
    return tx.execute(
        f"UPDATE runs {_END_RUN} WHERE {runs.LIVE_SQL}",  # noqa: S608  # constants of this package
        (RunStatus.FAILED.value, safe_text(reason)),
    )


def _program(name: str, major: int) -> str:
    """One that can read a server of ``major`` and write for it: of the same version, else a newer one."""
    versions = sorted(version for version in PACKAGED_VERSIONS if version >= major)
    packaged = (packaged_program(version, name) for version in versions)
    found = next((str(path) for path in packaged if path is not None), None)
    if found is not None:
        return found
    other = shutil.which(name)
    if other is None:
        raise ConfigError(f"{name} is not installed: install the client programs of PostgreSQL {major}")
    said = subprocess.run([other, "--version"], capture_output=True, text=True, check=False).stdout
    version = _VERSION.search(said)
    if version is None or int(version[1]) < major:
        raise ConfigError(f"{other} is too old for PostgreSQL {major}: install the client programs of that version")
    return other


def _run(program: str, options: list[str], url: str, *arguments: Path) -> None:
    parts: dict[str, str] = parse_dsn(url)
    password = parts.pop("password", None)
    environment: Mapping[str, str] = os.environ | {"LC_MESSAGES": "C", "PGCONNECT_TIMEOUT": "10"}
    if password is not None:
        environment = {**environment, "PGPASSWORD": password}
    command = [program, "--no-password", *options, f"--dbname={make_dsn(**parts)}", *map(str, arguments)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines()[-1:]
        raise FluxError(
            f"{Path(program).name} failed: {errors[0].partition('error:')[2].strip() or errors[0] if errors else done.returncode}"
        )
