"""One gunicorn arbiter with one gevent worker: the arbiter owns the embedded PostgreSQL, the worker is the hub's server process.

The arbiter stays free of gevent and of everything that could crash it. The worker patches itself first thing after the fork; only then
is the application loaded. ``timeout`` is 0, since liveness of agents is the protocol's own.
"""

from __future__ import annotations

import os
import signal
import ssl
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gevent.pool import Pool
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.workers.ggevent import GeventWorker

from fileflux.actors.kernel.tls import TlsSocket
from fileflux.clock import SystemClock
from fileflux.errors import FluxError
from fileflux.log import say
from fileflux.protocol.limits import Limits
from fileflux.web import http_rules
from fileflux.web.deadlines import Pending, Place, TimedSocket

if TYPE_CHECKING:
    from fileflux.actors.kernel.runtime import Event
    from fileflux.web.tls import HubTls

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]

HANG_UP: Any = getattr(signal, "SIGHUP", None)
"""Windows has no such signal, and no hub."""
DRAIN_LOOK = 0.05
"""Seconds between two looks whether the last request has ended."""
CONNECTIONS_MAX = 20_000
"""Requests and waiting polls at once; agents on WebSocket do not count, they leave the HTTP server after the upgrade."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the composition root does in each process.

    ``load`` runs in the server process after the fork and returns the WSGI application; ``unload`` when that process stops;
    ``stopping`` there, when it was told to stop and still answers; ``refused(address, code)`` there, for each connection that was refused before the application saw a request;
    ``every_second`` and ``at_exit`` run in the arbiter's main thread. ``tls`` None: plain HTTP.
    """

    load: Callable[[], Application]
    ready: Callable[[], None]
    refused: Callable[[str, str], None]
    stopping: Callable[[], None]
    unload: Callable[[], None]
    every_second: Callable[[], None]
    at_exit: Callable[[], None]
    tls: HubTls | None = None
    drain_share: float = 1.0
    """Which part of ``stop_timeout`` requests get to finish."""


