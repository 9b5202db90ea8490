"""The live feed: one ring, listeners as places in it, changes gathered for a tick."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from fileflux.actors import events as feed_module
from fileflux.actors import feed_ring
from fileflux.actors.events import BACKLOG, IDLE_S, PER_TICK, Feed, Kind, Shown
from fileflux.actors.feed_ring import Listener
from fileflux.actors.messages import LiveProgress, LiveTransfer
from fileflux.bus import events as e
from fileflux.bus.bus import Bus
from fileflux.clock import FakeClock
from fileflux.errors import UnavailableError

pytestmark = pytest.mark.unit

STILL = LiveTransfer("transferring", "", 0, 0, 0, 0)
PROGRESS = LiveProgress("transferring", "", 2, 0, 0, 0, 100, 0, 0, 0, {11: STILL, 12: STILL})


@dataclass
class Stage:
    """View and LiveRuns, scripted: a transfer's run is its id divided by ten."""

    progress_of: dict[int, LiveProgress] = field(default_factory=dict)
    asked: list[tuple[Kind, tuple[int, ...]]] = field(default_factory=list)
    away: bool = False

    def show(self, kind: Kind, ids: Sequence[int]) -> list[Shown]:
        if self.away:
            raise UnavailableError("no database")
        self.asked.append((kind, tuple(ids)))
        runs = {"run": lambda row: row, "transfer": lambda row: row // 10}
        return [Shown(runs[kind](row) if kind in runs else None, json.dumps({"id": row})) for row in ids]

    def ids(self) -> list[int]:
        return list(self.progress_of)

    def progress(self, run_id: int) -> LiveProgress | None:
        return self.progress_of.get(run_id)


@dataclass
class Hub:
    bus: Bus
    stage: Stage
    clock: FakeClock
    feed: Feed

    def tick(self, *happened: e.Event, seconds: float = 0.25) -> None:
        for event in happened:
            self.bus.publish(event)
        self.clock.advance(seconds)
        self.feed.tick()


@pytest.fixture
def hub() -> Hub:
    bus, stage, clock = Bus(), Stage(), FakeClock()
    feed = Feed(bus, stage, clock)
    feed.show_with(stage)
    return Hub(bus, stage, clock, feed)


def taken(listener: Listener) -> list[tuple[str, int]]:
    return [(event.type, json.loads(event.data).get("id")) for event in listener.take()]


def test_every_kind_of_change_is_told_once_and_the_end_of_a_run_after_its_files(hub: Hub) -> None:
    listener = hub.feed.listen()
    assert listener.take() == []
    hub.tick(
        e.RunChanged(1, "planning"),
        e.RunEnded(1, "succeeded"),
        e.TransferChanged(11, 1, "transferring"),
        e.TransferCompleted(11, 1),
        e.TransferFailed(12, 1, "io"),
        e.AgentOnline(3, "s", "websocket"),
        e.AgentChanged(3),
        e.JobChanged(7, 1, False),
        e.JobChanged(7, 2, True),
        e.AlertRaised(5, "refresh_reused", "…"),
    )
    events = listener.take()
    assert [(event.type, json.loads(event.data)) for event in events] == [
        ("agent", {"id": 3}),
        ("job", {"id": 7, "version": 2, "deleted": True}),
        ("alert", {"id": 5}),
        ("transfer", {"id": 12}),
        ("transfer", {"id": 11}),
        ("run", {"id": 1}),
    ]
    assert events[-1].id == listener.position
    # One look at the rows of a kind.
    assert [kind for kind, _ in hub.stage.asked] == ["agent", "alert", "transfer", "run"]
    hub.tick()
    assert listener.take() == []


def test_one_run_and_one_kind_can_be_picked_out(hub: Hub) -> None:
    one, shy = hub.feed.listen(run_id=1), hub.feed.listen()
    shy.types = frozenset({"agent"})
    hub.tick(
        e.RunChanged(1, "x"),
        e.RunChanged(2, "x"),
        e.TransferCompleted(11, 1),
        e.TransferCompleted(21, 2),
        e.AgentChanged(3),
    )
    assert taken(one) == [("transfer", 11), ("run", 1)]
    assert taken(shy) == [("agent", 3)]


def test_a_listener_resumes_where_it_was(hub: Hub) -> None:
    first = hub.feed.listen()
    hub.tick(e.RunChanged(1, "x"))
    (event,) = first.take()
    first.close()
    hub.tick(e.RunChanged(2, "x"))
    assert taken(hub.feed.listen(event.id)) == [("run", 2)]
    assert taken(hub.feed.listen(first.position)) == [("run", 2)]
    assert taken(hub.feed.listen()) == []


@pytest.mark.parametrize(
    "last_id",
    [
        "x",
        "-",
        "-1",
        "1",
        "00000000-0",
        "{boot}-9",
        "{boot}-",
        "{boot}--1",
        "{boot}-1e3",
        "{boot}-" + "9" * 400,
        "{boot}-1\ndata: x",
    ],
)
def test_what_is_no_place_of_this_feed_is_reset(hub: Hub, last_id: str) -> None:
    hub.feed.listen()
    hub.tick(e.RunChanged(1, "x"))
    listener = hub.feed.listen(last_id.format(boot=hub.feed.ring.boot))
    assert "\n" not in listener.position
    (event,) = listener.take()
    assert (event.type, event.id) == ("reset", f"{hub.feed.ring.boot}-1")
    hub.tick(e.RunChanged(2, "x"))
    assert taken(listener) == [("run", 2)]


@pytest.mark.parametrize(("name", "most"), [("RING_EVENTS", 5), ("RING_BYTES", 50)])
def test_who_falls_off_the_ring_is_reset_and_the_ring_stays_small(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(feed_ring, name, most)
    slow, quick = hub.feed.listen(), hub.feed.listen()
    for run_id in range(1, 10):
        hub.tick(e.RunChanged(run_id, "x"))
        assert taken(quick) == [("run", run_id)]
    assert [event.type for event in slow.take()] == ["reset"]
    assert slow.take() == []
    assert hub.feed.ring.last_seq - hub.feed.ring.first_seq < most


def test_much_is_taken_in_parts(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_ring, "TAKE_BYTES", 10)
    listener = hub.feed.listen()
    hub.tick(*[e.RunChanged(run_id, "x") for run_id in range(1, 5)])
    assert taken(listener) == [("run", 1), ("run", 2)]
    listener.wait(0)
    assert taken(listener) == [("run", 3), ("run", 4)]


def test_ten_thousand_small_files_do_not_flood(hub: Hub) -> None:
    listener = hub.feed.listen()
    hub.tick(
        *[e.TransferCompleted(number, 1) for number in range(10_000)],
        e.TransferFailed(20_000, 1, "io"),
        e.RunChanged(1, "x"),
    )
    told = taken(listener)
    assert len(told) == PER_TICK["transfer"] + 1
    assert told[0] == ("transfer", 20_000), "what failed comes first"
    assert told[-1] == ("run", 1), "the run is not held up by its files"
    for _ in range(100):
        hub.tick()
        told += taken(listener)
    assert {row for kind, row in told if kind == "transfer"} == {*range(10_000 - BACKLOG, 10_000), 20_000}, (
        "the newest are told"
    )


def test_what_moves_is_told_twice_a_second_at_most(hub: Hub) -> None:
    hub.stage.progress_of = {1: PROGRESS}
    listener = hub.feed.listen()
    hub.tick(seconds=0.5)
    assert listener.take() == [], "nothing has moved"
    told: list[list[tuple[str, int]]] = []
    for done in range(1, 9):
        moved = {**PROGRESS.transfers, 11: replace(STILL, bytes_done=done)}
        hub.stage.progress_of = {1: replace(PROGRESS, bytes_done=done, transfers=moved)}
        hub.tick(seconds=0.25)
        told.append(taken(listener))
    assert [bool(one) for one in told] == [False, True] * 4
    assert told[1] == [("transfer", 11), ("run", 1)]
    hub.stage.progress_of = {}
    hub.tick(seconds=0.5)
    assert listener.take() == []


def test_events_lost_on_the_bus_are_a_reset_for_all(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "BUS_QUEUE", 2)
    listener = hub.feed.listen(run_id=3)
    hub.tick(*[e.RunChanged(run_id, "x") for run_id in (1, 2, 3)])
    assert [event.type for event in listener.take()] == ["reset", "run"]


def test_more_changes_than_can_wait_are_a_reset_for_all(hub: Hub) -> None:
    listener = hub.feed.listen()
    hub.tick(*[e.JobChanged(job_id, 1, False) for job_id in range(1, BACKLOG + 3)], e.AgentChanged(3))
    assert taken(listener) == [("reset", None), ("agent", 3), ("job", BACKLOG + 2)]
    hub.tick(e.JobChanged(1, 2, False))
    assert taken(listener) == [("job", 1)]


def test_without_the_database_the_feed_waits_and_loses_nothing(hub: Hub) -> None:
    listener = hub.feed.listen()
    hub.stage.away = True
    with pytest.raises(UnavailableError):
        hub.tick(e.RunChanged(1, "x"), e.JobChanged(2, 1, False))
    assert taken(listener) == [("job", 2)]
    hub.stage.away = False
    hub.tick(e.RunChanged(2, "x"))
    assert taken(listener) == [("run", 1), ("run", 2)]


def test_without_listeners_the_feed_rests(hub: Hub) -> None:
    hub.tick(e.RunChanged(1, "x"))
    listener = hub.feed.listen()
    hub.tick(e.RunChanged(2, "x"))
    assert taken(listener) == [("run", 2)]
    listener.close()
    hub.tick(e.RunChanged(3, "x"), seconds=IDLE_S - 1)
    assert taken(hub.feed.listen(listener.position)) == [("run", 3)], "a page that is loaded anew"
    for left in tuple(hub.feed._listeners):
        left.close()
    hub.tick(seconds=IDLE_S)
    hub.stage.asked.clear()
    hub.tick(e.RunChanged(4, "x"))
    assert hub.stage.asked == [], "nothing is read for nobody"
    assert [event.type for event in hub.feed.listen(listener.position).take()] == ["reset"]


def test_the_end_of_the_hub_ends_every_listener(hub: Hub) -> None:
    hub.feed.start()
    listener = hub.feed.listen()
    hub.feed.end_listeners()
    assert listener.ended
    listener.wait(60)
    with pytest.raises(UnavailableError):
        hub.feed.listen()
    hub.feed.stop(5)
    hub.feed.start()
    hub.feed.listen().close()
    hub.feed.stop(5)


def test_a_listener_is_woken_by_news_and_by_its_end(hub: Hub) -> None:
    hub.feed.start()
    try:
        listener = hub.feed.listen()
        hub.bus.publish(e.RunChanged(1, "x"))
        listener.wait(60)
        assert taken(listener) == [("run", 1)]
        listener.close()
        listener.wait(60)
        assert listener.ended
    finally:
        hub.feed.stop(5)
