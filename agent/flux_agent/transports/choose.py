"""The dialer for what the configuration says of transports."""

from __future__ import annotations

from dataclasses import replace

from fileflux.actors.kernel.pump import Pump
from fileflux.clock import Clock
from fileflux.protocol.limits import Limits
from flux_agent.config import TransportMode
from flux_agent.dialing import Dialer
from flux_agent.transports.auto import UPGRADE_SHARE, AutoDialer, SingleDialer
from flux_agent.transports.network import Network
from flux_agent.transports.polling import PollingDialer
from flux_agent.transports.websocket import WebSocketDialer


def make_dialer(mode: TransportMode, network: Network, pump: Pump, name: str, limits: Limits, clock: Clock) -> Dialer:
    """``name`` is the agent's, for the hub's log."""
    polling = PollingDialer(network, limits, clock, pump.call_soon)
    match mode:
        case "polling":
            return SingleDialer(polling)
        case "websocket":
            return SingleDialer(WebSocketDialer(network, pump, limits, clock))
        case "auto":
            quick = replace(limits, handshake_timeout=limits.handshake_timeout * UPGRADE_SHARE)
            return AutoDialer(WebSocketDialer(network, pump, quick, clock), polling, name, limits, clock)
