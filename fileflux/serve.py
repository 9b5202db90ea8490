"""The composition root of the hub: what runs in which process, and who is given what.

Two processes of ours. The arbiter binds the port, holds the data folder's lock and runs the embedded PostgreSQL; the server process, its
child, loads everything else after the fork (``web/server.py``).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fileflux import file_lock
from fileflux.errors import ConfigError
from fileflux.log import configure, say
from fileflux.metrics import Metrics
from fileflux.protocol.limits import DEFAULT_LIMITS, MAX_CHUNK_SIZE, MIB, Limits

if TYPE_CHECKING:
    from fileflux.storage.embedded import EmbeddedPostgres
    from fileflux.web.forwarded import Network
    from fileflux.web.tls import HubTls

WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound
DRAIN_SHARE = 2 / 3
"""Of ``stop_timeout``: so long requests may take to finish; the rest is for the actors and the workers."""
TAKEOVER_WAIT = 10.0
"""After ``kill -9`` of the arbiter its server process lives on for 2 to 3 s and holds port and data folder."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What ``fileflux serve`` was told. ``database_url`` None: the embedded PostgreSQL below ``data_dir``."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8040
    database_url: str | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 2)
    limits: Limits = DEFAULT_LIMITS
    admin_email: str | None = None
    admin_password: str | None = None
    tls_files: tuple[Path, Path] | None = None
    """Certificate and key."""
    tls_auto: bool = False
    """A certificate of the hub's own CA, below ``data_dir``, for this machine's names and ``tls_names``."""
    tls_names: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    """Networks whose forwarding headers are believed."""
    log_format: str = "console"
    log_level: str = "info"


def serve(settings: ServeSettings) -> None:
    """Run the hub until it is told to stop; does not return. Raises ConfigError when it cannot start here."""
    from fileflux.web.server import Hooks, HubApplication

    configure(style=settings.log_format, level=settings.log_level)
    _raise_descriptor_limit()
    check_admin_password(settings)
    lock = lock_data_dir(settings.data_dir)
    tls = _open_tls(settings)
    listener = bind(settings.host, settings.port)
    if tls is None and not settings.trusted_proxies:
        _warn_of_plain_http(settings.host, listener)
    postgres = _start_postgres(settings)
    url = settings.database_url or (postgres.url if postgres else "")
    address = listener.getsockname()
    scheme = "http" if tls is None else "https"
    hub = _Hub(settings, url, f"{scheme}://{_host_for_url(settings.host)}:{address[1]}", tls)
    hooks = Hooks(
        load=hub.load,
        ready=hub.ready,
        refused=hub.refused,
        stopping=hub.stopping,
        unload=hub.unload,
        every_second=lambda: _look_after(postgres),
        at_exit=lambda: postgres.stop() if postgres else None,
        tls=tls,
        drain_share=DRAIN_SHARE,
    )
    try:
        HubApplication(listener.detach(), hooks, settings.limits).run()
    finally:
        os.close(lock)


def _raise_descriptor_limit() -> None:
    """A shell's usual soft limit of 1024 is there for programs that use select(); none of ours does, and each agent needs one or two."""
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # macOS refuses what it calls unlimited.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptor_limit() -> int | None:
    """How many files a hub may have open, as which agents' links count; None: any number."""
    if sys.platform != "win32":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return None if hard == resource.RLIM_INFINITY else hard
    else:
        return None


def check_admin_password(settings: ServeSettings) -> None:
    """Raises ConfigError for one that everybody would try; also when the first admin is there already: it may well be the one in use."""
    if settings.admin_password is None:
        return
    from fileflux.web.password_rules import fault_of

    fault = fault_of(settings.admin_password, settings.admin_email or "")
    if fault is not None:
        raise ConfigError(
            f"the configured admin_password (FILEFLUX_ADMIN_PASSWORD) cannot be used: {fault} Choose another, or leave it out for a random one"
        )


