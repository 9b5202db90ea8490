"""Delivers what waits in the outbox (``storage/deliveries.py``): a bounded number at once, each in a greenlet of its own that may wait.

Nothing that moves files waits for it, and it waits for none of them: events come in by the transactions that store what happened. Every hub
does it, none leads; the rows say who has which delivery. The bus only says that it is worth looking now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import random
from typing import Final, Protocol

import structlog

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor, Cancellable
from fileflux.actors.kernel.ref import Reply
from fileflux.actors.notifier_messages import Look, NotifierMessage, SendTest, Sent
from fileflux.bus import events
from fileflux.bus.bus import Bus, Subscription
from fileflux.bus.events import AlertRaised
from fileflux.clock import Clock
from fileflux.errors import ConfigError, FluxError, OverloadedError, UnavailableError
from fileflux.jobs.webhook import TEST, retry_in
from fileflux.jobs.webhook_url import Allowed, parse_allowed
from fileflux.storage import alerts, deliveries, notifications, settings
from fileflux.storage.deliveries import PER_TARGET, Batch, Delivery, LogRow, Outcome, Settled
from fileflux.storage.notifications import MailSettings
from fileflux.storage.pool import Database, Transaction

log = structlog.get_logger("fileflux.notifier")

PLACES: Final = 8
"""Batches on their way at once: a connection and a greenlet each."""
TESTS: Final = 4
"""Tests on their way at once, besides."""
LOOK_S: Final = 2.0
"""Between two looks without a hint: for what other hubs stored."""
HINT_S: Final = 0.2
"""Between two looks at the bus: what happens meanwhile is looked for together."""
AGAIN_S: Final = 0.5
"""What is due and was not to be had is another hub's at this moment, or has to wait for a place."""
TOO_LONG_S: Final = 45.0
"""A batch that is still on its way is given up: less than its lease, more than its own time-outs."""
TIDY_S: Final = 10.0
TIDY_ROWS: Final = 1000

_HINTS: Final = (
    events.RunStarted, events.RunChanged, events.RunEnded, events.TransferFailed, events.JobChanged, events.AlertRaised,
)  # fmt: skip


class Webhooks(Protocol):
    def send(self, batch: Batch, delivery: Delivery, allowed: Sequence[Allowed]) -> Outcome:
        """One attempt; takes at most 20 s."""
        ...


class Mails(Protocol):
    def send(self, batch: Batch, settings: MailSettings, site: str) -> list[Outcome]:
        """All mails of a batch."""
        ...


@dataclass(slots=True)
class _UnderWay:
    batch: Batch
    began: float
    task: runtime.Task
    reply: Reply[LogRow] | None


@dataclass(frozen=True, slots=True)
class _With:
    """What the hub's settings say about sending."""

    allowed: tuple[Allowed, ...]
    mail: MailSettings
    site: str


