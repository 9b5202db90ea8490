"""The way from this agent to its hub, made once from the configuration: proxy, names, trust. Both transports go it.

    find (DNS) ► reach (TCP) ► tunnel (proxy) ► secure (TLS)

``connect`` walks all of it within one deadline. The steps are public for ``flux-agent doctor``, which shows them one by one.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import structlog

from fileflux.actors.kernel.liveness import watch_peer
from fileflux.actors.kernel.resolver import Address, Resolver
from fileflux.actors.kernel.tls import TlsError, TlsFailure, TlsSocket, client_context, client_handshake
from fileflux.clock import Clock
from fileflux.errors import ConfigError, FluxError
from fileflux.protocol.limits import Limits
from flux_agent.config import AgentConfig, is_loopback
from flux_agent.transports import addresses, pooled, proxies, stranger
from flux_agent.transports.certificate import Certificate, read
from flux_agent.transports.deadline import Deadline
from flux_agent.transports.proxies import Proxy
from flux_agent.transports.reach import PinMismatchError, ReachError
from flux_agent.transports.tls_words import Facts, explain
from flux_agent.transports.trust import CA_PATH, Trust, unverified

log = structlog.get_logger(__name__)

HubSocket = socket.socket | TlsSocket
"""Connected, in blocking style, with a time-out."""
_WITH_CERTIFICATE: Final = frozenset(
    {
        TlsFailure.UNKNOWN_CA,
        TlsFailure.NAME_MISMATCH,
        TlsFailure.EXPIRED,
        TlsFailure.NOT_YET_VALID,
        TlsFailure.CERTIFICATE,
    }
)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Where the hub is. ``scheme`` is ``http`` or ``https``."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"{self.scheme}://{self.authority}"


class Network:
    """Belongs to the thread of the loop. What it learns, the pinned CA, lives as long as the process."""

    def __init__(
        self,
        hub: HubAddress,
        token: str,
        proxy: Proxy | None,
        trust: Trust,
        limits: Limits,
        clock: Clock,
        resolver: Resolver | None = None,
    ) -> None:
        self.hub = hub
        self.proxy = proxy
        self.trust = trust
        self.authorization: Mapping[str, str] = {"Authorization": f"Bearer {token}"}
        self._limits = limits
        self._clock = clock
        self._resolver = resolver or Resolver()

    @classmethod
    def from_config(cls, config: AgentConfig, clock: Clock, resolver: Resolver | None = None) -> Network:
        """Raises ConfigError for a proxy or a CA file that cannot be used, or a proxy that would see the token."""
        parts = urlsplit(config.hub)
        hub = HubAddress(parts.scheme, parts.hostname or "", parts.port or 0)
        proxy = proxies.choose(hub.scheme, hub.host, hub.port, config.proxy, config.proxy_environment)
        if proxy is not None and hub.scheme == "http" and not config.insecure and not is_loopback(proxy.host):
            raise ConfigError(
                f"plain http through {proxy} (from {proxy.origin}) would show the token to the network: name {hub.host} in NO_PROXY,"
                " or write proxy: none, or use https://"
            )
        return cls(hub, config.token, proxy, Trust(config.ca_file, config.pin), config.limits, clock, resolver)

    @property
    def peer(self) -> str:
        """For logs."""
        return f"{self.hub.authority} via {self.proxy}" if self.proxy else self.hub.authority

    def connect(self, timeout: float) -> HubSocket:
        """A connection to the hub that it has proved to be its own, within ``timeout``; the caller closes it.

        Raises ReachError, or PinMismatchError. Nothing secret has been sent.
        """
        deadline = Deadline(self._clock, timeout)
        self.learn_ca(deadline)
        connection = self.secure(self.open(deadline), deadline)
        connection.settimeout(timeout)
        return connection

    def requests_session(self, size: int) -> requests.Session:
        """A session for the hub alone, with at most ``size`` idle connections, each made by ``connect``, and the agent's token.

        Raises ReachError and PinMismatchError in place of requests' own connection errors; what happens later on a connection is an error of
        requests. Follows no redirect, keeps no cookie and looks at no file or variable. Give ``timeout=(connect, read)`` with each request.
        """
        return pooled.make_session(
            self.hub.scheme, self.hub.host, self.hub.port, size, self.connect, self.authorization
        )

    # The steps. Each raises ReachError.

    def find(self, deadline: Deadline) -> list[Address]:
        """The addresses of the proxy, or else of the hub."""
        target = self.proxy or self.hub
        return addresses.find(
            self._resolver, target.host, target.port, "the proxy" if self.proxy else "the hub", deadline
        )

    def reach(self, found: Sequence[Address], deadline: Deadline) -> socket.socket:
        """A TCP connection to one of them."""
        what = f"the proxy at {self.proxy}" if self.proxy else f"the hub at {self.hub.url}"
        connection = addresses.connect_first(found, what, deadline, self._clock)
        watch_peer(connection, self._limits.silence_timeout)
        return connection

    def tunnel(self, connection: socket.socket, deadline: Deadline) -> HubSocket:
        """The same connection, behind the proxy if there is one. Takes ``connection`` over: it is closed on failure."""
        if self.proxy is None:
            return connection
        through: HubSocket = connection
        try:
            connection.settimeout(deadline.left())
            if self.proxy.scheme == "https":
                through = client_handshake(connection, self._proxy_context, self.proxy.host, deadline.left())
            proxies.open_tunnel(through, self.proxy, self.hub.host, self.hub.port, deadline)
        except BaseException as error:
            through.close()
            if isinstance(error, OSError):
                raise ReachError("proxy", f"no TLS with the proxy {self.proxy}: {error.strerror or error}") from None
            raise
        return through

    def learn_ca(self, deadline: Deadline) -> None:
        """Fetch the pinned CA if it is not here yet. Raises PinMismatchError for another one."""
        if self.hub.scheme != "https" or self.trust.context is not None:
            return
        try:
            answer = self._ask_stranger(CA_PATH, deadline)
            self.trust.accept(answer.status, answer.body)
        except PinMismatchError as error:
            log.error("hub_is_another", hub=self.hub.url, pin=self.trust.pin, error=str(error))  # noqa: TRY400  # no traceback
            raise
        except ValueError as error:
            raise ReachError("tls", f"what answers at {self.hub.url} is no hub: {error}; check its address") from None

    def secure(self, connection: HubSocket, deadline: Deadline) -> HubSocket:
        """TLS if the hub has it. Takes ``connection`` over: it is closed on failure. Call ``learn_ca`` before."""
        context = self.trust.context
        if self.hub.scheme != "https" or context is None:
            return connection
        try:
            return client_handshake(connection, context, self.hub.host, deadline.left())
        except OSError as error:
            connection.close()
            raise self._explained(_tls_error(error), deadline) from None
        except BaseException:
            # A request that is given up in the middle of this is ended by what is no Exception.
            connection.close()
            raise

    def open(self, deadline: Deadline) -> HubSocket:
        """A connection to whoever answers at the hub's address, before TLS."""
        return self.tunnel(self.reach(self.find(deadline), deadline), deadline)

    @cached_property
    def _proxy_context(self) -> ssl.SSLContext:
        return client_context(ca_file=self.trust.ca_file)

    def _ask_stranger(self, path: str, deadline: Deadline) -> stranger.Answer:
        """Raises ReachError for what fails on the way, ValueError for an answer that is none."""
        connection = self.open(deadline)
        try:
            connection = client_handshake(connection, unverified(), self.hub.host, deadline.left())
            return stranger.ask(connection, self.hub.authority, path, deadline)
        except OSError as error:
            raise explain(_tls_error(error), self._facts()) from None
        finally:
            connection.close()

    def _explained(self, error: TlsError, deadline: Deadline) -> FluxError:
        """What the certificate says itself, from a second look at it, if there is time for one."""
        if error.failure is TlsFailure.UNKNOWN_CA:
            self.trust.forget()
            try:
                self.learn_ca(deadline)
            except FluxError as newer:
                if isinstance(newer, PinMismatchError):
                    return newer
        certificate, hub_time = None, None
        if error.failure in _WITH_CERTIFICATE:
            try:
                answer = self._ask_stranger("/healthz", deadline)
                certificate, hub_time = read(answer.certificate or b""), answer.date
            except (FluxError, ValueError):
                log.debug("no_second_look", hub=self.hub.url)
        return explain(error, self._facts(certificate, hub_time))

    def _facts(self, certificate: Certificate | None = None, hub_time: Any = None) -> Facts:
        trust = self.trust
        pinned = trust.pin is not None
        return Facts(self.hub.url, self.hub.host, self._clock.utc_now(), trust.ca_file, pinned, certificate, hub_time)


def _tls_error(error: OSError) -> TlsError:
    if isinstance(error, TlsError):
        return error
    if isinstance(error, TimeoutError):
        return TlsError(TlsFailure.TIMEOUT, str(error) or "no answer in time")
    return TlsError(TlsFailure.CLOSED, error.strerror or str(error))
