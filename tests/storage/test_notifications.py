"""What is noted for the world outside, who gets it, and that nobody gets it twice at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest

from fileflux.errors import ConflictError, NotFoundError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.webhook import FAILING_AFTER
from fileflux.storage import agents, alerts, deliveries, jobs, notices, notifications, outbox, presence, runs, transfers
from fileflux.storage.deliveries import Batch, Outcome, Settled
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database, Transaction
from fileflux.storage.runs import RunRow
from fileflux.storage.transfers import NewTransfer, TransferUpdate
from tests.conftest import administer, drop_database

Make = Callable[..., int]
OK = Outcome(ok=True, http_status=204)
BAD = Outcome(ok=False, error="it answered 500", http_status=500)


@pytest.fixture(scope="module")
def shared_url(postgres_url: str, new_database_url: Callable[[], str]) -> Iterator[str]:
    url = new_database_url()
    yield url
    drop_database(postgres_url, url)


@pytest.fixture
def database_url(shared_url: str) -> str:
    """One database for all tests here, emptied before each: making one takes longer than any of them."""
    tables = (
        "notification_targets",
        "notification_events",
        "agent_presence",
        "transfers",
        "job_versions",
        "runs",
        "jobs",
        "agents",
        "alerts",
    )
    administer(shared_url, *(f"DELETE FROM {table}" for table in tables))
    return shared_url


@pytest.fixture
def target(database: Database) -> Make:
    """Makes a webhook that wants everything, unless told otherwise; its id."""
    numbers = iter(range(1000))

    def make(*events: str, **values: Any) -> int:
        body = {
            "name": f"target {next(numbers)}", "kind": "webhook", "url": "https://x.org/", "addresses": [], "events": list(events or ("*",)),
            "job_ids": [], "tags": [], "enabled": True,
        }  # fmt: skip
        with database.transaction() as tx:
            return notifications.create(tx, body | values, "ann")[0].id

    return make


def told(database: Database, target_id: int) -> list[tuple[str, dict[str, Any]]]:
    """Type and data of all that was noted for a target, oldest first."""
    with database.transaction() as tx:
        return [(row.type, row.data) for row in reversed(deliveries.list_page(tx, target_id, 1000))]


def take(database: Database, free: int = 8, **under_way: Any) -> list[Batch]:
    with database.transaction() as tx:
        return deliveries.take(tx, free, under_way.get("counts", {}), under_way.get("failing", 0))


def settle(database: Database, batch: Batch, outcome: Outcome, retry_in: float | None = None) -> list[str]:
    with database.transaction() as tx:
        return deliveries.settle(tx, batch, [Settled(one, outcome, retry_in) for one in batch.deliveries])


def later(database: Database, seconds: float) -> None:
    """Time passes."""
    with database.transaction() as tx:
        shift = f"interval '{seconds} seconds'"
        tx.execute(
            f"UPDATE notification_deliveries SET due_at = due_at - {shift}, created_at = created_at - {shift}, last_at = last_at - {shift}"
        )
        tx.execute(f"UPDATE notification_events SET at = at - {shift}")
        tx.execute(
            f"UPDATE notification_targets SET hold_until = hold_until - {shift}, minute_began = minute_began - {shift}, old_secret_ends = old_secret_ends - {shift}"
        )


def note(database: Database, event: str, times: int = 1, **about: Any) -> None:
    with database.transaction() as tx:
        for _ in range(times):
            outbox.add(tx, event, **about)


def count(database: Database, table: str) -> int:
    with database.transaction() as tx:
        row = tx.one(f"SELECT count(*) FROM {table}")
        return row[0] if row else 0


def test_nothing_is_stored_that_nobody_asked_for(database: Database, job: JobRow, target: Make) -> None:
    target("agent.*", "job.missed")
    target("*", enabled=False)
    gone = target("*")
    with database.transaction() as tx:
        notifications.delete(tx, gone)
    note(database, "run.failed", job_id=job.id)
    assert count(database, "notification_events") == 0


def test_only_of_these_jobs_or_tags(database: Database, job: JobRow, target: Make) -> None:
    with database.transaction() as tx:
        spec = JobSpec("tagged", 1, "/a", 2, "/b", tags=("web", "eu"))
        tagged = jobs.create(tx, spec, "ann")
        agent = agents.create(tx, "edge", "", ("web",))
    by_id, by_tag, everything, either = (
        target(job_ids=[job.id]),
        target(tags=["web"]),
        target(),
        target(job_ids=[job.id], tags=["eu"]),
    )
    note(database, "job.missed", job_id=job.id)
    note(database, "job.missed", job_id=tagged.id)
    note(database, "agent.offline", agent_id=agent.id)
    names = {
        one: [data.get("job", data.get("agent"))["name"] for _, data in told(database, one)]
        for one in (by_id, by_tag, everything, either)
    }
    assert names == {
        by_id: ["nightly"],
        by_tag: ["tagged", "edge"],
        everything: ["nightly", "tagged", "edge"],
        either: ["nightly", "tagged"],
    }


def test_a_change_that_is_rolled_back_is_not_told(database: Database, job: JobRow, target: Make) -> None:
    one = target()
    with suppress(NotFoundError), database.transaction() as tx:
        outbox.add(tx, "job.missed", job_id=job.id)
        raise NotFoundError("no")
    assert told(database, one) == []


def test_a_run_is_told_once_at_its_start_and_once_at_its_end(
    database: Database, target: Make, new_run: Callable[[], RunRow]
) -> None:
    one = target("run.*")
    run = new_run()
    with database.transaction() as tx:
        claimed = runs.claim_one(tx, run.id, uuid4())
    assert claimed is not None

    def save(**changes: Any) -> None:
        with database.transaction() as tx:
            assert runs.update(tx, run.id, claimed.lease_epoch, **changes)
            notices.run_saved(tx, run.id, changes)

    save(reason="x")
    save(status="waiting_agent")
    save(status="planning")
    save(status="transferring", files_total=3)
    save(status="partial", reason="1 file failed", files_done=2, files_failed=1)
    assert [event for event, _ in told(database, one)] == ["run.started", "run.partial"]
    data = told(database, one)[1][1]
    assert data["job"] == {"id": run.job_id, "name": "nightly", "tags": []}
    assert data["path"] == f"/#/runs/{run.id}"
    wanted = {
        "id": run.id,
        "status": "partial",
        "reason": "1 file failed",
        "files_total": 3,
        "files_done": 2,
        "files_failed": 1,
    }
    assert wanted.items() <= data["run"].items()
    assert data["run"]["started_at"] < data["run"]["ended_at"]


def test_a_million_failed_files_are_a_hundred_and_one_events(
    database: Database, target: Make, new_run: Callable[[], RunRow]
) -> None:
    one, run = target("file.failed"), new_run()
    with database.transaction() as tx:
        claimed = runs.claim_one(tx, run.id, uuid4())
        rows = transfers.insert_many(
            tx, run.id, [NewTransfer(b"f%04d\xff" % number, 1, 0, 0o644, 2**23) for number in range(300)]
        )
    assert claimed is not None
    for batch in (rows[:60], rows[60:150], rows[150:]):
        updates = [TransferUpdate(row.id, "failed", reason="no room", code="no_space") for row in batch]
        with database.transaction() as tx:
            assert transfers.update_many(tx, run.id, claimed.lease_epoch, updates)
            notices.transfers_saved(tx, run.id, updates)
    events = told(database, one)
    assert len(events) == outbox.MANY + 1
    assert events[0][1]["file"] == {
        "id": rows[0].id,
        "name": "f0000\\xff",
        "size": 1,
        "code": "no_space",
        "reason": "no room",
    }
    assert [data.get("more", False) for _, data in events] == [False] * 100 + [True]
    with database.transaction() as tx:
        notices.transfers_stored(tx, run.id, [row for row in rows if row.id])
    assert len(told(database, one)) == outbox.MANY + 1


def test_alerts_are_told_when_they_are_new(database: Database, job: JobRow, target: Make) -> None:
    one, of_job = target("alert.raised"), target("alert.*", job_ids=[job.id])
    with database.transaction() as tx:
        for _ in range(3):
            alerts.raise_alert(tx, "expectation_failed", f"job:{job.id}", "look")
        alerts.raise_alert(tx, "refresh_reused", "user:7", "look")
    assert [data["alert"]["object"] for _, data in told(database, one)] == [f"job:{job.id}", "user:7"]
    assert [data["job"]["name"] for _, data in told(database, of_job)] == ["nightly"]


def test_changes_of_jobs_are_told(database: Database, job: JobRow, target: Make) -> None:
    one = target("job.changed")
    with database.transaction() as tx:
        spec = JobSpec("other", 1, "/a", 2, "/b")
        made = jobs.create(tx, spec, "ann")
        jobs.create(tx, JobSpec("send", 1, "/a", 2, "/b"), "ann", ad_hoc=True)
        held = jobs.hold(tx, made.id)
        jobs.delete(tx, jobs.change(tx, held, "bob", spec=spec, enabled=False, ad_hoc=False))
        outbox.add_many(tx, "job.changed", [job.id] * 120, detail={"change": "imported"})
    events = [data for _, data in told(database, one)]
    assert [(data["change"], data["job"]["name"]) for data in events[:3]] == [
        ("made", "other"),
        ("changed", "other"),
        ("deleted", "other"),
    ]
    assert len(events) == 3 + outbox.MANY + 1
    assert events[-1] == {"change": "imported", "more": 20}


def test_a_delivery_is_taken_once_and_again_after_its_lease(
    database: Database, database_url: str, target: Make
) -> None:
    one = target()
    note(database, "job.missed")
    with database.transaction() as first:
        (batch,) = deliveries.take(first, 8, {}, 0)
        # While one hub takes it, and from then on, another finds nothing, waits for nobody, and is told when to look again.
        assert take(database) == []
    assert take(database) == []
    with database.transaction() as tx:
        assert 50 < (deliveries.seconds_to_next(tx, []) or 0) <= deliveries.LEASE_S
        assert deliveries.seconds_to_next(tx, [one]) is None
    later(database, deliveries.LEASE_S)
    (again,) = take(database)
    assert (again.deliveries[0].id, again.deliveries[0].attempt) == (batch.deliveries[0].id, 2)
    assert again.deliveries[0].message_id == batch.deliveries[0].message_id
    # The hub that was away for a while says how its attempt ended; it is not its delivery any more.
    settle(database, batch, BAD)
    with database.transaction() as tx:
        assert deliveries.get(tx, one, batch.deliveries[0].id).status == "pending"
    settle(database, again, OK)
    with database.transaction() as tx:
        row = deliveries.get(tx, one, batch.deliveries[0].id)
    assert (row.status, row.attempts, row.http_status, row.next_attempt_at) == ("delivered", 2, 204, None)


def test_a_failed_one_waits_and_then_has_failed(database: Database, target: Make) -> None:
    one = target()
    note(database, "job.missed")
    (batch,) = take(database)
    assert settle(database, batch, Outcome(ok=False, error="x", http_status=500, answer="a\0b"), 300.0) == []
    assert take(database) == []
    later(database, 299)
    assert take(database) == []
    later(database, 2)
    (batch,) = take(database)
    (news,) = settle(database, batch, BAD)
    assert "did not get job.missed after 2 attempts: it answered 500" in news
    with database.transaction() as tx:
        (row,) = deliveries.list_page(tx, one, 10)
    assert (row.status, row.error, row.answer) == ("failed", "it answered 500", "")
    with database.transaction() as tx:
        new = deliveries.redeliver(tx, one, row.id)
        assert (new.event_id, new.status) == (row.event_id, "pending")
        with pytest.raises(ConflictError):
            deliveries.redeliver(tx, one, new.id)
        with pytest.raises(NotFoundError):
            deliveries.redeliver(tx, one + 1000, row.id)
    (batch,) = take(database)
    assert batch.deliveries[0].id == new.id


def test_gone_disables(database: Database, target: Make) -> None:
    one = target()
    note(database, "job.missed")
    (batch,) = take(database)
    (news,) = settle(database, batch, Outcome(ok=False, error="it answered 410", http_status=410, gone=True))
    assert "is disabled" in news
    note(database, "job.missed")
    assert [event for event, _ in told(database, one)] == ["job.missed"]
    with database.transaction() as tx:
        row = notifications.get(tx, one)
        assert (row.enabled, row.disabled_reason) == (False, "it answered 410: it wants nothing more")
        with pytest.raises(ConflictError, match="enable it first"):
            deliveries.redeliver(tx, one, batch.deliveries[0].id)
        assert notifications.change(tx, one, {"enabled": True}).disabled_reason == ""


def test_a_black_hole_takes_no_place_from_others(database: Database, target: Make) -> None:
    """Ten thousand events for a target that never answers."""
    hole = target("job.missed")
    with database.transaction() as tx:
        (asked,) = outbox.wanted_by(tx, "job.missed")
        for _ in range(10):
            outbox.put(tx, [asked], [outbox.Event("job.missed", {})] * 1000)
        assert deliveries.watch_backlogs(tx) == [(hole, "target 0")]
        assert deliveries.watch_backlogs(tx) == []
    other = target("job.changed")
    note(database, "job.missed")
    assert count(database, "notification_deliveries") == deliveries.BACKLOG_MAX, "nothing is added to what is full"
    note(database, "job.changed")
    batches = take(database)
    assert sorted(batch.target_id for batch in batches) == [hole, hole, other]
    assert [batch.target_id for batch in take(database, counts={hole: 2})] == []
    waiting = [batch for batch in batches if batch.target_id == hole]
    settle(database, waiting[0], BAD, 300.0)
    settle(database, waiting[1], BAD, 300.0)
    for _ in range(FAILING_AFTER - 2):
        settle(database, take(database, 1)[0], BAD, 300.0)
    assert take(database) == [], "from now on it is looked at now and then"
    later(database, 5)
    (probe,) = take(database)
    assert probe.failing
    settle(database, probe, BAD, 300.0)
    later(database, 5)
    assert take(database) == [], "each time later"
    later(database, 5)
    assert take(database, failing=deliveries.FAILING_PLACES) == []
    (probe,) = take(database)
    settle(database, probe, OK)
    assert len(take(database)) == deliveries.PER_TARGET, "it is back"


def test_what_waited_too_long_has_failed_and_old_rows_go(database: Database, target: Make) -> None:
    one, gone = target(), target()
    note(database, "job.missed")
    later(database, deliveries.PATIENCE_S + 1)
    with database.transaction() as tx:
        notifications.delete(tx, gone)
        assert deliveries.give_up_old(tx, 10) == [(one, "target 0")]
        assert deliveries.give_up_old(tx, 10) == []
        assert deliveries.get(tx, one, deliveries.list_page(tx, one, 1)[0].id).error == "not delivered in time"
        assert deliveries.tidy(tx, 10) == 2, "the log of the deleted one, and then it itself"
    assert count(database, "notification_targets") == 1
    later(database, deliveries.KEPT_DAYS * 86_400)
    with database.transaction() as tx:
        assert deliveries.tidy(tx, 10) == 2
    assert count(database, "notification_events") == 0


def test_a_restored_backup_tells_nothing_of_its_past(database: Database, target: Make) -> None:
    target()
    note(database, "job.missed", 3)
    with database.transaction() as tx:
        assert deliveries.end_waiting(tx, "restored") == 3
    assert take(database) == []


def test_ten_mails_a_minute_and_the_rest_in_one(database: Database, target: Make) -> None:
    one = target(kind="email", url=None, addresses=["ops@example.org"])
    note(database, "job.missed", 4)
    (batch,) = take(database)
    assert (batch.single, len(batch.deliveries), batch.addresses) == (4, 4, ("ops@example.org",))
    assert take(database, counts={one: 1}) == [], "one connection to the relay for each target"
    settle(database, batch, OK)
    note(database, "job.missed", 30)
    (batch,) = take(database)
    assert (batch.single, len(batch.deliveries)) == (5, 30), "five, and one that tells of the other 25"
    settle(database, batch, OK)
    note(database, "job.missed", 2)
    assert take(database) == []
    later(database, 61)
    (batch,) = take(database)
    assert (batch.single, len(batch.deliveries)) == (2, 2)


def test_a_test_is_of_its_own(database: Database, target: Make) -> None:
    one = target(enabled=False)
    note(database, "job.missed")
    with database.transaction() as tx:
        batch = deliveries.make_test(tx, one, {"asked_by": "ann"})
        with pytest.raises(NotFoundError):
            deliveries.make_test(tx, one + 1000, {})
    assert [delivery.notice.type for delivery in batch.deliveries] == ["test"]
    assert settle(database, batch, BAD) == []
    with database.transaction() as tx:
        assert notifications.get(tx, one).failures == 0
        assert deliveries.list_page(tx, one, 10)[0].status == "failed"


def test_secrets_in_rotation(database: Database, target: Make) -> None:
    one = target()
    with database.transaction() as tx:
        first = deliveries.make_test(tx, one, {}).secrets
        row, value = notifications.rotate(tx, one, 3600.0)
        both = deliveries.make_test(tx, one, {})
    assert len(first) == 1
    assert both.secrets == (value, *first)
    assert value not in repr(both)
    assert row.old_secret_ends is not None
    later(database, 3601)
    with database.transaction() as tx:
        assert deliveries.make_test(tx, one, {}).secrets == (value,)
        with pytest.raises(ConflictError):
            notifications.rotate(tx, notifications.create(tx, _mail(), "ann")[0].id, 0.0)


def _mail() -> dict[str, Any]:
    return {
        "name": "mail", "kind": "email", "url": None, "addresses": ["a@b.org"], "events": ["*"], "job_ids": [], "tags": [], "enabled": True,
    }  # fmt: skip


def test_who_is_online_is_told_by_the_hub_that_has_them(database: Database, target: Make) -> None:
    one, here, there = target("agent.*"), uuid4(), uuid4()
    with database.transaction() as tx:
        first, second = (agents.create(tx, name).id for name in ("a", "b"))
        passing = agents.create(tx, "send", temporary=True, created_by="ann").id

    def do(what: Callable[[Transaction, UUID, list[int]], None], hub: UUID, *ids: int) -> list[tuple[str, str]]:
        before = len(told(database, one))
        with database.transaction() as tx:
            what(tx, hub, list(ids))
        return [(event, data["agent"]["name"]) for event, data in told(database, one)[before:]]

    assert do(presence.came, here, first, second, passing) == [("agent.online", "a"), ("agent.online", "b")]
    assert do(presence.came, here, first) == [], "again is no news"
    assert do(presence.came, there, first) == [], "nor is a move to another hub"
    assert do(presence.went, here, first, second, passing) == [("agent.offline", "b")]
    assert do(presence.went, here, second) == []
    with database.transaction() as tx:
        assert (presence.known_online(tx, here), presence.known_online(tx, there)) == ([], [first])
    assert do(presence.went, there, first) == [("agent.offline", "a")]