def lock_data_dir(data_dir: Path) -> int:
    """Make the folder (0700) and take its lock; the descriptor holds it until every process that inherited it has ended."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot use the data folder {data_dir} ({error.strerror}): choose another with --data-dir"
        ) from error
    deadline = time.monotonic() + TAKEOVER_WAIT
    while True:
        if file_lock.take(descriptor):
            return descriptor
        if time.monotonic() >= deadline:
            os.close(descriptor)
            raise ConfigError(
                f"another hub uses the data folder {data_dir}: stop it, or choose another with --data-dir"
            )
        time.sleep(0.1)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError when the port stays taken or the host is not one of this machine."""
    if not 0 <= port <= 65_535:
        raise ConfigError(f"--port must be 0 to 65535, not {port}")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(f"cannot listen on {host!r}: {error.strerror}; choose another with --host") from error
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + TAKEOVER_WAIT
    while True:
        try:
            listener.bind(address)
            listener.listen(2048)
            return listener
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            listener.close()
            hint = (
                "choose another with --port"
                if error.errno == errno.EADDRINUSE
                else "choose another with --host or --port"
            )
            raise ConfigError(f"cannot listen on {host} port {port} ({error.strerror}): {hint}") from error


def _open_tls(settings: ServeSettings) -> HubTls | None:
    """Raises ConfigError for a certificate that cannot be used."""
    files = settings.tls_files
    if not settings.tls_auto and files is None:
        return None
    from fileflux.clock import SystemClock
    from fileflux.web.tls import HubTls

    clock = SystemClock()
    if files is not None:
        tls = HubTls(lambda: files, settings.limits, clock)
    else:
        folder = settings.data_dir / "tls"
        tls = HubTls.auto(folder, lambda: _own_names(settings), settings.limits, clock)
        say(f"TLS by this hub's own CA: {folder / 'ca.pem'}, also at /ca.pem")
    for warning in tls.warnings:
        say(f"warning: {warning}")
    return tls


def _own_names(settings: ServeSettings) -> list[str]:
    """What clients may call this hub."""
    from fileflux.web.own_ca import check_name

    names = ["localhost", "127.0.0.1", "::1"]
    # A system may be called what no certificate can hold.
    with suppress(ConfigError):
        names.append(check_name(socket.gethostname()))
    if settings.host not in WILDCARDS:
        names.append(settings.host)
    return [*names, *settings.tls_names]


def _warn_of_plain_http(host: str, listener: socket.socket) -> None:
    if not ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback:
        say(
            f"WARNING: {host or 'every address'} is open to the network without TLS: passwords, tokens and files can be read on their way."
            " Use --tls auto, or --tls-cert and --tls-key, or --trusted-proxy with a TLS proxy in front"
        )


def _start_postgres(settings: ServeSettings) -> EmbeddedPostgres | None:
    if settings.database_url:
        return None
    from fileflux.storage.embedded import EmbeddedPostgres

    postgres = EmbeddedPostgres(settings.data_dir)
    postgres.start()
    return postgres


def _look_after(postgres: EmbeddedPostgres | None) -> None:
    if postgres is not None:
        postgres.ensure_running()


def _host_for_url(host: str) -> str:
    if host in WILDCARDS:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


