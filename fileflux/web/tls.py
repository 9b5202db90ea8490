"""TLS at the hub's port: the handshake of each new connection, and new certificates without a restart."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from gunicorn import util

from fileflux.actors.kernel.tls import TlsError, TlsFailure, TlsSocket, server_handshake
from fileflux.clock import Clock
from fileflux.errors import ConfigError
from fileflux.protocol.limits import Limits
from fileflux.web import own_ca
from fileflux.web.certificates import Pair, load_pair

log = structlog.get_logger("fileflux.tls")

_TEXT: Final = b"This port speaks https: write https:// in the address.\n"
PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TEXT), _TEXT)
)
LINGER_S: Final = 1.0
"""How long a client that spoke plain HTTP may take to read why it is sent away."""
_OFTEN: Final = frozenset({TlsFailure.NOT_TLS, TlsFailure.CLOSED, TlsFailure.TIMEOUT, TlsFailure.PLAIN_HTTP})
"""What scanners and health checks do all day; the rest tells of a client that somebody set up."""
LOOK_AGAIN: Final = timedelta(days=1)


class HubTls:
    """Made before the fork, so that a certificate that cannot be used ends the start; the server process uses and reloads it.

    ``files`` gives certificate and key; it may renew them, and raises ConfigError. ``renew_before``: how long before the certificate's end
    ``files`` is asked again without being told. ``ca_pem``: the hub's own CA, for those who ask.
    """

    def __init__(
        self,
        files: Callable[[], tuple[Path, Path]],
        limits: Limits,
        clock: Clock,
        renew_before: timedelta | None = None,
        ca_pem: bytes | None = None,
    ) -> None:
        self._files = files
        self._limits = limits
        self._clock = clock
        self._renew_before = renew_before
        self.ca_pem = ca_pem
        self._pair = self._load()
        self._looked = clock.utc_now()

    @classmethod
    def auto(cls, folder: Path, names: Callable[[], Sequence[str]], limits: Limits, clock: Clock) -> HubTls:
        """A certificate for ``names()`` by the CA in ``folder``; both are made when missing, the certificate also before it ends."""

        def files() -> tuple[Path, Path]:
            server = own_ca.ensure(folder, names(), clock.utc_now())
            return server, server

        files()
        ca_pem = (folder / own_ca.CA_CERTIFICATE).read_bytes()
        return cls(files, limits, clock, own_ca.RENEW_BEFORE, ca_pem)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the present certificate, in lines for a person."""
        return self._pair.warnings

    @property
    def context(self) -> ssl.SSLContext:
        return self._pair.context

    def reload(self) -> None:
        """Use what the files hold now for new connections; old ones live on. Never fails: a bad pair is logged and the old one stays."""
        if self._take() is False:
            log.info("the TLS certificate is the same as before")

    def catch_up(self) -> None:
        """As ``reload``, silent when nothing is new: for a server process that starts long after the arbiter."""
        self._take()

    def _take(self) -> bool | None:
        """Whether there is something new; None when it cannot be used."""
        self._looked = self._clock.utc_now()
        try:
            pair = self._load()
        except ConfigError as error:
            log.error("the new TLS certificate is not used, the old one stays", reason=error.message)  # noqa: TRY400  # one line
            return None
        if pair.fingerprint == self._pair.fingerprint:
            return False
        self._pair = pair
        log.info("new connections use the new TLS certificate", ends=pair.ends.isoformat())
        for warning in pair.warnings:
            log.warning(warning)
        return True

    def accept(self, client: Any, peer: str) -> TlsSocket | None:
        """Speak TLS on a new connection within the deadline; None when there is nothing more to do with it, and it is closed."""
        self._renew(self._clock.utc_now())
        try:
            return server_handshake(client, self.context, self._limits.handshake_timeout)
        except TlsError as error:
            (log.debug if error.failure in _OFTEN else log.info)("no TLS", peer=peer, reason=error.strerror)
            if error.failure is TlsFailure.PLAIN_HTTP:
                _say_https(client)
        except OSError as error:
            log.debug("no TLS", peer=peer, reason=error.strerror)
        util.close(client)
        return None

    def _load(self) -> Pair:
        return load_pair(*self._files(), self._clock.utc_now())

    def _renew(self, now: datetime) -> None:
        if self._renew_before is None or now < self._pair.ends - self._renew_before or now < self._looked + LOOK_AGAIN:
            return
        self.catch_up()


def _say_https(client: Any) -> None:
    try:
        client.settimeout(LINGER_S)
        client.sendall(PLAIN_ANSWER)
    except OSError:
        return
    util.close_graceful(client, timeout=LINGER_S)
