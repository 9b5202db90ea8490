"""One gunicorn arbiter with one gevent worker: the arbiter owns the embedded PostgreSQL, the worker is the hub's server process.

The arbiter stays free of gevent and of everything that could crash it. The worker patches itself first thing after the fork; only then
is the application loaded. ``timeout`` is 0, since liveness of agents is the protocol's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

from fileflux.errors import FluxError

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]

CONNECTIONS_MAX = 20_000
"""Requests and waiting polls at once; agents on WebSocket do not count, they leave the HTTP server after the upgrade."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the composition root does in each process.

    ``load`` runs in the server process after the fork and returns the WSGI application; ``unload`` when that process stops;
    ``every_second`` and ``at_exit`` run in the arbiter's main thread.
    """

    load: Callable[[], Application]
    ready: Callable[[], None]
    unload: Callable[[], None]
    every_second: Callable[[], None]
    at_exit: Callable[[], None]


class HubWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """The server process."""

    def patch(self) -> None:
        from fileflux.actors.kernel import runtime

        runtime.patch()
        super().patch()

    def notify(self) -> None:
        """Once a second. Without its arbiter, and so without the embedded database, this process ends at once.

        An orderly stop would wait for a database that is gone, and the next hub would wait for port and data folder. Nothing is lost:
        a run goes on from what is stored, as after any other crash.
        """
        if os.getppid() != self.ppid:
            os._exit(1)
        super().notify()


class HubArbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """Restarts the server process, and looks after the database once a second."""

    def __init__(self, app: Any, every_second: Callable[[], None]) -> None:
        self._every_second = every_second
        super().__init__(app)

    def manage_workers(self) -> None:
        self._every_second()
        super().manage_workers()


class HubApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's settings for the hub, without its configuration files and command line."""

    def __init__(self, listen_fd: int, hooks: Hooks, stop_timeout: float) -> None:
        self._listen_fd = listen_fd
        self._hooks = hooks
        self._stop_timeout = stop_timeout
        super().__init__()

    def load_config(self) -> None:
        hooks = self._hooks
        settings = {
            "bind": f"fd://{self._listen_fd}",
            "workers": 1,
            "worker_class": HubWorker,
            "worker_connections": CONNECTIONS_MAX,
            "timeout": 0,
            "graceful_timeout": int(self._stop_timeout),
            "keepalive": 75,
            "loglevel": "warning",
            "proc_name": "fileflux",
            "control_socket_disable": True,
            "limit_request_field_size": 8190,
            "limit_request_line": 8190,
            "post_worker_init": lambda _worker: hooks.ready(),
            "worker_exit": lambda _arbiter, _worker: hooks.unload(),
            "on_exit": lambda _arbiter: hooks.at_exit(),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Application:
        try:
            return self._hooks.load()
        except FluxError as error:
            print(f"fileflux: {error.message}", file=sys.stderr, flush=True)  # noqa: T201  # the one line a person sees
            # gunicorn's own code for "failed to boot": the arbiter stops instead of trying for ever.
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def run(self) -> None:
        HubArbiter(self, self._hooks.every_second).run()
