"""What the connection needs of whoever opens links for it. Which transports there are is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fileflux.protocol.link import Link


@dataclass(frozen=True, slots=True)
class Dialled:
    """An open link, not started for its user yet. ``reason`` says why this one was chosen, where there was a choice; for people."""

    link: Link
    reason: str = ""


class Dialer(Protocol):
    """Opens links, one at a time. Blocks the calling greenlet only."""

    def dial(self) -> Dialled:
        """Connect. Raises AuthError when the hub refuses the token, UnavailableError when it cannot be reached."""
        ...

    def ended(self, link: Link, code: int, lived: float | None) -> None:
        """A link is over, ``lived`` seconds after its session was established on it; None: it never was."""
        ...

    def better_due(self, now: float) -> bool:
        """It is time to look for a better link than the present one."""
        ...

    def dial_better(self) -> Dialled | None:
        """Try for a better link beside the present one, which it must not disturb. None: there is none; never raises a FluxError."""
        ...
