"""Opens a WebSocket to the hub."""

from __future__ import annotations

from typing import Final

from fileflux.actors.kernel.pump import Pump
from fileflux.actors.kernel.sockets import plain_socket, take_unread
from fileflux.clock import Clock
from fileflux.errors import UnavailableError
from fileflux.protocol.limits import Limits
from fileflux.protocol.websocket import WebSocketLink, client_handshake
from flux_agent.transports.network import Network

PATH: Final = "/ws/agent"


class WebSocketDialer:
    """Makes one link per call of ``dial``."""

    def __init__(self, network: Network, pump: Pump, limits: Limits, clock: Clock, path: str = PATH) -> None:
        self._network = network
        self._pump = pump
        self._limits = limits
        self._clock = clock
        self._url = network.hub.url + path

    def dial(self) -> WebSocketLink:
        """Connect and upgrade, within ``handshake_timeout`` each.

        Raises UnavailableError when the hub cannot be reached (a ReachError, with the layer), AuthError when it refuses the token or is not
        the hub of the token, UpgradeRefusedError for other answers.
        """
        network, limits = self._network, self._limits
        connection = network.connect(limits.handshake_timeout)
        try:
            pending = client_handshake(connection, self._url, network.authorization, limits)
            stream = plain_socket(connection)
            pending += take_unread(stream)
        except OSError as error:
            raise UnavailableError(f"the hub at {network.hub.url} does not answer: {error.strerror or error}") from None
        finally:
            connection.close()
        return WebSocketLink(stream, "client", self._pump, limits, self._clock, peer=network.peer, pending=pending)
