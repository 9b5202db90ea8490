"""The listening socket of the server process: what is accepted, and what happens when nothing more can be."""

from __future__ import annotations

import errno
from typing import Any, Final

import structlog
from gevent.server import StreamServer

from fileflux.actors.kernel import runtime
from fileflux.clock import Clock

PAUSE_S: Final = 0.5
"""Connections wait in the kernel's queue meanwhile."""
TELL_S: Final = 60.0
NOTHING_LEFT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = structlog.get_logger(__name__)


class Listener(StreamServer):
    """gevent's server; where descriptors or memory have run out it waits, and says so in one line a minute instead of a traceback for each try."""

    def __init__(self, *args: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock
        self._tell_at = clock.monotonic()

    def do_read(self) -> Any:
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in NOTHING_LEFT:
                raise
            self._pause(error)
            return None

    def _pause(self, error: OSError) -> None:
        now = self._clock.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_S
            log.error(
                "no_new_connections",
                error=error.strerror,
                help="what is connected goes on; raise the limit of open files (ulimit -n, LimitNOFILE=) above two for each agent",
            )
        self.stop_accepting()
        runtime.spawn_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if not self.closed:
            self.start_accepting()
