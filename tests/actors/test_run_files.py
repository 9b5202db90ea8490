"""A run's transfers in memory: how many at once, and what becomes of those that nobody answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fileflux.actors import messages as a
from fileflux.actors.run_files import SMALL_PER_LARGE, Files, Held
from fileflux.actors.run_listing import Plan
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import TransferStatus
from fileflux.jobs.transfer_state import State
from fileflux.protocol import messages as m
from fileflux.storage.delivered import Delivered
from fileflux.storage.transfers import TransferRow

pytestmark = pytest.mark.unit

SPEC = JobSpec("job", 1, "/in", 2, "/out", parallel=2)
ROW = TransferRow(
    1, 5, 9, b"f", "f", "file", 10, 0, 0o644, "pending", "", "", "a" * 32, None, 0, 0, 0, 0, 0, None, SPEC.chunk_size, 1, 0, None,
    datetime.now(UTC), None,
)  # fmt: skip


class Host:
    """Records what the files ask for; time stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.wire_ids = 0
        self.posted: list[a.PostItem] = []
        self.later: list[tuple[int, float]] = []
        self.bundling = False
        self.told: list[a.RelayMessage] = []
        self.saved: list[Delivered] = []
        self.cancelled: list[tuple[TransferRow, str]] = []

    def post(self, role: m.Role, message: a.PostItem) -> None:
        self.posted.append(message)

    def to_relay(self, message: a.RelayMessage) -> None:
        self.told.append(message)

    def may_bundle(self) -> bool:
        return self.bundling

    def open_bundle(self) -> int:
        self.wire_ids += 1
        return self.wire_ids

    def save_bundle(self, ended: tuple[Delivered, ...]) -> None:
        self.saved.extend(ended)

    def cancel_row(self, row: TransferRow, reason: str) -> None:
        self.cancelled.append((row, reason))

    def save(self, held: Held, *, confirm: bool, terminal: bool) -> None: ...

    def begin_later(self, row_id: int, delay_s: float) -> None:
        self.later.append((row_id, delay_s))

    def open_attempt(self, held: Held) -> int:
        self.wire_ids += 1
        return self.wire_ids

    def ended(self, held: Held, *, part_left: bool) -> None: ...

    def now(self) -> float:
        return self.time


def files(*rows: TransferRow, bundling: bool = False, adopted: bool = False) -> tuple[Files, Host]:
    host = Host()
    host.bundling = bundling
    made = Files(SPEC, 9, 5, host)
    made.plan = Plan("/in", "directory")
    made.add(rows, adopted=adopted)
    made.dispatch()
    return made, host


def test_small_files_move_in_the_place_of_large_ones() -> None:
    small = tuple(replace(ROW, id=number) for number in range(1, 100))
    made, _ = files(*small)
    assert len(made.held) == SPEC.parallel * SMALL_PER_LARGE
    large = tuple(replace(ROW, id=number, size=10 * SPEC.chunk_size) for number in range(1, 100))
    made, _ = files(*large)
    assert len(made.held) == SPEC.parallel


def test_a_request_that_nobody_answers_is_made_again() -> None:
    made, host = files(ROW)
    host.time += 100
    made.give_up_silent(120)
    assert made.held[1].machine.state is State.OPENING_SOURCE
    host.time += 21
    made.give_up_silent(120)
    held = made.held[1]
    assert held.machine.state is State.IDLE
    assert held.machine.status is TransferStatus.WAITING
    assert "did not answer" in held.machine.reason
    assert host.later == [(1, 10.0)]
    assert host.posted[-1].message is m.CancelTransfer


def test_the_time_of_an_absent_agent_does_not_count() -> None:
    made, host = files(ROW)
    host.time += 1000
    made.agents_back()
    made.give_up_silent(120)
    assert made.held[1].machine.state is State.OPENING_SOURCE


def test_what_moves_is_not_judged_by_time() -> None:
    made, host = files(ROW)
    receipt = type("Receipt", (), {"done": lambda self: None})()
    for item in (
        m.TransferAcceptItem(1, "source", size=10, identity="x"),
        m.TransferAcceptItem(1, "destination", state="new", final_path="/out/f"),
    ):
        made.said(a.TransferSaid(1, 1, item.role, item, receipt))
    made.started(a.RouteStarted(1, 1))
    host.time += 10_000
    made.give_up_silent(120)
    assert made.held[1].machine.state is State.MOVING


def test_paused_files_hold_no_room_and_begin_again() -> None:
    rows = tuple(replace(ROW, id=number, size=10 * SPEC.chunk_size) for number in range(1, 5))
    made, host = files(*rows)
    begun = set(made.held)
    made.pause("paused by eve")
    assert {one.machine.state for one in made.held.values()} == {State.IDLE}
    assert {one.machine.reason for one in made.held.values()} == {"paused by eve"}
    assert host.later == [(number, 0) for number in sorted(begun)]
    for number in begun:
        made.retry_due(number)
    made.explain("waits for its turn")
    assert {one.machine.reason for one in made.held.values()} == {"waits for its turn"}
    made.dispatch()
    assert set(made.held) == begun, "first those that were begun"
    assert {one.machine.state for one in made.held.values()} == {State.OPENING_SOURCE}
    assert host.wire_ids == 4


def test_a_file_that_is_cancelled_while_it_is_committed_ends_if_that_was_in_vain() -> None:
    made, _ = files(ROW)
    held = made.held[1]
    held.machine.state = State.COMMITTING
    assert made.cancel(ROW, "cancelled by eve") is None
    assert held.machine.state is State.COMMITTING
    made.each(lambda machine: machine.session_lost("destination"))
    made.retry_due(1)
    made.dispatch()
    assert (held.machine.status, held.machine.reason) == (TransferStatus.CANCELLED, "cancelled by eve")


def test_a_file_that_waits_for_its_turn_leaves_the_queue() -> None:
    rows = tuple(replace(ROW, id=number, size=10 * SPEC.chunk_size) for number in range(1, 5))
    made, _ = files(*rows)
    assert made.cancel(rows[3], "cancelled by eve") == rows[3]
    assert [entry.row.id for entry in made.queue] == [3]
    assert made.cancel(ROW, "cancelled by eve") is None
    assert made.held[1].machine.state is State.ENDED
