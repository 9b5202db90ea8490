"""``fileflux doctor``: would a hub with this configuration work here, and does the one that runs? Layer by layer, with what to do.

It may be asked at any time. A hub that runs is not disturbed; for one that is stopped the embedded PostgreSQL is started for a moment.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from fileflux.backup import LAST_BACKUP, Place, running_database, try_lock
from fileflux.errors import ConfigError, FluxError
from fileflux.serve import WILDCARDS, ServeSettings, descriptor_limit
from fileflux.storage import dump
from fileflux.storage import settings as stored
from fileflux.storage.migrate import find_folder, load
from fileflux.storage.pool import Database, Transaction
from fileflux.web import own_ca
from fileflux.web.certificates import WARN_BEFORE, load_pair
from fileflux.workers.pool import WorkerPool
from flux_agent.doctor_report import Check, Report

CONFIGURATION: Final = 2
TEMPORARY: Final = 5
DATABASE_WAIT_S: Final = 5.0
HUB_CONNECTIONS: Final = 9
"""The pool of the hub's server process and one for the checks of /readyz."""
CLOCK_WARN_S: Final = 2.0
CLOCK_FAIL_S: Final = 60.0
BACKUP_WARN: Final = timedelta(days=7)
BASE_DESCRIPTORS: Final = 512
"""What a hub without agents has open, with room for the API's connections."""
PER_AGENT: Final = 2
"""Its link, and one more while a new one takes over."""
READY_WAIT_S: Final = 5.0


def examine(load_settings: Callable[[], ServeSettings]) -> Report:
    """Every layer, each looked at also when one before it fails, unless it needs that one."""
    try:
        settings = load_settings()
    except ConfigError as error:
        return Report([Check("configuration", "fail", str(error), exit_code=CONFIGURATION)])
    checks = [_configuration(settings), _data_folder(settings)]
    running, check = _hub(settings)
    checks += [check, _port(settings, running=running), *_database(settings, running=running), _tls(settings)]
    return Report([*checks, _workers(settings)])


def _configuration(settings: ServeSettings) -> Check:
    database = "external database" if settings.database_url else "embedded database"
    tls = "TLS by a CA of its own" if settings.tls_auto else "TLS" if settings.tls_files else "plain HTTP"
    return Check("configuration", "ok", f"{settings.host} port {settings.port}, {tls}, {database}")


def _data_folder(settings: ServeSettings) -> Check:
    folder, name = settings.data_dir, "data folder"
    if not folder.exists():
        above = next(parent for parent in folder.parents if parent.exists())
        if os.access(above, os.W_OK | os.X_OK):
            return Check(name, "ok", f"{folder} will be made at the first start")
        return Check(name, "fail", f"{above} is closed to this user", "choose another --data-dir", CONFIGURATION)
    try:
        found = folder.stat()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name, "fail", f"{folder}: {error.strerror}", "choose another --data-dir", CONFIGURATION)
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        advice = "run this as the hub's user, or choose another --data-dir"
        return Check(name, "fail", f"{folder} is no folder that this user can write to", advice, CONFIGURATION)
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        return Check(name, "warn", f"{folder} belongs to another user (uid {found.st_uid})", "run the hub as its owner")
    size = f"{free / 2**30:.1f} GiB free"
    if free < settings.limits.data_free_min:
        return Check(
            name, "fail", f"{folder}, {size}", "make room: the database stops when the disk is full", TEMPORARY
        )
    if found.st_mode & 0o077:
        return Check(name, "warn", f"{folder} is open to other users", f"chmod 700 {folder}")
    return Check(name, "ok", f"{folder}, {size}")


def _hub(settings: ServeSettings) -> tuple[bool, Check]:
    """Whether a hub runs in this data folder."""
    if not (settings.data_dir / "lock").exists():
        return False, Check("hub", "ok", "no hub has run here yet")
    try:
        descriptor = try_lock(settings.data_dir)
    except (OSError, ConfigError) as error:
        return False, Check(
            "hub", "fail", f"cannot look at its lock: {error}", "run this as the hub's user", CONFIGURATION
        )
    if descriptor is not None:
        os.close(descriptor)
        return False, Check("hub", "ok", "not running")
    return True, _ready(settings)


