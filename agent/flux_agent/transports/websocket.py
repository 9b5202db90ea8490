"""Opens a WebSocket to the hub."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from fileflux.actors.kernel.pump import Pump
from fileflux.actors.kernel.sockets import plain_socket
from fileflux.clock import Clock
from fileflux.errors import UnavailableError
from fileflux.protocol.limits import Limits
from fileflux.protocol.websocket import WebSocketLink, client_handshake


class WebSocketDialer:
    """Makes one link per call of ``dial``."""

    def __init__(self, hub: str, token: str, pump: Pump, limits: Limits, clock: Clock) -> None:
        """``hub`` is a checked base URL, ``http://host:port``."""
        self._hub = hub
        self._headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"}
        self._pump = pump
        self._limits = limits
        self._clock = clock

    def dial(self) -> WebSocketLink:
        """Connect and upgrade, within ``handshake_timeout`` each.

        Raises UnavailableError when the hub cannot be reached, AuthError when it refuses the token, UpgradeRefusedError for other answers.
        """
        parts = urlsplit(self._hub)
        address = (parts.hostname or "", parts.port or 80)
        try:
            connection = socket.create_connection(address, timeout=self._limits.handshake_timeout)
        except OSError as error:
            raise UnavailableError(f"cannot reach the hub at {self._hub}: {error.strerror or error}") from None
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                url = f"ws://{parts.netloc}/ws/agent"
                pending = client_handshake(connection, url, self._headers, self._limits)
                plain = plain_socket(connection)
            except OSError as error:
                raise UnavailableError(f"the hub at {self._hub} does not answer: {error.strerror or error}") from None
        return WebSocketLink(
            plain, "client", self._pump, self._limits, self._clock, peer=f"{address[0]}:{address[1]}", pending=pending
        )
