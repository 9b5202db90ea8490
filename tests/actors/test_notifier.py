"""The notifier on a real database, with senders that are played: who gets what, how many at once, and what a slow or broken one costs others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gevent
import pytest

from fileflux.actors import notifier as module
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.ref import ActorRef
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.notifier import PLACES, Notifier
from fileflux.actors.notifier_messages import Look, SendTest
from fileflux.bus.bus import Bus
from fileflux.bus.events import AlertRaised, JobChanged
from fileflux.clock import SystemClock
from fileflux.errors import NotFoundError, OverloadedError
from fileflux.jobs.webhook_url import Allowed
from fileflux.storage import alerts, deliveries, notifications, outbox, settings
from fileflux.storage.deliveries import Batch, Delivery, LogRow, Outcome
from fileflux.storage.notifications import MailSettings
from fileflux.storage.pool import Database

OK = Outcome(ok=True, http_status=200)


class Senders:
    """Webhooks and Mails. ``answers`` by URL: an outcome, an error to raise, or an event to wait for."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.sent: list[tuple[str, str]] = []
        self.under_way: Counter[str] = Counter()
        self.most = 0
        self.allowed: list[Sequence[Allowed]] = []
        self.mails: list[tuple[int, MailSettings, str]] = []

    def webhook(self, batch: Batch, delivery: Delivery, allowed: Sequence[Allowed]) -> Outcome:
        self.sent.append((batch.url, delivery.notice.type))
        self.allowed.append(allowed)
        answer = self.answers.get(batch.url, OK)
        if isinstance(answer, runtime.Event):
            self.under_way[batch.url] += 1
            self.most = max(self.most, sum(self.under_way.values()))
            try:
                answer.wait()
            finally:
                self.under_way[batch.url] -= 1
            return OK
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send(self, batch: Batch, of_mail: Any, site: Any = None) -> Any:
        if isinstance(of_mail, MailSettings):
            self.mails.append((len(batch.deliveries), of_mail, site))
            return [OK] * len(batch.deliveries)
        return self.webhook(batch, of_mail, site)


class Site:
    """A notifier and its rows."""

    def __init__(self, database: Database) -> None:
        self.database, self.bus, self.senders = database, Bus(), Senders()
        self.supervisor = Supervisor("telling", "one_for_one")
        self.supervisor.start()
        self.ref: ActorRef[Any] | None = None

    def start(self) -> None:
        senders: Any = self.senders
        self.ref = self.supervisor.start_child(
            ChildSpec("notifier", lambda: Notifier(self.database, self.bus, senders, senders, SystemClock()))
        )

    def target(self, name: str, *events: str, kind: str = "webhook") -> int:
        body = {
            "name": name, "kind": kind, "url": f"https://{name}.example/" if kind == "webhook" else None, "events": list(events or ("*",)),
            "addresses": [] if kind == "webhook" else ["ops@example.org"], "job_ids": [], "tags": [], "enabled": True,
        }  # fmt: skip
        with self.database.transaction() as tx:
            return notifications.create(tx, body, "ann")[0].id

    def note(self, event: str, times: int = 1) -> None:
        with self.database.transaction() as tx:
            for _ in range(times):
                outbox.add(tx, event)

    def log(self, target_id: int) -> list[LogRow]:
        with self.database.transaction() as tx:
            return deliveries.list_page(tx, target_id, 100)

    def statuses(self, target_id: int) -> Counter[str]:
        return Counter(row.status for row in self.log(target_id))

    def look(self) -> None:
        assert self.ref is not None
        self.ref.tell(Look())


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10, AssertionError("it did not happen")):
        while not condition():
            gevent.sleep(0.005)


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    made = Site(database)
    yield made
    made.supervisor.stop(5)


def test_what_hangs_takes_no_place_from_others(site: Site) -> None:
    """A black hole with far more events than there are places."""
    for number in range(4):
        site.target(f"hole{number}", "job.missed")
        site.senders.answers[f"https://hole{number}.example/"] = runtime.Event()
    healthy = site.target("healthy", "job.changed")
    mail = site.target("mail", "job.changed", kind="email")
    with site.database.transaction() as tx:
        settings.change_hub(tx, {"webhook_allow": ["10.0.0.0/8"], "site_name": "Here"})
        notifications.change_mail(tx, {"host": "relay"})
    site.note("job.missed", 20)
    site.start()
    until(lambda: site.senders.most == PLACES)
    assert set(site.senders.under_way.values()) == {2}
    site.senders.answers["https://hole0.example/"].set()
    site.note("job.changed", 3)
    until(lambda: site.statuses(healthy) == {"delivered": 3} and site.statuses(mail) == {"delivered": 3})
    assert site.senders.most == PLACES
    assert site.senders.under_way["https://hole1.example/"] == 2
    assert [str(entry.network) for entry in site.senders.allowed[-1]] == ["10.0.0.0/8"]
    assert [(count, of.host, name) for count, of, name in site.senders.mails] in (
        [(3, "relay", "Here")],
        [(1, "relay", "Here")] * 3,
    )
    for answer in site.senders.answers.values():
        answer.set()


