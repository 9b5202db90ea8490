"""``fileflux backup`` and ``restore``: all that makes a hub, in one file and out of it.

That is the database (users, tokens, jobs, history, the key that signs logins) and, with ``--tls auto``, the hub's CA, which agents know
their hub by. Not in it: configuration and certificates from elsewhere, and files on their way, which are at the agents.

A restored hub ends the runs that were live in the backup. What they moved since then nobody knows here, and to go on from an old state
could write over newer files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fileflux import backup_file, file_lock
from fileflux.audit import log as audit
from fileflux.backup_file import DATABASE, TLS_FOLDER, Backup, Manifest
from fileflux.clock import Clock, SystemClock
from fileflux.errors import ConfigError, FluxError
from fileflux.protocol.limits import Limits
from fileflux.storage import deliveries, dump
from fileflux.storage import settings as stored
from fileflux.storage.cluster import Cluster
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.migrate import find_folder, load, migrate
from fileflux.storage.pool import Database

LAST_BACKUP: Final = "last_backup"
"""The setting that holds when the last backup was made, RFC 3339; the doctor tells its age."""
DATABASE_WAIT_S: Final = 10.0
MOVED: Final = ("postgres", "postgres-password", "tls")
"""What a restore with ``force`` moves out of its way."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hub keeps itself; ``database_url`` None: in the embedded PostgreSQL below ``data_dir``."""

    data_dir: Path
    database_url: str | None
    limits: Limits


def back_up(place: Place, target: Path, version: str, clock: Clock | None = None) -> Manifest:
    """Write everything to ``target``, also while the hub runs. Raises ConfigError or another FluxError; then there is no file."""
    if target.exists():
        raise ConfigError(f"{target} exists: choose another name for the backup")
    created_at = (clock or SystemClock()).utc_now()
    try:
        with (
            running_database(place) as url,
            tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".fileflux-backup-") as folder,
        ):
            database = Database(url, place.limits, size=1)
            try:
                database.wait_until_ready(DATABASE_WAIT_S)
                major = dump.server_major(database)
                with database.transaction() as tx:
                    schema = dump.schema_number(tx)
                if schema == 0:
                    raise ConfigError("this database holds no hub yet: there is nothing to back up")
                dumped = Path(folder) / DATABASE
                dumped.touch(0o600)
                dump.dump(url, major, dumped)
                files = {DATABASE: dumped, **_tls_files(place.data_dir)}
                parts = {name: backup_file.describe(path) for name, path in files.items()}
                manifest = Manifest(version, schema, major, created_at.isoformat(timespec="seconds"), parts)
                backup_file.write(target.absolute(), manifest, files)
                with database.transaction() as tx:
                    stored.put(tx, LAST_BACKUP, manifest.created_at)
                    audit.append(tx, "hub", "hub.backed_up", "", "ok", {"schema": schema, "file": target.name})
            finally:
                database.close()
    except OSError as error:
        raise ConfigError(f"cannot write the backup {target}: {error.strerror or error}") from error
    return manifest


def restore(place: Place, source: Path, *, force: bool = False) -> tuple[Manifest, int]:
    """Make a hub from a backup; returns the manifest and how many runs were ended. Then start the hub.

    The place must be empty, unless ``force``: then what is in the data folder is moved aside, and what is in a database is replaced.
    Raises ConfigError when a hub runs there or the backup does not fit; what was there is then as before.
    """
    with backup_file.opened(source) as backup, ExitStack() as stack:
        newest = len(load(find_folder()))
        if backup.manifest.schema > newest:
            raise ConfigError(
                f"the backup is of a newer fileflux ({backup.manifest.fileflux}, schema {backup.manifest.schema}, here {newest}):"
                " upgrade fileflux first"
            )
        stack.callback(os.close, _lock(place.data_dir))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place.data_dir, prefix=".restore-")))
        dumped = folder / DATABASE
        try:
            backup.extract_dump(dumped)
            aside = _make_room(place, force=force)
            try:
                ended = _fill(place, backup, dumped, force=force)
            except BaseException:
                _put_back(place, aside)
                raise
        except OSError as error:
            raise ConfigError(f"cannot restore to {place.data_dir}: {error.strerror or error}") from error
    return backup.manifest, ended