def _ready(settings: ServeSettings) -> Check:
    """What the hub that runs says of itself."""
    import requests

    host = "127.0.0.1" if settings.host in WILDCARDS else settings.host
    scheme = "https" if settings.tls_auto or settings.tls_files else "http"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}/readyz"
    try:
        with requests.Session() as session:
            # To this machine, nothing secret is sent, and the certificate has a check of its own.
            session.trust_env, session.verify = False, False
            answer = session.get(url, timeout=READY_WAIT_S, allow_redirects=False)
            said = answer.json()
            failed = [name for name, state in said["checks"].items() if state != "ok"]
    except (requests.RequestException, ValueError, KeyError, AttributeError):
        return Check(
            "hub", "warn", f"runs, but does not answer at {url}", "is it started with another --host, --port or --tls?"
        )
    if answer.status_code == 200:
        return Check("hub", "ok", "runs and is ready")
    what = ", ".join(failed) or str(said.get("status", "unknown"))
    return Check("hub", "fail", f"runs and is not ready: {what}", "see the checks below and its log", TEMPORARY)


def _port(settings: ServeSettings, *, running: bool) -> Check:
    if running:
        return Check("port", "skipped", "the hub has it")
    if settings.port == 0:
        return Check("port", "ok", "any free one")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        advice = (
            "stop the other program, or choose another --port"
            if error.errno == errno.EADDRINUSE
            else "correct --host or --port"
        )
        return Check(
            "port",
            "fail",
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}",
            advice,
            CONFIGURATION,
        )
    return Check("port", "ok", f"{settings.port} is free")


def _database(settings: ServeSettings, *, running: bool) -> list[Check]:
    """The database, and what only it knows: the clock, how many agents there are, when the last backup was made."""
    names = ("schema", "connections", "clock", "open files", "backup")
    place = Place(settings.data_dir, settings.database_url, settings.limits)
    if settings.database_url is None and not (settings.data_dir / "postgres").exists():
        fresh = Check("database", "ok", "the embedded PostgreSQL is set up at the first start")
        return [
            fresh,
            _descriptors(0),
            *(Check(name, "skipped", "there is no database yet") for name in names if name != "open files"),
        ]
    with ExitStack() as stack:
        try:
            database = Database(stack.enter_context(running_database(place)), settings.limits, size=1)
            stack.callback(database.close)
            database.wait_until_ready(DATABASE_WAIT_S)
            with database.transaction() as tx:
                return [*_ask(tx, running=running), _backup_age(tx)]
        except FluxError as error:
            code = CONFIGURATION if isinstance(error, ConfigError) else TEMPORARY
            advice = "" if isinstance(error, ConfigError) else "is it running, and does it have free connections?"
            failed = Check("database", "fail", error.message, advice, code)
            return [failed, *(Check(name, "skipped", "the database is not there") for name in names)]


def _ask(tx: Transaction, *, running: bool) -> list[Check]:
    row = tx.one(
        "SELECT current_setting('server_version'), current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int, (SELECT count(*)::int FROM pg_stat_activity"
        " WHERE backend_type = 'client backend'), extract(epoch FROM clock_timestamp())::float8"
    )
    here = time.time()
    assert row is not None  # noqa: S101  # for the type checker: such a SELECT has one row
    version, places, used, there = row
    schema = dump.schema_number(tx)
    agents = tx.one("SELECT count(*)::int FROM agents WHERE status <> 'revoked'") if schema else (0,)
    return [
        Check("database", "ok", f"PostgreSQL {version}"),
        _schema(schema),
        _connections(places, used, running=running),
        _clock(abs(there - here)),
        _descriptors(0 if agents is None else agents[0]),
    ]


def _schema(number: int) -> Check:
    newest = len(load(find_folder()))
    if number > newest:
        found = f"migration {number}, of a newer fileflux (here: {newest})"
        return Check("schema", "fail", found, "upgrade fileflux", CONFIGURATION)
    if number < newest:
        return Check("schema", "ok", f"migration {number}; the hub brings it to {newest} when it starts")
    return Check("schema", "ok", f"migration {number}, current")