def test_the_bus_says_when_to_look(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 60.0)
    one = site.target("one")
    site.start()
    gevent.sleep(0.02)
    site.note("job.changed")
    site.bus.publish(JobChanged(1, 1, deleted=False))
    until(lambda: site.statuses(one) == {"delivered": 1})


def test_a_failure_is_tried_again_and_the_last_one_is_an_alert(site: Site) -> None:
    one = site.target("one")
    site.senders.answers["https://one.example/"] = Outcome(ok=False, error="it answered 500", http_status=500)
    raised = site.bus.subscribe([AlertRaised], 10)
    site.note("job.missed")
    site.start()
    until(lambda: site.log(one)[0].error)
    row = site.log(one)[0]
    assert (row.status, row.attempts, row.http_status) == ("pending", 1, 500)
    assert row.next_attempt_at is not None
    assert row.last_attempt_at is not None
    assert 3.9 < (row.next_attempt_at - row.last_attempt_at).total_seconds() < 7.0
    with site.database.transaction() as tx:
        tx.execute("UPDATE notification_deliveries SET attempts = 7, due_at = clock_timestamp()")
    site.look()
    until(lambda: site.statuses(one)["failed"])
    found: list[Any] = []
    until(lambda: found.extend(raised.take_all()) or found)
    event = found[0]
    assert isinstance(event, AlertRaised)
    assert "one did not get job.missed after 8 attempts: it answered 500" in event.message
    with site.database.transaction() as tx:
        assert [alert.object for alert in alerts.list_page(tx, 10)] == [f"notification:{one}"]


def test_a_sender_that_breaks_or_never_ends_is_a_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOO_LONG_S", 0.05)
    broken, stuck = site.target("broken"), site.target("stuck")
    site.senders.answers = {"https://broken.example/": ZeroDivisionError(), "https://stuck.example/": runtime.Event()}
    site.note("job.missed")
    site.start()
    until(lambda: site.log(broken)[0].error)
    gevent.sleep(0.06)
    site.look()
    until(lambda: site.log(stuck)[0].error == "it took too long, or failed inside the hub")
    assert site.senders.under_way["https://stuck.example/"] == 0


def test_a_restart_forgets_nothing(site: Site) -> None:
    one = site.target("one")
    site.senders.answers["https://one.example/"] = runtime.Event()
    site.note("job.missed")
    site.start()
    until(lambda: site.senders.most)
    site.supervisor.stop(5)
    site.supervisor = Supervisor("telling", "one_for_one")
    site.supervisor.start()
    site.senders.answers.clear()
    site.start()
    gevent.sleep(0.05)
    assert site.statuses(one) == {"pending": 1}, "it may be on its way still"
    with site.database.transaction() as tx:
        tx.execute("UPDATE notification_deliveries SET due_at = due_at - interval '60 seconds'")
    site.look()
    until(lambda: site.statuses(one) == {"delivered": 1})
    assert site.log(one)[0].attempts == 2


def test_a_test_is_answered(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    one = site.target("one", "job.missed")
    site.start()
    assert site.ref is not None

    def ask(target_id: int) -> LogRow:
        assert site.ref is not None
        row: LogRow = site.ref.ask(lambda reply: SendTest(target_id, "ann", reply), 5)
        return row

    assert (ask(one).status, ask(one).data) == ("delivered", {"asked_by": "ann"})
    site.senders.answers["https://one.example/"] = Outcome(ok=False, error="x")
    row = ask(one)
    assert (row.status, row.error, row.next_attempt_at) == ("failed", "x", None)
    with pytest.raises(NotFoundError):
        ask(one + 1000)
    monkeypatch.setattr(module, "TESTS", 0)
    with pytest.raises(OverloadedError):
        ask(one)


def test_too_much_waiting_is_an_alert(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BACKLOG_MAX", 3)
    one = site.target("one")
    site.senders.answers["https://one.example/"] = runtime.Event()
    site.note("job.missed", 5)
    raised = site.bus.subscribe([AlertRaised], 10)
    site.start()
    assert site.ref is not None
    site.ref.tell(Look("tidy"))
    found: list[Any] = []
    until(lambda: found.extend(raised.take_all()) or found)
    event = found[0]
    assert isinstance(event, AlertRaised)
    assert "has too much waiting" in event.message
    site.note("job.missed")
    assert len(site.log(one)) == 5
