"""The watches of an agent on real files and the system's own events; the time that a file settles for is the test's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fileflux.clock import FakeClock
from fileflux.errors import FluxError, TransferError, WorkerDiedError
from fileflux.protocol import messages as m
from fileflux.protocol.limits import Limits
from flux_agent.transfer.tasks import agent_tasks
from flux_agent.watch import native
from flux_agent.watches import WATCHES_MAX, Watches

LIMITS = Limits(watch_events=0.25, watch_rescan=60.0, watch_poll=5.0)


class Workers:
    """One worker in this process. What is in ``fail`` fails once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fail: dict[str, FluxError] = {}
        self.renew()

    def renew(self) -> None:
        """As after the death of the process."""
        self.tasks = agent_tasks({"read": [str(self.folder)], "write": []}, None)

    def submit(self, key: str, task: str, args: dict[str, Any], done: Callable[..., None], beside: str = "") -> None:
        del key
        if task in self.fail:
            done(None, self.fail.pop(task))
            return
        try:
            done(self.tasks[task](args), None)
        except FluxError as error:
            done(None, error)

    def broadcast(self, task: str, args: dict[str, Any]) -> None:
        raise NotImplementedError


class Agent:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inside = folder / "in"
        self.inside.mkdir()
        self.clock = FakeClock()
        self.workers = Workers(folder)
        self.said: list[m.Message] = []
        self.room = True
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self.watches = Watches(self.workers, LIMITS, self.clock, self._later, self.said.append, lambda: self.room)

    def _later(self, seconds: float, turn: Callable[[], None]) -> None:
        self._timers.append((self.clock.monotonic() + seconds, turn))

    def watch(self, path: Path | None = None, settle_s: float = 60.0, **fields: Any) -> None:
        self.watches.set(m.WatchSet(7, str(path or self.inside), settle_s=settle_s, **fields))
        self.go(2.0)

    def go(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.clock.monotonic() + seconds
        while any(at <= end for at, _ in self._timers):
            timer = min(self._timers, key=lambda one: one[0])
            self._timers.remove(timer)
            self.clock.advance(max(0.0, timer[0] - self.clock.monotonic()))
            timer[1]()
        self.clock.advance(max(0.0, end - self.clock.monotonic()))

    def hear(self, seconds: float = 0.6) -> None:
        """Let the system's events come in, and the agent ask for them."""
        time.sleep(0.1)
        self.go(seconds)

    @property
    def ready(self) -> list[str]:
        """What was offered since the last look."""
        names = [entry.path for said in self.said if isinstance(said, m.WatchReady) for entry in said.entries]
        self.said[:] = [said for said in self.said if not isinstance(said, m.WatchReady)]
        return sorted(names)

    @property
    def state(self) -> tuple[str, str, str]:
        """The last one that it told."""
        states = [said for said in self.said if isinstance(said, m.WatchState)]
        return states[-1].status, states[-1].how, states[-1].reason


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def test_what_is_there_is_offered_and_then_what_comes(agent: Agent) -> None:
    (agent.inside / "old").write_text("x")
    agent.watch()
    assert agent.state == ("ok", "native", "")
    agent.go(60)
    assert agent.ready == ["old"]
    (agent.inside / "new").write_text("x")
    agent.hear()
    agent.go(58)
    assert agent.ready == []
    agent.go(3)
    assert agent.ready == ["new"]
    agent.go(200)
    assert agent.ready == []


def test_what_is_renamed_into_place_does_not_have_to_settle(agent: Agent) -> None:
    agent.watch(rules=m.ListRules(exclude=("*.tmp",)))
    written = agent.inside / "a.tmp"
    written.write_text("x" * 1000)
    time.sleep(0.02)
    os.rename(written, agent.inside / "a")
    (agent.inside / "b").write_text("x")
    agent.hear()
    agent.go(1.0)
    assert agent.ready == ["a"]


def test_a_file_that_goes_on_growing_is_not_ready(agent: Agent) -> None:
    agent.watch(settle_s=5.0)
    with (agent.inside / "slow").open("wb", buffering=0) as file:
        for _ in range(4):
            file.write(b"x")
            agent.hear(4.0)
            assert agent.ready == []
    agent.go(11)
    assert agent.ready == ["slow"]


def test_new_directories_are_heard_too_with_what_was_put_into_them_before(agent: Agent) -> None:
    agent.watch(settle_s=1.0)
    (agent.inside / "x" / "y").mkdir(parents=True)
    (agent.inside / "x" / "y" / "1").write_text("1")
    agent.hear(5)
    assert agent.ready == ["x/y/1"]
    (agent.inside / "x" / "y" / "2").write_text("2")
    agent.hear(5)
    assert agent.ready == ["x/y/2"]


def test_by_polling(agent: Agent) -> None:
    agent.watch(settle_s=1.0, poll_s=10.0)
    assert agent.state == ("ok", "looking", "")
    (agent.inside / "a").write_text("a")
    agent.hear(5)
    assert agent.ready == []
    agent.go(6)
    assert agent.ready == ["a"]


def test_without_events_it_polls_and_says_why(agent: Agent) -> None:
    agent.workers.fail["watch_open"] = TransferError("its limit is reached", code="no_events")
    agent.watch(settle_s=1.0)
    assert agent.state == ("degraded", "looking", "its limit is reached")
    (agent.inside / "a").write_text("a")
    agent.go(7)
    assert agent.ready == ["a"]
    agent.go(300)
    assert agent.state == ("ok", "native", "")


def test_a_network_file_system_has_no_events(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flux_agent.watch.tasks.remote_file_system", lambda path: "nfs4")
    agent.watch()
    assert agent.state == ("degraded", "looking", "it is on a network file system (nfs4)")


def test_local_disks_are_no_network_file_systems(tmp_path: Path) -> None:
    assert native.remote_file_system(str(tmp_path)) == ""
    assert native.remote_file_system(r"\\server\share\in") != ""


def test_paths_that_are_missing_or_outside_are_looked_for_again(agent: Agent) -> None:
    agent.watch(agent.folder / "later", settle_s=1.0)
    assert agent.state[0] == "failed"
    assert "does not exist" in agent.state[2]
    (agent.folder / "later").mkdir()
    (agent.folder / "later" / "a").write_text("a")
    agent.go(10)
    assert (agent.state[0], agent.ready) == ("ok", ["a"])
    agent.watch(Path("/etc"))
    assert agent.state[0] == "failed"
    assert "roots" in agent.state[2]


def test_nothing_but_the_jobs_own_files_is_offered(agent: Agent) -> None:
    outside = agent.folder.parent / f"{agent.folder.name}-outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    agent.watch(settle_s=0.0, rules=m.ListRules(exclude=("no/",)))
    (agent.inside / "link").symlink_to(outside)
    (agent.inside / "file-link").symlink_to(outside / "secret")
    os.mkfifo(agent.inside / "fifo")
    for name in (f".{'a' * 32}.fluxpart", "a.~1~", "yes", "no/a", ".fileflux-archive/a"):
        (agent.inside / name).parent.mkdir(exist_ok=True)
        (agent.inside / name).write_text("x")
    (outside / "more").write_text("m")
    agent.hear(5)
    agent.go(70)
    assert agent.ready == ["yes"]


def test_markers(agent: Agent) -> None:
    (agent.inside / "a.csv").write_text("a")
    agent.watch(settle_s=1.0, marker=".done", rules=m.ListRules(include=("*.csv",)))
    agent.go(3)
    assert agent.ready == []
    (agent.inside / "a.csv.done").touch()
    agent.hear(1)
    assert agent.ready == ["a.csv"]


def test_one_file_and_a_glob(agent: Agent) -> None:
    (agent.inside / "x").mkdir()
    for name in ("a.csv", "a.txt", "x/b.csv"):
        (agent.inside / name).write_text("x")
    agent.watch(agent.inside / "a.csv", settle_s=0.0)
    assert agent.ready == ["a.csv"]
    agent.watch(agent.inside / "*" / "*.csv", settle_s=0.0)
    assert agent.ready == ["x/b.csv"]


def test_a_worker_that_dies_costs_a_scan(agent: Agent) -> None:
    agent.watch(settle_s=1.0)
    agent.workers.renew()
    agent.workers.fail["watch_events"] = WorkerDiedError("gone")
    (agent.inside / "a").write_text("a")
    agent.go(10)
    assert agent.ready == ["a"]
    (agent.inside / "b").write_text("b")
    agent.hear(5)
    assert (agent.state[0], agent.ready) == ("ok", ["b"])


def test_lost_events_are_made_good_by_the_next_scan(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.watch(settle_s=1.0)
    monkeypatch.setattr(native.Events, "take", lambda self: [])
    (agent.inside / "a").write_text("a")
    agent.go(50)
    assert agent.ready == []
    agent.go(15)
    assert agent.ready == ["a"]


def test_offers_wait_until_the_hub_takes_them(agent: Agent) -> None:
    for number in range(700):
        (agent.inside / str(number)).write_text("x")
    agent.room = False
    agent.watch(settle_s=0.0)
    agent.go(5)
    assert agent.ready == []
    agent.room = True
    agent.go(2)
    assert max(len(said.entries) for said in agent.said if isinstance(said, m.WatchReady)) == 500
    assert len(agent.ready) == 700


def test_everything_is_offered_again_the_next_day(agent: Agent) -> None:
    (agent.inside / "a").write_text("a")
    agent.watch(settle_s=1.0, poll_s=3600.0)
    agent.go(3600)
    assert agent.ready == ["a"]
    agent.go(20 * 3600)
    assert agent.ready == []
    agent.go(5 * 3600)
    assert agent.ready == ["a"]


def test_cleared_watches_say_nothing_more_and_there_are_so_many_at_most(agent: Agent) -> None:
    agent.watch(settle_s=0.0)
    agent.watches.clear(m.WatchClear(7))
    (agent.inside / "a").write_text("a")
    agent.hear(5)
    assert agent.ready == []
    agent.watches.set(m.WatchSet(8, str(agent.inside)))
    agent.watches.clear(m.WatchClear())
    for number in range(1, WATCHES_MAX + 2):
        agent.watches.set(m.WatchSet(number, str(agent.inside)))
    assert agent.state[0] == "failed"
    agent.watches.reset()
    agent.go(5)
    assert agent.ready == []
