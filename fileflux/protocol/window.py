"""How many frame bytes a source may send (docs/protocol.md, Window)."""

from __future__ import annotations

from fileflux.errors import LocalProtocolError, RemoteProtocolError


class SendWindow:
    """Counts frame bytes, headers included, from a wire id's first. ``sent`` never passes ``up_to``."""

    def __init__(self) -> None:
        self.up_to = 0
        self.sent = 0

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return self.up_to - self.sent

    def grant(self, up_to: int) -> None:
        """The hub allows more. A smaller value than before is an old message and changes nothing."""
        self.up_to = max(self.up_to, up_to)

    def lower(self, up_to: int) -> None:
        """A limit takes back what was not sent; what was sent stays sent."""
        self.up_to = min(self.up_to, max(self.sent, up_to))

    def add(self, length: int) -> None:
        """Bytes were sent. Raises LocalProtocolError beyond ``room``: the hub would close the link."""
        if not 0 <= length <= self.room:
            raise LocalProtocolError(f"{length} bytes sent into a window with room for {self.room}")
        self.sent += length

    def reset(self, received: int, up_to: int) -> None:
        """A link changed: the hub counts ``received`` bytes as sent. Raises RemoteProtocolError if that is beyond ``up_to``."""
        if received > up_to:
            raise RemoteProtocolError(f"{received} bytes received in a window up to {up_to}", field="received")
        self.sent = received
        self.up_to = up_to
