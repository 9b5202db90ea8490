"""A run does what people asked of it, whatever of that it only finds in its rows when it starts. Real database and persistence, played agents."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from fileflux.actors import messages as a
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.persistence import Persistence
from fileflux.actors.run import Run, RunDeps
from fileflux.actors.sweeper import Sweeper
from fileflux.bus.bus import Bus
from fileflux.clock import SystemClock
from fileflux.errors import ConflictError
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from fileflux.storage import agents, directories, jobs, runs, transfers
from fileflux.storage.directories import NewDirectory
from fileflux.storage.pool import Database
from fileflux.storage.transfers import NewTransfer, TransferRow, TransferUpdate

PLAN = {"base": "L2lu", "path_type": "directory", "errors": 0}


class Port:
    """What is said to an agent."""

    features: tuple[str, ...] = ()

    def __init__(self, agent_id: int) -> None:
        self.agent_id = agent_id
        self.agent_name = f"agent-{agent_id}"
        self.posted: list[Any] = []

    def post(self, message: Any) -> None:
        self.posted.append(message)

    def items(self, kind: type[m.Message]) -> list[Any]:
        return [one.item for one in self.posted if isinstance(one, a.PostItem) and one.message is kind]

    def requests(self, kind: type[m.Message]) -> list[Any]:
        return [one.message for one in self.posted if isinstance(one, a.Post) and isinstance(one.message, kind)]


class Connections(Actor[Any]):
    """Tells whoever watches which agents are there."""

    def __init__(self, ports: dict[int, Port]) -> None:
        super().__init__()
        self._ports = ports

    def receive(self, message: Any) -> None:
        if isinstance(message, a.Watch):
            for agent_id in message.agent_ids:
                port: Any = self._ports.get(agent_id)
                up = a.AgentUp(agent_id, port, resumed=False)
                down = a.AgentDown(agent_id, "not connected", lost=True)
                message.watcher.tell_control(up if port else down)


class Silent(Actor[Any]):
    """In the place of the relay: nothing moves here."""

    def receive(self, message: Any) -> None: ...


class Stage:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.limits = Limits(parts_sweep_interval=0.05)
        self.root = Supervisor("root", "one_for_one")
        self.root.start()
        with database.transaction() as tx:
            source, destination = agents.create(tx, "source"), agents.create(tx, "destination")
            spec = JobSpec("job", source.id, "/in", destination.id, "/out", chunk_size=2**18, parallel=1)
            self.job = jobs.create(tx, spec, "eve")
        self.source, self.destination = Port(source.id), Port(destination.id)
        self.ports = {port.agent_id: port for port in (self.source, self.destination)}
        self.persistence = self.root.start_child(
            ChildSpec("persistence", lambda: Persistence(database, Bus(), self.limits))
        )
        self.hub = self.root.start_child(ChildSpec("connections", lambda: Connections(self.ports)))
        self.relay = self.root.start_child(ChildSpec("relay", Silent))
        self.live: dict[int, Run] = {}
        self._ids = itertools.count(1)

    def run(self, *files: tuple[str, str, int], **changes: Any) -> int:
        """A run as a hub that was killed left it: (name, status, attempt) of each file, and columns of the run."""
        with self.database.transaction() as tx:
            row = runs.create(tx, self.job, "eve")
            new = [NewTransfer(name.encode(), 2**20, 5, 0o600, 2**18) for name, _, _ in files]
            made = transfers.insert_many(tx, row.id, new) if new else []
            updates = [
                TransferUpdate(one.id, status, attempt=attempt)
                for one, (_, status, attempt) in zip(made, files, strict=True)
            ]
            transfers.update_many(tx, row.id, 0, updates)
            runs.update(tx, row.id, 0, **({"plan": PLAN, "planned": True} | changes))
        return row.id

    def start(self, run_id: int) -> Run:
        """A hub takes the run over."""
        with self.database.transaction() as tx:
            row = runs.claim_one(tx, run_id, uuid.uuid4(), 0.001) or runs.get(tx, run_id)
        hub: Any = self.hub
        deps = RunDeps(hub, self.relay, self.persistence, None, self.live, self._ids, self.limits, SystemClock())
        self.root.start_child(ChildSpec(f"run-{next(self._ids)}", lambda: Run(row, deps, adopted=True), "temporary"))
        return self.live[run_id]

    def ask(self, run_id: int, wanted: str | None) -> None:
        with self.database.transaction() as tx:
            runs.ask(tx, run_id, wanted, "eve")

    def row(self, run_id: int) -> runs.RunRow:
        with self.database.transaction() as tx:
            row = runs.get(tx, run_id)
        assert row is not None
        return row

    def files(self, run_id: int) -> dict[str, TransferRow]:
        with self.database.transaction() as tx:
            rows = tx.all("SELECT id FROM transfers WHERE run_id = %s ORDER BY id", (run_id,))
            return {row.filename: row for row in transfers.get_many(tx, [row_id for (row_id,) in rows])}

    def requested(self) -> list[str]:
        return [item.name for item in self.source.items(m.TransferRequest)]


def until(condition: Callable[[], Any], what: str = "") -> Any:
    with gevent.Timeout(10, AssertionError(f"did not happen: {what}")):
        while not (value := condition()):
            gevent.sleep(0.005)
        return value


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    made = Stage(database)
    yield made
    made.root.stop(5)


def test_a_pause_that_the_hub_did_not_live_to_carry_out(stage: Stage) -> None:
    run_id = stage.run(("a", "transferring", 1), status="transferring")
    stage.ask(run_id, "pause")
    run = stage.start(run_id)
    until(lambda: stage.row(run_id).status == "paused")
    assert stage.row(run_id).reason == "paused by eve"
    assert run.live().status == "paused"
    assert stage.requested() == []
    stage.ask(run_id, None)
    run.ref.tell_control(a.LookAgain())
    until(lambda: stage.requested() == ["a"])
    until(lambda: stage.row(run_id).status == "transferring")


def test_a_resume_that_the_hub_did_not_live_to_carry_out(stage: Stage) -> None:
    run_id = stage.run(("a", "waiting", 1), status="paused", reason="paused by adam")
    stage.start(run_id)
    until(lambda: stage.requested() == ["a"])
    until(lambda: stage.row(run_id).status == "transferring")


def test_a_paused_run_takes_back_what_moves(stage: Stage) -> None:
    run_id = stage.run(("a", "pending", 0), ("b", "pending", 0))
    run = stage.start(run_id)
    until(lambda: stage.requested() == ["a"])
    stage.ask(run_id, "pause")
    assert run.ref.ask(a.LookAgain, 5)
    (taken,) = stage.source.items(m.CancelTransfer)
    assert (taken.reason, taken.discard) == ("paused", False)
    until(lambda: stage.files(run_id)["a"].reason == "paused by eve")
    assert stage.files(run_id)["b"].status == "pending"
    # Agents that go and come change nothing.
    destination: Any = stage.destination
    run.ref.tell_control(a.AgentDown(stage.destination.agent_id, "gone", lost=True))
    run.ref.tell_control(a.AgentUp(stage.destination.agent_id, destination, resumed=False))
    stage.ask(run_id, "cancel")
    assert run.ref.ask(a.LookAgain, 5)
    until(lambda: stage.row(run_id).status == "cancelled")
    assert stage.requested() == ["a"]
    assert {row.status for row in stage.files(run_id).values()} == {"cancelled"}


def test_a_cancel_that_the_hub_did_not_live_to_carry_out_leaves_no_parts(stage: Stage) -> None:
    run_id = stage.run(
        ("deep/a", "transferring", 1), ("b", "pending", 0), ("done", "completed", 1), status="paused", reason="x"
    )
    stage.ask(run_id, "cancel")
    stage.start(run_id)
    until(lambda: stage.row(run_id).status == "cancelled")
    found = stage.files(run_id)
    assert {name: row.status for name, row in found.items()} == {
        "deep/a": "cancelled",
        "b": "cancelled",
        "done": "completed",
    }
    # Of b no attempt is noted, but the hub that died need not have had the time to.
    assert {(item.directory, item.part) for item in stage.destination.items(m.DiscardPart)} == {
        ("/out/deep", found["deep/a"].part),
        ("/out", found["b"].part),
    }
    assert stage.row(run_id).reason == "cancelled by eve"


def test_one_transfer_is_cancelled_by_its_row(stage: Stage) -> None:
    run_id = stage.run(("a", "pending", 0), ("b", "pending", 0))
    with stage.database.transaction() as tx:
        transfers.ask_to_cancel(tx, stage.files(run_id)["a"].id, "eve")
    stage.start(run_id)
    until(lambda: stage.requested() == ["b"])
    until(lambda: stage.files(run_id)["a"].status == "cancelled")
    assert stage.files(run_id)["a"].reason == "cancelled by eve"


@pytest.mark.parametrize("name", ["a", "b", "far"])
def test_one_transfer_is_cancelled_and_taken_up_again(stage: Stage, name: str) -> None:
    """One that moves, one that waits for its turn, one that is not even in memory."""
    many = [(f"{number:04}", "pending", 0) for number in range(600)]
    run_id = stage.run(("a", "pending", 0), ("b", "pending", 0), *many, ("far", "pending", 0))
    run = stage.start(run_id)
    until(lambda: stage.requested() == ["a"])
    row = stage.files(run_id)[name]
    run.ref.tell_control(a.CancelOne(row, "eve"))
    until(lambda: stage.files(run_id)[name].status == "cancelled")
    assert run.ref.ask(lambda reply: a.ReviveOne(row.id, "eve", reply), 5)
    until(lambda: stage.files(run_id)[name].status in ("pending", "transferring"))
    with pytest.raises(ConflictError, match="has not failed"):
        run.ref.ask(lambda reply: a.ReviveOne(row.id, "eve", reply), 5)
    stage.ask(run_id, "cancel")
    assert run.ref.ask(a.LookAgain, 5)
    until(lambda: stage.row(run_id).status == "cancelled")
    assert {row.status for row in stage.files(run_id).values()} == {"cancelled"}, "none was lost, none is twice"
    assert sum(1 for row in stage.files(run_id).values()) == 603


def test_a_run_that_has_only_directories_left_takes_nothing_up_again(stage: Stage) -> None:
    run_id = stage.run(("a", "failed", 1), ("b", "completed", 1))
    run = stage.start(run_id)
    until(lambda: stage.row(run_id).status == "verifying")
    with pytest.raises(ConflictError, match="is ending"):
        run.ref.ask(lambda reply: a.ReviveOne(stage.files(run_id)["a"].id, "eve", reply), 5)


def test_a_pause_drops_the_listing_and_a_resume_begins_it_again(stage: Stage) -> None:
    run_id = stage.run(plan=None, planned=False)
    run = stage.start(run_id)
    (first,) = until(lambda: stage.source.requests(m.ListRequest))
    stage.ask(run_id, "pause")
    assert run.ref.ask(a.LookAgain, 5)
    (dropped,) = stage.source.requests(m.ListCancel)
    assert dropped.request_id == first.request_id
    late = m.ListResult(first.request_id, 0, True, "/in", "directory", (), ())
    receipt = type("Receipt", (), {"done": lambda self: None})()
    run.ref.tell_control(a.Answered(1, late, receipt))
    stage.ask(run_id, None)
    assert run.ref.ask(a.LookAgain, 5)
    _, second = until(lambda: len(stage.source.requests(m.ListRequest)) == 2 and stage.source.requests(m.ListRequest))
    assert (second.page, second.request_id != first.request_id) == (0, True)
    assert not stage.row(run_id).planned


def test_a_pause_waits_with_the_directories_too(stage: Stage) -> None:
    run_id = stage.run(("b", "completed", 1))
    run = stage.start(run_id)
    (first,) = until(lambda: stage.destination.requests(m.DirApply))
    stage.ask(run_id, "pause")
    assert run.ref.ask(a.LookAgain, 5)
    run.ref.tell_control(a.AgentDown(stage.destination.agent_id, "gone", lost=True))
    destination: Any = stage.destination
    run.ref.tell_control(a.AgentUp(stage.destination.agent_id, destination, resumed=False))
    stage.ask(run_id, None)
    assert run.ref.ask(a.LookAgain, 5)
    _, second = until(
        lambda: len(stage.destination.requests(m.DirApply)) == 2 and stage.destination.requests(m.DirApply)
    )
    assert first.request_id != second.request_id


def ended(stage: Stage, *files: tuple[str, str, int], **changes: Any) -> int:
    run_id = stage.run(*files)
    with stage.database.transaction() as tx:
        directories.insert_many(tx, run_id, [NewDirectory(b"deep", 0o700, 5), NewDirectory(b"other", 0o700, 5)])
        directories.mark_done(tx, run_id, [b"deep", b"other"])
        assert runs.update(tx, run_id, 0, status="partial", **changes)
    return run_id


def test_a_retry_has_the_rows_of_the_run_before_and_asks_for_no_listing(stage: Stage) -> None:
    old = ended(stage, ("a", "completed", 1), ("deep/b", "failed", 3), ("c", "skipped", 1), ("d", "cancelled", 0))
    with stage.database.transaction() as tx:
        made = runs.create_retry(tx, old, "eve").id
    for _ in range(2):  # the hub is killed once; what it stored is not stored twice
        with stage.database.transaction() as tx:
            tx.execute("UPDATE runs SET planned = false WHERE id = %s", (made,))
        run = stage.start(made)
        until(lambda: stage.row(made).planned)
        run.stop_self()
        run.ref.tell_control(a.LookAgain())
        until(lambda: made not in stage.live)
    before, after = stage.files(old), stage.files(made)
    assert list(after) == ["deep/b", "d"]
    assert [(row.size, row.mtime_ns, row.mode, row.attempt) for row in after.values()] == [(2**20, 5, 0o600, 0)] * 2
    assert {row.part for row in before.values()}.isdisjoint(row.part for row in after.values())
    assert stage.requested()[:1] == ["deep/b"]
    assert stage.source.requests(m.ListRequest) == []
    with stage.database.transaction() as tx:
        assert [row.path for row in directories.pending(tx, made, 10)] == [b"deep"]


def test_what_could_not_be_listed_is_not_forgotten(stage: Stage) -> None:
    run_id = stage.run(("a", "completed", 1))
    with stage.database.transaction() as tx:
        runs.update(tx, run_id, 0, plan=PLAN | {"errors": 2})
    run = stage.start(run_id)
    (request,) = until(lambda: stage.destination.requests(m.DirApply))
    receipt = type("Receipt", (), {"done": lambda self: None})()
    run.ref.tell_control(a.Answered(2, m.DirApplied(request.request_id, ()), receipt))
    until(lambda: stage.row(run_id).status == "partial")
    assert stage.row(run_id).reason == "2 paths could not be listed"


def test_parts_at_a_destination_that_was_away_are_swept_when_it_is_back(stage: Stage) -> None:
    names = [f"{number:04}" for number in range(3)]
    run_id = stage.run(*((name, "transferring", 1) for name in names), ("new", "pending", 0))
    stage.ask(run_id, "cancel")
    del stage.ports[stage.destination.agent_id]
    stage.start(run_id)
    until(lambda: stage.row(run_id).status == "cancelled")
    hub: Any = stage.hub
    sweeper = stage.root.start_child(ChildSpec("sweeper", lambda: Sweeper(hub, stage.persistence, stage.limits)))

    def left() -> bool:
        with stage.database.transaction() as tx:
            return bool(tx.one("SELECT parts_left FROM runs WHERE id = %s", (run_id,))[0])  # type: ignore[index]  # a row

    assert left()
    gevent.sleep(0.1)
    assert left(), "nobody is there to be told"
    destination: Any = stage.destination
    sweeper.tell_control(a.AgentUp(stage.destination.agent_id, destination, resumed=False))
    until(lambda: not left())
    found = stage.files(run_id)
    assert {(item.directory, item.part) for item in stage.destination.items(m.DiscardPart)} == {
        ("/out", row.part) for row in found.values()
    }


class Receipt:
    def done(self) -> None:
        """Nobody waits for it."""


def test_a_cancel_leaves_a_bundle_that_is_committed_to_its_end(stage: Stage) -> None:
    """Its rows are still open in the database, and are read once more: they end once, as what they are."""
    run_id = stage.run(("a", "pending", 0), ("b", "pending", 0), ("c", "pending", 0))
    with stage.database.transaction() as tx:
        tx.execute("UPDATE transfers SET size = 10 WHERE run_id = %s AND filename <> 'c'", (run_id,))
    for port in stage.ports.values():
        port.features = ("bundles",)
    run = stage.start(run_id)
    (asked,) = until(lambda: stage.destination.items(m.BundleRequest))
    wire = asked.transfer_id

    def say(role: m.Role, item: Any) -> None:
        run.ref.tell(a.TransferSaid(-wire, wire, role, item, Receipt()))

    say("destination", m.BundleAcceptItem(wire, "destination", "/out/", ("new", "new")))
    say("source", m.TransferCompleteItem(wire, 20, "a" * 64, "a" * 64, role="source"))
    run.ref.tell(a.RouteMoved(-wire, wire, 1, 20, 77, 0, 0, True))
    until(lambda: stage.destination.items(m.TransferCommit))
    stage.ask(run_id, "cancel")
    assert run.ref.ask(a.LookAgain, 5)
    until(lambda: stage.files(run_id)["c"].status == "cancelled")
    say("destination", m.BundleCompleteItem(wire, "destination", ("b" * 64,) * 2))
    until(lambda: stage.row(run_id).status == "cancelled")
    assert {name: row.status for name, row in stage.files(run_id).items()} == {
        "a": "completed",
        "b": "completed",
        "c": "cancelled",
    }
    assert stage.row(run_id).files_done == 2
