"""What a session tells its application. ``session.py`` says when."""

from __future__ import annotations

from dataclasses import dataclass

from fileflux.protocol.messages import ErrorMessage, Hello, Message, Welcome


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """Hub: an agent wants to begin or to go on. Decide, then call ``Session.welcome``."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Established:
    """Agent: the hub said welcome. Not ``resumed``: a new session; what was open in an older one is void, and its outbox was emptied."""

    resumed: bool
    welcome: Welcome | None


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message, for the first time. Call ``Session.handled(seq)`` when it must not come again, in any order."""

    seq: int
    message: Message


@dataclass(frozen=True, slots=True)
class LinkDead:
    """Nothing was heard for too long. Close the link with ``code``."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class PeerErrorReported:
    """The peer could not handle a message of ours: log it. It is acknowledged already."""

    error: ErrorMessage


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer broke the rules; an ``error`` is queued for it where it can take one. Audit; ``close``: send, then close with 1008."""

    code: str
    message: str
    field: str | None
    close: bool


SessionEvent = HelloReceived | Established | MessageReceived | LinkDead | PeerErrorReported | Refused
