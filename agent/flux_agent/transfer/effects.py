"""What the transfer machines ask for. The engine carries the effects of one step out in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fileflux.protocol import messages as m
from flux_agent.transfer.regions import Slot


@dataclass(slots=True, eq=False)
class RunTask:
    """Run ``task`` on the worker that ``key`` belongs to, then call ``task_done`` of the machine with this very object.

    ``slot`` is in use until then; ``context`` is the machine's own. ``beside``: a key whose worker is left out if there are others.
    """

    key: str
    task: str
    args: dict[str, Any]
    context: Any = None
    slot: Slot | None = None
    submitted_at: float = 0.0
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Run ``task`` on every worker behind all that it was given before; nobody waits for it.

    With a ``key``, only on the worker that the key belongs to.
    """

    task: str
    args: dict[str, Any] = field(default_factory=dict)
    key: str = ""


@dataclass(frozen=True, slots=True)
class SendItem:
    """Put ``item`` into the next message of class ``message``."""

    message: type[m.Message]
    item: Any


@dataclass(frozen=True, slots=True)
class SendHavePage:
    """``hashes``: the raw SHA-256 of the chunks from ``first`` on. Goes out behind the items that were asked for before."""

    first: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class NeedSlot:
    """Call ``slot_granted`` when there is room for ``size`` bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class FramesReady:
    """``take`` has something to send."""


@dataclass(frozen=True, slots=True)
class DropUnsent:
    """Forget what this transfer has in the link's queue."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The machine is done: no task of it is running and its files are closed. Forget it."""


Effect = RunTask | Broadcast | SendItem | SendHavePage | NeedSlot | FramesReady | DropUnsent | Finished