class _Hub:
    """What lives in the server process."""

    def __init__(self, settings: ServeSettings, database_url: str, url: str, tls: HubTls | None) -> None:
        self._settings = settings
        self._database_url = database_url
        self._url = url
        self._tls = tls
        self._tree: Any = None
        self._arena: Any = None
        self._database: Any = None
        self._refusals: Any = None
        self._feed: Any = None
        self._readiness: Any = None
        self._runs: Any = None
        self._metrics = Metrics()

    def load(self) -> Any:
        """Connect, migrate, start the actors, make the application."""
        from fileflux.actors.kernel.blocked import BlockedLoop
        from fileflux.actors.kernel.lag import LoopLag
        from fileflux.actors.kernel.memory import keep_freed_memory, settle
        from fileflux.actors.tree import start_tree
        from fileflux.clock import SystemClock
        from fileflux.first_run import ensure_admin
        from fileflux.hub_id import hub_id
        from fileflux.storage import pool
        from fileflux.storage import settings as stored
        from fileflux.storage.migrate import migrate
        from fileflux.web import (
            agent_check,
            agent_poll,
            agent_ws,
            context,
            install,
            live,
            live_metrics,
            live_notifications,
            openapi,
            ui,
        )
        from fileflux.web.app import create_app
        from fileflux.web.deps import Deps
        from fileflux.web.forwarded import Forwarded
        from fileflux.web.polling_links import PollingLinks
        from fileflux.web.readiness import Readiness
        from fileflux.workers.pool import WorkerPool
        from fileflux.workers.slots import Arena

        settings, clock = self._settings, SystemClock()
        keep_freed_memory()
        configure(style=settings.log_format, level=settings.log_level)
        if self._tls is not None:
            self._tls.catch_up()
        pool.green()
        database = self._database = pool.Database(self._database_url, settings.limits)
        database.wait_until_ready(30)
        migrate(database)
        # Room for the largest frame, so that `hub_check: all` holds for every chunk size; pages that are not used cost nothing.
        arena = self._arena = Arena(MAX_CHUNK_SIZE + 16 * MIB)
        workers = WorkerPool(
            settings.workers, "fileflux.web.worker_tasks:hub_tasks", arena=arena, limits=settings.limits, name="hub"
        )
        own = hub_id(settings.data_dir)
        tree = self._tree = start_tree(database, settings.limits, clock, workers, arena, self._metrics, own)
        lag = LoopLag(clock)
        tree.root.start_service("loop-lag", lag)
        tree.root.start_service("blocked-loop", BlockedLoop(clock))
        readiness = self._readiness = Readiness(
            self._database_url, settings.limits, clock, settings.data_dir, lambda: workers.statistics().alive > 0
        )
        live_metrics.gather(self._metrics, tree, database, readiness, lag)
        passwords = live.WorkerPasswords(workers)
        ensure_admin(database, passwords, settings.data_dir, settings.admin_email, settings.admin_password)
        with database.transaction() as tx:
            secret = stored.secret(tx, "jwt")
        hub_runs = self._runs = live.HubRuns(database, tree)
        agents = live.HubAgents(tree, clock)
        ca_pem = None if self._tls is None else self._tls.ca_pem
        deps = Deps(
            database,
            tree.bus,
            settings.limits,
            secret,
            clock,
            hub_runs,
            hub_runs,
            agents,
            passwords,
            ca_pem,
            self._metrics,
            readiness,
            work=workers,
            planning=live.HubPlans(tree),
            embedded_database=settings.database_url is None,
            notifications=live_notifications.HubNotifications(tree),
        )
        install.prepare()
        ui.files()
        app = create_app(deps)
        openapi.api_of(app).prepare()
        self._refusals = context.services_of(app).refusals
        self._feed = context.services_of(app).feed
        tree.root.start_service("feed", self._feed)
        app.extensions[agent_ws.EXTENSION] = agent_ws.Accepting(database, tree, settings.limits, clock)
        app.extensions[agent_poll.LINKS] = PollingLinks(tree.pump, settings.limits, clock)
        app.register_blueprint(agent_ws.blueprint)
        app.register_blueprint(agent_poll.blueprint)
        app.register_blueprint(agent_check.blueprint)
        settle()
        return Forwarded(app, settings.trusted_proxies)

    def ready(self) -> None:
        print(f"listening on {self._url}", flush=True)  # noqa: T201  # the line that scripts wait for

    def refused(self, address: str, code: str) -> None:
        """What came over a connection was no request; one address cannot fill the audit log with it."""
        self._metrics.connections_refused.inc()
        self._refusals.record(address, "anonymous", "http.refused", "", code)

    def stopping(self) -> None:
        """No new runs, and feeds end; requests and transfers go on until ``unload``."""
        if self._readiness is not None:
            self._readiness.stop()
        if self._runs is not None:
            self._runs.stop()
        if self._feed is not None:
            self._feed.end_listeners()

    def unload(self) -> None:
        """Stop actors, then workers; transfers go on with the next process."""
        if self._tree is not None:
            self._tree.stop(self._settings.limits.stop_timeout * (1 - DRAIN_SHARE))
            self._tree = None
        if self._readiness is not None:
            self._readiness.close()
        if self._arena is not None:
            self._arena.close()
        if self._database is not None:
            self._database.close()
        sys.stdout.flush()
