"""What a session needs of a connection, whichever transport carries it.

A link carries text messages (control) and binary messages (data). Texts overtake queued binary messages; each kind keeps its own
order. A link never blocks its caller: what does not fit into the socket is queued, and who sends data watches ``queued_bytes``.
The contract suite is ``tests/contracts/link_suite.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview
Cut = Callable[[Buffer, int], Sequence[Buffer]]
"""Makes several messages of about so many bytes of one; together they say the same."""


class LinkHandler(Protocol):
    """Who listens to a link. All calls come from one greenlet and must not block."""

    def on_text(self, text: str) -> None:
        """One whole text message, at most ``limits.max_text_bytes`` of UTF-8."""

    def on_binary(self, data: Buffer) -> None:
        """One whole binary message. The buffer is the receiver's to keep; it is not reused."""

    def on_life(self) -> None:
        """Bytes came in, possibly only part of a message: the peer lives."""

    def on_closed(self, code: int, reason: str) -> None:
        """The link is gone; called exactly once, after which nothing else is called."""


class Link(Protocol):
    """One live connection."""

    @property
    def transport(self) -> str:
        """``websocket`` or ``polling``; for display only."""
        ...

    @property
    def peer(self) -> str:
        """Address of the other end; for display and audit only."""
        ...

    @property
    def answered(self) -> bool:
        """After ``close``: the other end said that it heard it, so somebody is there. False where a transport cannot know."""
        ...

    @property
    def queued_bytes(self) -> int:
        """Bytes of binary messages not yet handed to the socket."""
        ...

    def start(self, handler: LinkHandler) -> None:
        """Begin to deliver; nothing is delivered before it. A later call hands the link over to another handler.

        A link that is over already tells the handler so at once.
        """

    def send_text(self, text: str) -> None:
        """Queue a control message ahead of all queued binary ones. On a closed link it is dropped silently."""

    def send_binary(
        self, data: Buffer, *, tag: int = 0, on_sent: Callable[[], None] | None = None, cut: Cut | None = None
    ) -> None:
        """Queue a binary message. ``data`` must stay unchanged until ``on_sent`` is called.

        With ``cut`` the link may send it as several messages when it is much longer than ``piece_seconds`` of the link.

        ``on_sent`` is called exactly once: when the last byte is in the socket, when ``drop`` removed the message, or when the
        link closed. So a buffer or a budget that waits for it always comes back.
        """

    def drop(self, tag: int) -> int:
        """Forget queued binary messages with this tag of which no byte was sent; the number of bytes forgotten."""
        ...

    def tick(self, now: float) -> None:
        """Time has passed: keep-alives, and the end of a close that the peer does not answer. Call every few seconds until ``on_closed``."""

    def close(self, code: int, reason: str) -> None:
        """Close with a code (RFC 6455 §7.4; 4409: a newer session took over). ``on_closed`` follows."""
