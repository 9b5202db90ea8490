"""Why the hub cannot be reached: the layer that failed, and one sentence that says what to do.

    UnavailableError
    └── ReachError           one layer of the way failed; trying again may help
    AuthError
    └── PinMismatchError     another hub than the token's answers, or somebody in between: a person has to look

An answer of the hub's address that is no WebSocket is an UpgradeRefusedError (``fileflux.protocol.upgrade``), a token that the hub does not
know an AuthError.
"""

from __future__ import annotations

from typing import Literal

from fileflux.errors import AuthError, Fault, UnavailableError

Layer = Literal["dns", "tcp", "proxy", "tls", "http", "upgrade", "token", "clock"]


class ReachError(UnavailableError):
    """``retry_after``: seconds that the other end asked to wait before the next try, 0 when it said nothing."""

    code = "hub_unreachable"

    def __init__(self, layer: Layer, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.layer = layer
        self.retry_after = retry_after


class PinMismatchError(AuthError):
    """The CA of whoever answers is not the one that the token names. The token has not been sent."""

    code = "pin_mismatch"
    fault = Fault.ENVIRONMENT
    layer: Layer = "tls"