class HubLogger(GunicornLogger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines go where all others go, in the same form."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True


@dataclass(frozen=True, slots=True)
class _Port:
    """What requests need to know of the listening socket, also of those that came just before it was closed."""

    address: Any

    def getsockname(self) -> Any:
        return self.address


class HubWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """The server process."""

    wsgi: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._limits: Limits = self.app.limits
        self._hooks: Hooks = self.app.hooks
        self._clock = SystemClock()
        self._pending = Pending(self._limits.pending_per_address)
        self._served: set[TimedSocket] = set()
        self._port = _Port(self.sockets[0].getsockname())
        self._told: Event | None = None
        """Set when this process is told to stop."""

    def patch(self) -> None:
        from fileflux.actors.kernel import runtime

        runtime.patch()
        super().patch()

    def init_signals(self) -> None:
        super().init_signals()
        signal.signal(HANG_UP, lambda *_: self._reload())

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: no new connections, and an end to what would never end by itself."""
        from fileflux.actors.kernel import runtime

        super().handle_exit(sig, frame)
        runtime.spawn(self._begin_to_stop)

    def _begin_to_stop(self) -> None:
        self._hooks.stopping()
        if self._told is not None:
            self._told.set()

    def init_process(self) -> None:
        # The arbiter has stop_timeout for everything; what it kills afterwards is not stopped in order.
        self.cfg.set("graceful_timeout", max(1, int(self._limits.stop_timeout * self._hooks.drain_share)))
        super().init_process()

    def _reload(self) -> None:
        from fileflux.actors.kernel import runtime

        if self._hooks.tls is not None:
            runtime.spawn(self._hooks.tls.reload)

    def run(self) -> None:
        """Accept connections until told to stop, then let requests finish. gunicorn's own looks once a second only: two for every stop."""
        from fileflux.actors.kernel import runtime
        from fileflux.web.listener import Listener

        listener = self.sockets[0]
        listener.setblocking(True)
        self._told = runtime.Event()
        requests = Pool(self.worker_connections)
        server = Listener(listener, handle=partial(self.handle, self._port), spawn=requests, clock=self._clock)
        server.start()
        while self.alive:
            self.notify()
            self._told.wait(1.0)
        server.close()
        deadline = self._clock.monotonic() + self.cfg.graceful_timeout
        while len(requests) and self._clock.monotonic() < deadline:
            self.notify()
            runtime.sleep(DRAIN_LOOK)
        if len(requests):
            self.log.warning("%d requests had not ended when the hub stopped", len(requests))
            requests.kill(timeout=1.0)

    def notify(self) -> None:
        """Once a second. Without its arbiter, and so without the embedded database, this process ends at once.

        An orderly stop would wait for a database that is gone, and the next hub would wait for port and data folder. Nothing is lost:
        a run goes on from what is stored, as after any other crash.
        """
        if os.getppid() != self.ppid:
            os._exit(1)
        super().notify()
        if not self.alive:
            # Kept-alive connections that ask for nothing would hold up the stop until the graceful time-out.
            for sock in [sock for sock in self._served if sock.idle]:
                sock.hang_up()

    def load_wsgi(self) -> None:
        """Routes that take a connection over get it itself, not what times it for gunicorn."""
        from fileflux.web.takeover import RESUME

        super().load_wsgi()
        application: Application = self.wsgi

        def with_connection(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            timed: TimedSocket = environ["gunicorn.socket"]
            environ["gunicorn.socket"] = timed.taken()
            # The connection's own address: a trusted proxy may tell of another peer with every request.
            address = (environ["REMOTE_ADDR"], environ.get("REMOTE_PORT", "0"))
            environ[RESUME] = lambda connection, _peer: self._resume(connection, address)
            return application(environ, start_response)

        self.wsgi = with_connection

    def _resume(self, connection: Any, addr: tuple[Any, ...]) -> None:
        """Serve a connection again that a route had taken over."""
        from fileflux.actors.kernel import runtime

        sock = self._timed(connection)
        sock.answered()
        runtime.spawn(self._serve, sock, addr)

    def _serve(self, sock: TimedSocket, addr: tuple[Any, ...]) -> None:
        self._served.add(sock)
        try:
            super().handle(self._port, sock, addr)
        finally:
            self._served.discard(sock)

    def timeout_ctx(self) -> AbstractContextManager[None]:
        """The socket has its own time-outs."""
        return nullcontext()

    def handle(self, _listener: Any, client: Any, addr: tuple[Any, ...]) -> None:
        """A new connection, from its first byte to its last."""
        place = self._pending.enter(addr[0])
        if place is None:
            client.close()
            self._hooks.refused(addr[0], "too_many_pending")
            return
        tls = self._hooks.tls
        try:
            connection = client if tls is None else tls.accept(client, addr[0])
            if connection is not None:
                self._serve(self._timed(connection, place), addr)
        finally:
            place.give_back()

    def _timed(self, connection: Any, place: Place | None = None) -> TimedSocket:
        from fileflux.actors.kernel import runtime

        return TimedSocket(connection, self._limits, self._clock, runtime.yield_loop, place)

    def handle_request(self, listener_name: Any, req: Any, sock: TimedSocket, addr: tuple[Any, ...]) -> None:
        """One request. Raises StopIteration when no other may follow on this connection."""
        sock.head_ended()
        if isinstance(sock.connection, TlsSocket):
            req.scheme = "https"
        http_rules.check_head(req)
        req.body.reader = body = http_rules.BodyReader(req)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except StopIteration:
            if body.unfinished:
                sock.linger()
            raise
        if not body.finish():
            sock.linger()
            raise StopIteration
        sock.answered()

    def handle_error(self, _req: Any, client: TimedSocket, addr: tuple[Any, ...], exc: BaseException) -> None:
        """Answer what is no request; the connection closes behind it."""
        if isinstance(exc, ssl.SSLError):
            return
        refusal = http_rules.refusal_of(exc)
        if refusal is None:
            self.log.error("a request failed outside of its route", exc_info=exc)
        with suppress(OSError):
            client.sendall((refusal or http_rules.INTERNAL).answer())
        if refusal is not None:
            self._hooks.refused(addr[0], refusal.code)
        client.linger()


class HubArbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """Restarts the server process, and looks after the database once a second."""

    def __init__(self, app: Any, every_second: Callable[[], None]) -> None:
        self._every_second = every_second
        super().__init__(app)

    def manage_workers(self) -> None:
        self._every_second()
        super().manage_workers()

    def handle_hup(self) -> None:
        """The server process takes new certificates; nothing is restarted."""
        self.kill_workers(HANG_UP)


class HubApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's settings for the hub, without its configuration files and command line."""

    def __init__(self, listen_fd: int, hooks: Hooks, limits: Limits) -> None:
        self._listen_fd = listen_fd
        self.hooks = hooks
        self.limits = limits
        super().__init__()

    def load_config(self) -> None:
        hooks, limits = self.hooks, self.limits
        settings = {
            **http_rules.SETTINGS,
            "bind": f"fd://{self._listen_fd}",
            "workers": 1,
            "worker_class": HubWorker,
            "worker_connections": CONNECTIONS_MAX,
            "timeout": 0,
            "graceful_timeout": int(limits.stop_timeout),
            # Not 0: its time is the socket's own.
            "keepalive": 1,
            "loglevel": "warning",
            "logger_class": HubLogger,
            "proc_name": "fileflux",
            "control_socket_disable": True,
            "post_worker_init": lambda _worker: hooks.ready(),
            "worker_exit": lambda _arbiter, _worker: hooks.unload(),
            "on_exit": lambda _arbiter: hooks.at_exit(),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Application:
        try:
            return self.hooks.load()
        except FluxError as error:
            say(error.message)
            # gunicorn's own code for "failed to boot": the arbiter stops instead of trying for ever.
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def run(self) -> None:
        HubArbiter(self, self.hooks.every_second).run()