class Notifier(Actor[NotifierMessage]):
    mailbox_size = 1000

    def __init__(self, database: Database, bus: Bus, webhooks: Webhooks, mails: Mails, clock: Clock) -> None:
        super().__init__()
        self._database = database
        self._bus = bus
        self._webhooks = webhooks
        self._mails = mails
        self._clock = clock
        self._under_way: dict[int, _UnderWay] = {}
        self._next_number = 0
        self._hints: Subscription | None = None
        self._soon: Cancellable | None = None
        self._waits = False
        self._ticks = 0

    def on_start(self) -> None:
        self._hints = self._bus.subscribe(_HINTS, 1, "merge")
        self.after(0, Look("again"))
        self.after(HINT_S, Look("hint"))
        self.after(TIDY_S, Look("tidy"))

    def on_stop(self) -> None:
        if self._hints is not None:
            self._hints.close()
        # What is on its way comes up again at the end of its lease.
        for one in self._under_way.values():
            one.task.kill(block=False)

    def receive(self, message: NotifierMessage) -> None:
        match message:
            case Look():
                self._tick(message.what)
            case Sent():
                self._sent(message)
            case SendTest():
                self._test(message)

    def _tick(self, what: str) -> None:
        if what == "hint":
            self.after(HINT_S, Look("hint"))
            if self._hints is None or not self._hints.take_all():
                return
        try:
            if what == "tidy":
                self._tidy()
            else:
                self._look()
            self._waits = False
        except FluxError as error:
            if not self._waits:
                log.warning("notifications wait", error=error.message)
            self._waits = True
        if what == "again":
            self.after(LOOK_S, Look("again"))
        elif what == "tidy":
            self.after(TIDY_S, Look("tidy"))

    def _look(self) -> None:
        self._give_up_slow()
        while True:
            free = PLACES - sum(one.reply is None for one in self._under_way.values())
            with self._database.transaction() as tx:
                seconds = deliveries.seconds_to_next(tx, self._busy())
                if seconds is None or seconds > 0 or free <= 0:
                    break
                batches = deliveries.take(tx, free, self._counts(), self._failing())
                how = _how(tx) if batches else None
            if how is None:
                seconds = AGAIN_S
                break
            for batch in batches:
                self._begin(batch, how)
        if seconds is not None and seconds < LOOK_S and free > 0:
            if self._soon is not None:
                self._soon.cancel()
            self._soon = self.after(max(seconds, 0.01), Look())

    def _begin(self, batch: Batch, how: _With, reply: Reply[LogRow] | None = None) -> None:
        self._next_number += 1
        number = self._next_number
        task = runtime.spawn(self._carry, number, batch, how, name=f"notify-{batch.target_id}")
        self._under_way[number] = _UnderWay(batch, self._clock.monotonic(), task, reply)

    def _carry(self, number: int, batch: Batch, how: _With) -> None:
        """In a greenlet of its own, which may be killed at any wait."""
        outcomes: list[Outcome] = []
        try:
            if batch.kind == "email":
                outcomes += self._mails.send(batch, how.mail, how.site)
            else:
                outcomes += (self._webhooks.send(batch, one, how.allowed) for one in batch.deliveries)
        except Exception:
            log.exception("a notification could not be sent", target=batch.target_id)
        finally:
            missing = len(batch.deliveries) - len(outcomes)
            outcomes += [Outcome(ok=False, error="it took too long, or failed inside the hub")] * missing
            self.ref.tell_control(Sent(number, batch, tuple(outcomes)))

    def _sent(self, message: Sent) -> None:
        under_way = self._under_way.get(message.number)
        settled = [_settled(*pair) for pair in zip(message.batch.deliveries, message.outcomes, strict=True)]
        try:
            with self._database.transaction() as tx:
                news = deliveries.settle(tx, message.batch, settled)
                raised = [_alert(tx, message.batch.target_id, text) for text in news]
                reply = None if under_way is None else under_way.reply
                if reply is not None:
                    reply.send(deliveries.get(tx, message.batch.target_id, message.batch.deliveries[0].id))
        except UnavailableError as error:
            if under_way is not None and self._clock.monotonic() - under_way.began < deliveries.LEASE_S:
                self.after(1.0, message)
                return
            log.warning("the outcome of a notification was not stored", error=error.message)
            raised = []
        except FluxError as error:
            log.warning("the outcome of a notification was not stored", error=error.message)
            raised = []
        self._under_way.pop(message.number, None)
        for alert in raised:
            self._bus.publish(AlertRaised(alert.id, alert.kind, alert.message))
        self._tick("")

    def _test(self, message: SendTest) -> None:
        if sum(one.reply is not None for one in self._under_way.values()) >= TESTS:
            message.reply.fail(OverloadedError(f"{TESTS} tests are on their way already; try again in a moment"))
            return
        try:
            with self._database.transaction() as tx:
                batch = deliveries.make_test(tx, message.target_id, {"asked_by": message.asked_by})
                how = _how(tx)
        except FluxError as error:
            message.reply.fail(error)
            return
        self._begin(batch, how, message.reply)

    def _give_up_slow(self) -> None:
        for one in self._under_way.values():
            if self._clock.monotonic() - one.began > TOO_LONG_S and not one.task.dead:
                log.warning("a notification took too long", target=one.batch.target_id)
                one.task.kill(block=False)

    def _tidy(self) -> None:
        with self._database.transaction() as tx:
            full = deliveries.watch_backlogs(tx)
            late = deliveries.give_up_old(tx, TIDY_ROWS) if self._ticks % 6 == 0 else []
            raised = [
                _alert(
                    tx,
                    target_id,
                    f"{name} has too much waiting: until it is less, it is not told of what happens. Mend or delete it",
                )
                for target_id, name in full
            ]
            raised += [
                _alert(
                    tx,
                    target_id,
                    f"{name} did not get some events in time; its log has them. Mend the target, then deliver them again",
                )
                for target_id, name in late
            ]
            # What is old goes a little at a time.
            if self._ticks % 6 == 0:
                deliveries.tidy(tx, TIDY_ROWS)
        self._ticks += 1
        for alert in raised:
            self._bus.publish(AlertRaised(alert.id, alert.kind, alert.message))

    def _counts(self) -> Counter[int]:
        return Counter(one.batch.target_id for one in self._under_way.values() if one.reply is None)

    def _failing(self) -> int:
        return sum(one.batch.failing for one in self._under_way.values() if one.reply is None)

    def _busy(self) -> list[int]:
        """Targets that nothing more can be begun for."""
        alone = {
            one.batch.target_id for one in self._under_way.values() if one.batch.failing or one.batch.kind == "email"
        }
        return sorted(alone | {target_id for target_id, count in self._counts().items() if count >= PER_TARGET})


def _how(tx: Transaction) -> _With:
    hub = settings.hub(tx)
    allowed: list[Allowed] = []
    for text in hub.webhook_allow:
        try:
            allowed.append(parse_allowed(text))
        except ConfigError as error:
            log.warning("an entry of webhook_allow is not understood", error=error.message)
    return _With(tuple(allowed), notifications.mail(tx), hub.site_name)


def _settled(delivery: Delivery, outcome: Outcome) -> Settled:
    final = outcome.ok or outcome.gone or delivery.notice.type == TEST
    return Settled(delivery, outcome, None if final else retry_in(delivery.attempt, random(), outcome.retry_after))  # noqa: S311  # nosec B311  # it spreads retries


def _alert(tx: Transaction, target_id: int, text: str) -> alerts.AlertRow:
    return alerts.raise_alert(tx, "notification_failed", f"notification:{target_id}", text)
