"""Many transfers at once: a slow destination takes neither the hub's memory nor another pair's turn, and equals are served alike."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileflux.errors import ConflictError
from fileflux.protocol.limits import DEFAULT_LIMITS
from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.harness import Agent, Hub, wait_for
from tests.integration.invariants import pss_mib

MIB = 2**20
SLOW = Rule.link(bandwidth=1e6)
SLOW_TRANSFERS = 20
BESIDE_MIB = 48
"""What the hub needs besides the pieces that it holds: their messages, its database's answers, this test's questions."""
WINDOW = str(DEFAULT_LIMITS.window_max)


class Crowd:
    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder, env={"FILEFLUX_LIMITS_WINDOW_MAX": WINDOW}).start()
        self.proxy = FaultProxy(self.hub.port, rule=SLOW).start()
        env = {"FLUX_AGENT_LIMITS_WINDOW_MAX": WINDOW}
        self.source = Agent(self.hub, "source", folder, env=env).start(wait=False)
        self.quick = Agent(self.hub, "quick", folder, env=env).start(wait=False)
        self.slow = Agent(self.hub, "slow", folder, env=env, hub_url=self.proxy.url()).start(wait=False)
        for agent in (self.source, self.quick, self.slow):
            agent.wait_online()

    def begin(self, file: Path, destination: Agent, count: int, folder: str) -> list[int]:
        jobs = [
            self.hub.job(
                self.source.id, file, destination.id, f"{destination.write}/{folder}/{number}/", compression="none"
            )
            for number in range(count)
        ]
        return [self.hub.run(job) for job in jobs]

    def moved(self, runs: list[int]) -> list[int]:
        return [int(self.hub.show(run)["bytes_transferred"]) for run in runs]

    def live(self, runs: list[int]) -> int:
        return sum(self.hub.show(run)["status"] == "transferring" for run in runs)

    def cancel(self, runs: list[int]) -> None:
        for run in runs:
            try:
                self.hub.client.post(f"/api/runs/{run}/cancel")
            except ConflictError:
                continue
        for run in runs:
            self.hub.wait_ended(run)

    def memory(self) -> float:
        return sum(pss_mib(pid) for pid in (self.hub.server_pid, *self.hub.worker_pids()))

    def stop(self) -> None:
        for part in (self.source, self.quick, self.slow, self.proxy, self.hub):
            part.stop()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    crowd = Crowd(tmp_path_factory.mktemp("crowd"))
    try:
        yield crowd
    finally:
        crowd.stop()


@pytest.fixture(scope="module")
def file(crowd: Crowd) -> Path:
    path = crowd.source.read / "random.bin"
    path.write_bytes(os.urandom(96 * MIB))
    return path


def test_slow_transfers_hold_up_nobody_and_no_memory(crowd: Crowd, file: Path) -> None:
    idle = crowd.memory()
    slow = crowd.begin(file, crowd.slow, SLOW_TRANSFERS, "slow")
    wait_for("all of them to be begun", lambda: crowd.live(slow) == SLOW_TRANSFERS, 60)
    wait_for("bytes to move", lambda: max(crowd.moved(slow)) > 0)
    (quick,) = crowd.begin(file, crowd.quick, 1, "quick")
    assert crowd.hub.wait_ended(quick)["status"] == "succeeded"
    assert crowd.live(slow) == SLOW_TRANSFERS, "it was done before any of them"
    assert crowd.memory() - idle < DEFAULT_LIMITS.relay_budget / MIB + BESIDE_MIB
    crowd.cancel(slow)


def test_equal_transfers_move_together(crowd: Crowd, file: Path) -> None:
    """More of them than the destination has room for frames: each has moved something before the first one ends."""
    count = 2 * DEFAULT_LIMITS.receive_buffer // (8 * MIB)
    runs = crowd.begin(file, crowd.slow, count, "equal")
    wait_for("all of them to be begun", lambda: crowd.live(runs) == count, 60)
    crowd.proxy.set(Rule())
    wait_for("each to move", lambda: min(crowd.moved(runs)) > 0, 60)
    assert crowd.live(runs) > count // 2
    crowd.cancel(runs)