@contextmanager
def running_database(place: Place) -> Iterator[str]:
    """The URL of the hub's database: the running hub's, else the embedded one, started for as long as this is used."""
    if place.database_url:
        yield place.database_url
        return
    cluster = Cluster(place.data_dir.absolute())
    if not cluster.folder.is_dir():
        raise ConfigError(f"there is no hub in {place.data_dir}: check --data-dir, or name its database")
    try:
        descriptor = try_lock(place.data_dir)
    except OSError as error:
        raise ConfigError(
            f"cannot use the data folder {place.data_dir} ({error.strerror}): run this as its owner"
        ) from error
    if descriptor is None:
        yield cluster.url
        return
    postgres = EmbeddedPostgres(place.data_dir)
    try:
        yield postgres.start()
    finally:
        postgres.stop()
        os.close(descriptor)


def try_lock(data_dir: Path) -> int | None:
    """The data folder's lock, which whoever has it closes; None when a hub has it. Raises OSError."""
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if file_lock.take(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _tls_files(data_dir: Path) -> dict[str, Path]:
    folder = data_dir / TLS_FOLDER
    if not folder.is_dir():
        return {}
    # Drafts of files that are just being written begin with a dot.
    return {
        f"{TLS_FOLDER}{path.name}": path
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }


def _lock(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = try_lock(data_dir)
    except OSError as error:
        raise ConfigError(
            f"cannot use the data folder {data_dir} ({error.strerror}): choose another with --data-dir"
        ) from error
    if descriptor is None:
        raise ConfigError(f"a hub runs in {data_dir}: stop it first, or choose another --data-dir")
    return descriptor


def _make_room(place: Place, *, force: bool) -> Path | None:
    """Move an older hub's files aside; returns where they are."""
    names = MOVED if place.database_url is None else ("tls",)
    found = [place.data_dir / name for name in names if (place.data_dir / name).exists()]
    if not found:
        return None
    if not force:
        raise ConfigError(
            f"there is a hub in {place.data_dir}: choose an empty --data-dir, or give --force to move it aside"
        )
    aside = Path(tempfile.mkdtemp(dir=place.data_dir, prefix="before-restore-"))
    # The database's user must be able to pass, should the hub ever be moved back by hand.
    for path in found:
        path.rename(aside / path.name)
    return aside


def _put_back(place: Place, aside: Path | None) -> None:
    names = MOVED if place.database_url is None else ("tls",)
    for name in names:
        path = place.data_dir / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        if aside is not None and (aside / name).exists():
            (aside / name).rename(path)
    if aside is not None:
        with suppress(OSError):
            aside.rmdir()


def _fill(place: Place, backup: Backup, dumped: Path, *, force: bool) -> int:
    with ExitStack() as stack:
        url = place.database_url
        if url is None:
            postgres = EmbeddedPostgres(place.data_dir)
            stack.callback(postgres.stop)
            url = postgres.start()
        database = Database(url, place.limits, size=1)
        stack.callback(database.close)
        database.wait_until_ready(DATABASE_WAIT_S)
        major = dump.server_major(database)
        if major < backup.manifest.postgresql:
            raise ConfigError(
                f"the backup is of PostgreSQL {backup.manifest.postgresql} and this is {major}: restore it to that version or a newer one"
            )
        with database.transaction() as tx:
            if dump.other_hubs(tx):
                raise ConfigError("a hub uses this database: stop it first")
            empty = dump.is_empty(tx)
        if not empty and not force:
            raise ConfigError("the database is not empty: make a new one, or give --force to replace what is in it")
        try:
            dump.load(url, major, dumped, replace=not empty)
        except FluxError as error:
            raise ConfigError(f"the backup could not be restored, nothing was changed: {error.message}") from error
        migrate(database)
        with database.transaction() as tx:
            reason = f"the hub was restored from a backup of {backup.manifest.created_at}: run the job again"
            ended = dump.end_live_runs(tx, reason)
            deliveries.end_waiting(tx, reason)
            detail = {"created_at": backup.manifest.created_at, "schema": backup.manifest.schema, "runs_ended": ended}
            audit.append(tx, "hub", "hub.restored", "", "ok", detail)
            stored.put(tx, LAST_BACKUP, backup.manifest.created_at)
        _write_tls(place.data_dir, backup.tls)
    return ended


def _write_tls(data_dir: Path, files: dict[str, bytes]) -> None:
    if not files:
        return
    folder = data_dir / TLS_FOLDER
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
