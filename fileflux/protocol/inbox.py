"""The peer's control messages by number: which are new, which are handled, what may be acknowledged."""

from __future__ import annotations

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import Limits


class Inbox:
    """``received`` is the newest number that came in; ``handled`` the end of the unbroken run of finished ones.

    Messages may be finished in any order (some wait for a database commit, others do not); only ``handled`` is acknowledged.
    """

    def __init__(self, unhandled_max: int) -> None:
        self._unhandled_max = unhandled_max
        self._finished: set[int] = set()
        self.received = 0
        self.handled = 0

    def accept(self, seq: int) -> bool:
        """True for the next new message, False for a repeated one, which must not be delivered again.

        Raises RemoteProtocolError (closing) for a gap, because links keep their order, and for a peer that does not wait for acks.
        """
        if seq <= self.received:
            return False
        if seq != self.received + 1:
            raise RemoteProtocolError(
                f"message {seq} after {self.received}: one is missing", code="sequence", field="seq", close=True
            )
        if seq - self.handled > self._unhandled_max:
            raise RemoteProtocolError(
                f"{self._unhandled_max} messages are not acknowledged yet", code="overrun", field="seq", close=True
            )
        self.received = seq
        return True

    def finish(self, seq: int) -> None:
        """The application is done with a message. Numbers that are finished already, or never came in, change nothing."""
        if not self.handled < seq <= self.received:
            return
        self._finished.add(seq)
        while self.handled + 1 in self._finished:
            self.handled += 1
            self._finished.remove(self.handled)

    def clear(self) -> None:
        """A new session begins: its numbers start at 1."""
        self._finished.clear()
        self.received = self.handled = 0


class AckTimer:
    """When an acknowledgement must go out by itself: every other message carries it anyway, so most never do."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._told = 0
        self._since: float | None = None
        self._late = False

    @property
    def deadline(self) -> float | None:
        """When ``tick`` makes the ack due; None if none is owed."""
        return None if self._since is None else self._since + self._limits.ack_after_s

    def owe(self, handled: int, now: float) -> None:
        """Messages up to ``handled`` may be acknowledged."""
        if self._since is None and handled > self._told:
            self._since = now

    def tick(self, now: float) -> None:
        self._late = self.deadline is not None and now >= self.deadline

    def due(self, handled: int) -> bool:
        """Whether a bare ack must be sent now."""
        owed = handled - self._told
        return owed > 0 and (self._late or owed >= self._limits.ack_after_messages)

    def told(self, handled: int) -> None:
        """The peer is being told that everything up to ``handled`` is done."""
        self._told = handled
        self._since = None
        self._late = False