def _connections(places: int, used: int, *, running: bool) -> Check:
    free = places - used + 1
    needed = 0 if running else HUB_CONNECTIONS
    found = f"{used} of {places} in use"
    if free < needed:
        return Check("connections", "fail", found, f"the hub needs {needed}: raise max_connections", TEMPORARY)
    return Check("connections", "ok", found)


def _clock(apart: float) -> Check:
    found = f"{apart:.1f} s from the database's"
    if apart >= CLOCK_FAIL_S:
        return Check("clock", "fail", found, "set both clocks, best by NTP: tokens and leases go by them", TEMPORARY)
    if apart >= CLOCK_WARN_S:
        return Check("clock", "warn", found, "set both clocks, best by NTP")
    return Check("clock", "ok", found)


def _descriptors(agents: int) -> Check:
    hard = descriptor_limit()
    needed = BASE_DESCRIPTORS + PER_AGENT * agents
    found = "no limit" if hard is None else f"{hard} allowed, {needed} for {agents} agents"
    if hard is not None and hard < needed:
        return Check(
            "open files", "fail", found, "raise it: LimitNOFILE= in the systemd unit, or ulimit -Hn", CONFIGURATION
        )
    return Check("open files", "ok", found)


def _backup_age(tx: Transaction) -> Check:
    made = stored.get(tx, LAST_BACKUP) if dump.schema_number(tx) else None
    advice = "fileflux backup FILE"
    if not isinstance(made, str):
        return Check("backup", "warn", "none was ever made by `fileflux backup`", advice)
    at = datetime.fromisoformat(made)
    found = f"the last was made on {at:%Y-%m-%d %H:%M} UTC"
    return (
        Check("backup", "warn", found, advice) if datetime.now(UTC) - at > BACKUP_WARN else Check("backup", "ok", found)
    )


def _tls(settings: ServeSettings) -> Check:
    now = datetime.now(UTC)
    if settings.tls_auto:
        ca = settings.data_dir / "tls" / own_ca.CA_CERTIFICATE
        if not ca.exists():
            return Check("tls", "ok", "the hub's own CA is made at the first start")
        try:
            ends = x509.load_pem_x509_certificate(ca.read_bytes()).not_valid_after_utc
            server = ca.parent / own_ca.SERVER
            pair = load_pair(server, server, now) if server.exists() else None
        except (OSError, ValueError, ConfigError) as error:
            return Check("tls", "fail", f"{ca.parent}: {error}", "bring tls/ back from a backup", CONFIGURATION)
        if ends <= now + WARN_BEFORE:
            return Check("tls", "warn", f"the hub's own CA ends on {ends:%Y-%m-%d}", "see docs/operations.md, TLS")
        return Check("tls", "ok", f"own CA until {ends:%Y-%m-%d}" + ("" if pair is None else f", {_names(server)}"))
    if settings.tls_files is None:
        return Check("tls", "skipped", "plain HTTP")
    try:
        pair = load_pair(*settings.tls_files, now)
    except ConfigError as error:
        return Check("tls", "fail", error.message, exit_code=CONFIGURATION)
    if pair.ends <= now:
        return Check("tls", "fail", pair.warnings[0], "get a new one", CONFIGURATION)
    found = f"{_names(settings.tls_files[0])}, until {pair.ends:%Y-%m-%d}"
    return Check("tls", "warn", pair.warnings[0], "get a new one") if pair.warnings else Check("tls", "ok", found)


def _names(certificate: Path) -> str:
    leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "for no name (clients will refuse it)"
    names = [*held.get_values_for_type(x509.DNSName), *map(str, held.get_values_for_type(x509.IPAddress))]
    return f"for {', '.join(names)}"


def _workers(settings: ServeSettings) -> Check:
    pool = WorkerPool(1, "fileflux.workers.tasks:hub_tasks", limits=settings.limits, name="doctor")
    try:
        pool.start()
        pool.run("doctor", "hash_password", {"password": "doctor"}, timeout=30)
    except FluxError as error:
        return Check("workers", "fail", error.message, "is there memory, and may this user start processes?", TEMPORARY)
    finally:
        pool.stop()
    return Check("workers", "ok", "a worker process starts and works")
