"""What the notifier is told."""

from __future__ import annotations

from dataclasses import dataclass

from fileflux.actors.kernel.ref import Reply
from fileflux.storage.deliveries import Batch, LogRow, Outcome


@dataclass(frozen=True, slots=True)
class Look:
    """Something may be due; ``what`` other than empty is one of its own timers."""

    what: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch is through: one outcome for each delivery."""

    number: int
    batch: Batch
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class SendTest:
    """Send a test to a target now, and answer with its line of the log."""

    target_id: int
    asked_by: str
    reply: Reply[LogRow]


NotifierMessage = Look | Sent | SendTest
