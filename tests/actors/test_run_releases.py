"""Source files are taken away once it is stored that they have arrived, and again whoever died. Real database, played agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fileflux.actors import messages as a
from fileflux.actors.run_abilities import lacking
from fileflux.actors.run_agents import Agents
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.storage import jobs, releases, run_names, runs, transfers
from fileflux.storage.directories import NewDirectory
from fileflux.storage.pool import Database
from fileflux.storage.releases import Released
from fileflux.storage.transfers import NewTransfer, TransferUpdate
from tests.actors.test_run_asked import PLAN, Stage, until

RECEIPT: Any = type("Receipt", (), {"done": lambda self: None})()


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    made = Stage(database)
    for port in made.ports.values():
        port.features = m.FEATURES  # type: ignore[attr-defined]  # a played port has what a test gives it
    with database.transaction() as tx:
        spec = replace(JobSpec.from_json(made.job.spec), on_success="archive", archive_path="done", name="takes away")
        made.job = jobs.create(tx, spec, "eve")
    yield made
    made.root.stop(5)


def left_due(stage: Stage, *names: str) -> int:
    """A run as a hub that was killed left it: everything has arrived and nothing was taken away."""
    run_id = stage.run(*((name, "pending", 0) for name in names), status="transferring")
    with stage.database.transaction() as tx:
        rows = transfers.pending_after(tx, run_id, 0, 100)
        done = [
            TransferUpdate(row.id, "completed", attempt=1, source_identity=f"i-{row.filename}", release="due")
            for row in rows
        ]
        transfers.update_many(tx, run_id, 0, done)
    return run_id


def asked(stage: Stage, count: int) -> m.TransferRelease:
    requests = until(lambda: len(found := stage.source.requests(m.TransferRelease)) >= count and found)
    request: m.TransferRelease = requests[count - 1]
    return request


def answer(stage: Stage, run: Any, request: m.TransferRelease, **problems: str) -> None:
    items = tuple(
        m.TransferReleasedItem(item.transfer_id, "io" if item.name in problems else "ok", problems.get(item.name, ""))
        for item in request.items
    )
    run.ref.tell_control(a.Answered(stage.source.agent_id, m.TransferReleased(items, request.request_id), RECEIPT))


def finish_directories(stage: Stage, run: Any) -> None:
    (request,) = until(lambda: stage.destination.requests(m.DirApply))
    run.ref.tell_control(a.Answered(stage.destination.agent_id, m.DirApplied(request.request_id), RECEIPT))


def test_what_was_due_when_the_hub_died_is_asked_again_and_the_run_ends_behind_it(stage: Stage) -> None:
    run_id = left_due(stage, "a", "d/b")
    run = stage.start(run_id)
    request = asked(stage, 1)
    assert [(item.name, item.identity, item.on_success) for item in request.items] == [
        ("a", "i-a", "archive"),
        ("d/b", "i-d/b", "archive"),
    ]
    assert (request.path, request.archive, request.again) == ("/in", "done", True)
    assert stage.destination.requests(m.DirApply) == [], "the run does not end before"
    answer(stage, run, request, a="no room")
    finish_directories(stage, run)
    until(lambda: stage.row(run_id).status == "partial")
    assert stage.row(run_id).reason == "1 source file could not be archived"
    found = stage.files(run_id)
    assert {name: (row.status, row.release, row.reason) for name, row in found.items()} == {
        "a": ("completed", "failed", "the source's file was not archived: no room"),
        "d/b": ("completed", "done", ""),
    }


def test_an_agent_that_forgot_is_asked_again(stage: Stage) -> None:
    run_id = left_due(stage, "a")
    run = stage.start(run_id)
    first = asked(stage, 1)
    source: Any = stage.source
    run.ref.tell_control(a.AgentDown(source.agent_id, "gone", lost=True))
    run.ref.tell_control(a.AgentUp(source.agent_id, source, resumed=False))
    second = asked(stage, 2)
    assert first.request_id != second.request_id
    answer(stage, run, first, a="of an earlier session")
    answer(stage, run, second)
    finish_directories(stage, run)
    until(lambda: stage.row(run_id).status == "succeeded")


def test_a_run_that_is_cancelled_while_its_source_is_away_says_what_stays(stage: Stage) -> None:
    run_id = left_due(stage, "a")
    stage.ask(run_id, "cancel")
    del stage.ports[stage.source.agent_id]
    stage.start(run_id)
    until(lambda: stage.row(run_id).status == "cancelled")
    row = stage.files(run_id)["a"]
    assert (row.status, row.release) == ("completed", "failed")
    assert row.reason == "the source's file was not archived: cancelled by eve"


def test_a_cancelled_run_takes_away_what_has_arrived(stage: Stage) -> None:
    run_id = left_due(stage, "a")
    stage.ask(run_id, "cancel")
    run = stage.start(run_id)
    answer(stage, run, asked(stage, 1))
    until(lambda: stage.row(run_id).status == "cancelled")
    assert stage.files(run_id)["a"].release == "done"


def test_an_agent_that_does_not_answer_holds_no_run_up(stage: Stage) -> None:
    stage.limits = replace(stage.limits, request_timeout=0.05)
    run_id = left_due(stage, "a")
    run = stage.start(run_id)
    assert asked(stage, 3)
    finish_directories(stage, run)
    until(lambda: stage.row(run_id).status == "partial")
    assert "did not answer" in stage.files(run_id)["a"].reason


def test_an_agent_that_is_too_old_ends_the_run_before_anything_moves(stage: Stage) -> None:
    stage.source.features = ("browse",)  # type: ignore[attr-defined]  # a played port has what a test gives it
    run_id = stage.run(("a", "pending", 0), status="transferring")
    stage.start(run_id)
    until(lambda: stage.row(run_id).status == "failed")
    assert stage.row(run_id).reason == "agent agent-1 is too old for on_success: archive: update it"
    assert stage.requested() == []


@pytest.mark.parametrize(
    ("field", "value", "roles"),
    [
        ("on_success", "delete", {"source"}),
        ("symlinks", "follow", {"source"}),
        ("symlinks", "copy", {"source", "destination"}),
        ("min_age_s", 5.0, {"source"}),
        ("keep_versions", 2, {"destination"}),
        ("names", "encode", set()),
    ],
)
def test_who_needs_to_be_new_enough(stage: Stage, field: str, value: Any, roles: set[str]) -> None:
    spec = replace(JobSpec("job", 1, "/in", 2, "/out"), **{field: value})
    told = set()
    for old in (1, 2):
        known = Agents(spec)
        for port in stage.ports.values():
            port.features = () if port.agent_id == old else m.FEATURES  # type: ignore[attr-defined]  # as above
            one: Any = port
            known.up(a.AgentUp(port.agent_id, one, resumed=False))
        if lacking(spec, known):
            told.add({1: "source", 2: "destination"}[old])
    assert told == roles


def test_only_the_holder_of_the_lease_settles(stage: Stage) -> None:
    run_id = left_due(stage, "a", "b")
    with stage.database.transaction() as tx:
        first, second = releases.due(tx, run_id, 10)
        assert not releases.settle(tx, run_id, 99, [Released(first.id)])
        assert not releases.give_up(tx, run_id, 99, "no")
        assert releases.settle(tx, run_id, 0, [Released(first.id)])
        assert releases.settle(tx, run_id, 0, [Released(first.id, "late"), Released(second.id, "no")])
        assert releases.due(tx, run_id, 10) == []
        assert transfers.sums(tx, run_id).unreleased == 1
    assert {row.release for row in stage.files(run_id).values()} == {"done", "failed"}


def test_names_that_fall_together_are_told_apart_in_the_store(stage: Stage) -> None:
    def new(name: str, status: str = "pending") -> NewTransfer:
        return NewTransfer(name.encode(), 1, 5, 0o600, 2**18, status=status)

    with stage.database.transaction() as tx:
        run_id = runs.create(tx, stage.job, "eve").id
        page = [new("A"), new("a"), new("skipped", "skipped"), new("b/c")]
        apart = run_names.apart(tx, run_id, page, [NewDirectory(b"b", 0, 0)], "windows", "reject")
        assert [(row.path, row.status, row.code) for row in apart] == [
            (b"A", "pending", ""),
            (b"a", "failed", "name_collision"),
            (b"skipped", "skipped", ""),
            (b"b/c", "pending", ""),
        ]
        assert "a would be the same file as A" in apart[1].reason
        later = run_names.apart(tx, run_id, [new("B"), new("SKIPPED"), new("xy:")], [], "windows", "encode")
        assert [row.status for row in later] == ["failed", "pending", "pending"]
        assert run_names.apart(tx, run_id, page, [], "posix", "reject") == page


def test_a_name_that_was_wrong_is_not_tried_again(stage: Stage) -> None:
    old = stage.run(("a", "failed", 0), ("b", "failed", 1), status="partial")
    with stage.database.transaction() as tx:
        tx.execute(
            "UPDATE transfers SET code = 'name_collision', reason = 'as A' WHERE run_id = %s AND path = 'a'", (old,)
        )
        tx.execute('UPDATE runs SET plan = plan || \'{"system": "windows"}\' WHERE id = %s', (old,))
        wrong = transfers.get_many(tx, [row.id for row in transfers.unfinished_after(tx, old, 0, 10)])[0]
        assert transfers.revive(tx, old, 0, wrong.id) is None
        retry = runs.create_retry(tx, old, "eve")
    assert retry.plan is not None
    assert retry.plan["system"] == "windows"
    assert {name: retry.plan[name] for name in ("base", "path_type")} == {
        name: PLAN[name] for name in ("base", "path_type")
    }
    run = stage.start(retry.id)
    until(lambda: stage.requested() == ["b"])
    row = stage.files(retry.id)["a"]
    assert (row.status, row.code, row.reason) == ("failed", "name_collision", "as A")
    run.stop_self()
