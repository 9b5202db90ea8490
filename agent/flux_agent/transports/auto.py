"""WebSocket where it works, long-polling where it does not, and a look every few minutes whether that has changed.

What stands between an agent and its hub can refuse the upgrade, swallow it, accept it and cut the connection, let texts through and no
binary messages, or cut what is idle for five seconds. All but the last show in one exchange before the link is used: a hello that only probes,
and 64 KiB that must come back. The last shows in links that die young; then the probes get rarer, so that an agent does not flap.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from fileflux.actors.kernel import runtime
from fileflux.clock import Clock
from fileflux.errors import FluxError, UnavailableError
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import KIB, PROTOCOL_VERSIONS, Limits
from fileflux.protocol.link import Buffer, Link
from fileflux.protocol.messages import Hello
from fileflux.protocol.upgrade import UpgradeRefusedError
from flux_agent.dialing import Dialled

log = structlog.get_logger(__name__)

PROBE_BYTES: Final = 64 * KIB
PROBE_GAP_MAX: Final = 12
"""How much rarer probes get at most: once an hour instead of every five minutes."""
UPGRADE_SHARE: Final = 0.4
ECHO_SHARE: Final = 0.3
"""Parts of ``handshake_timeout`` for the upgrade and for the echo; long-polling must take over before it is all gone."""
CLOSE_ABNORMAL: Final = 1006
CLOSE_NORMAL: Final = 1000
SHARED_LAYERS: Final = frozenset({"dns", "tcp", "proxy", "tls", "clock"})
"""Failures below HTTP: long-polling would meet them as well."""


class OneDialer(Protocol):
    """Opens links of one transport."""

    def dial(self) -> Link: ...


class SingleDialer:
    """Implements ``dialing.Dialer`` with one transport, as configured."""

    def __init__(self, dialer: OneDialer) -> None:
        self._dialer = dialer

    def dial(self) -> Dialled:
        return Dialled(self._dialer.dial())

    def ended(self, link: Link, code: int, lived: float | None) -> None:
        """Nothing follows from it."""

    def better_due(self, now: float) -> bool:
        del now
        return False

    def dial_better(self) -> Dialled | None:
        return None


@dataclass(slots=True)
class _Verdict:
    """Why WebSocket is not used for now."""

    reason: str
    next_probe: float


class AutoDialer:
    """Implements ``dialing.Dialer`` with both transports. ``websocket`` should take at most ``UPGRADE_SHARE`` of ``handshake_timeout``."""

    def __init__(self, websocket: OneDialer, polling: OneDialer, name: str, limits: Limits, clock: Clock) -> None:
        self._websocket = websocket
        self._polling = polling
        self._name = name
        self._limits = limits
        self._clock = clock
        self._verdict: _Verdict | None = None
        self._young_deaths = 0

    def dial(self) -> Dialled:
        if self._verdict is None:
            try:
                return Dialled(self._probed())
            except _NoWebSocketError as error:
                self._blocked(str(error))
        verdict = self._verdict
        try:
            return Dialled(self._polling.dial(), verdict.reason if verdict is not None else "")
        except UnavailableError:
            # The hub itself is away. That may be why WebSocket did not work, or died young: the verdict proves nothing.
            self._verdict = None
            raise

    def ended(self, link: Link, code: int, lived: float | None) -> None:
        if link.transport != "websocket":
            return
        if lived is not None and lived >= self._limits.young_link:
            self._young_deaths = 0
        elif code == CLOSE_ABNORMAL:
            self._young_deaths += 1
            after = "before it was used" if lived is None else f"after {lived:.0f} s"
            self._blocked(f"WebSocket was cut {after}")

    def better_due(self, now: float) -> bool:
        return self._verdict is not None and now >= self._verdict.next_probe

    def dial_better(self) -> Dialled | None:
        verdict = self._verdict
        try:
            link = self._probed()
        except _NoWebSocketError as error:
            self._blocked(str(error))
        except FluxError as error:
            self._blocked(verdict.reason if verdict is not None else str(error))
        else:
            self._verdict = None
            return Dialled(link)
        return None

    def _blocked(self, reason: str) -> None:
        gap = min(2**self._young_deaths, PROBE_GAP_MAX) * self._limits.websocket_probe_interval
        if self._verdict is None or self._verdict.reason != reason:
            log.info("websocket_blocked", reason=reason, next_probe_s=round(gap))
        self._verdict = _Verdict(reason, self._clock.monotonic() + gap)

    def _probed(self) -> Link:
        """A WebSocket through which binary messages come back.

        Raises _NoWebSocketError when something in between does not let it through, other FluxErrors when the hub cannot be reached at all.
        """
        try:
            link = self._websocket.dial()
        except UpgradeRefusedError as error:
            raise _NoWebSocketError(
                f"upgrade refused with {error.status}" if error.status else f"no upgrade: {error.reason}"
            ) from None
        except UnavailableError as error:
            if getattr(error, "layer", "") in SHARED_LAYERS:
                raise
            raise _NoWebSocketError(f"no answer to the upgrade: {error}") from None
        echo = _Echo(os.urandom(PROBE_BYTES))
        link.start(echo)
        link.send_text(encode(Hello(PROTOCOL_VERSIONS, self._name, probe=True), 0, 0))
        link.send_binary(echo.sent)
        if not echo.done.wait(self._limits.handshake_timeout * ECHO_SHARE) or not echo.equal:
            trouble = echo.trouble
            link.close(CLOSE_NORMAL, "probe failed")
            # Nobody else has it, and what swallows the probe may swallow the farewell.
            runtime.spawn_later(self._limits.handshake_timeout, lambda: link.tick(self._clock.monotonic()))
            raise _NoWebSocketError(trouble)
        return link


class _NoWebSocketError(FluxError):
    """Something between agent and hub does not let WebSocket through. The message is what people are shown."""

    code = "no_websocket"


class _Echo:
    """Listens to a link that is tried out (LinkHandler)."""

    def __init__(self, sent: bytes) -> None:
        self.sent = sent
        self.done = runtime.Event()
        self.equal = False
        self.trouble = "binary messages over WebSocket do not come through"

    def on_text(self, text: str) -> None:
        """The hub says nothing to a probe."""

    def on_binary(self, data: Buffer) -> None:
        self.equal = bytes(data) == self.sent
        if not self.equal:
            self.trouble = "binary messages over WebSocket come back changed"
        self.done.set()

    def on_life(self) -> None:
        """Nothing waits for it."""

    def on_closed(self, code: int, reason: str) -> None:
        if not self.equal:
            self.trouble = f"WebSocket was cut right after the upgrade ({code} {reason})".strip()
        self.done.set()
