"""Many transfers at once: fair shares, a quick pair beside a slow one, and the hub's memory. Product defaults, ws without TLS, targets on tmpfs.

    python scripts/bench/many.py [--transfers 50] [--rounds 3] [--json FILE]

Fair shares: Jain's index of what each of 50 equal transfers of one pair moves between two moments, while all of them move. Slow beside quick: the quick
pair's rate while 50 transfers go to a destination behind a link of 2 MB/s, beside its rate alone, in turn. Memory: what the hub takes above
its idle state with 200 transfers, 50 of them slow, as PSS of all its processes without PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from limited import DEFAULTS, HUB_DEFAULTS
from rig import fresh, seconds, work_folder

from fileflux.errors import ConflictError
from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.harness import Agent, Hub
from tests.integration.invariants import pss_mib

MIB = 2**20
SLOW = Rule.link(bandwidth=2e6)
BUDGET_MIB = 256


class Place:
    """A hub, a quick pair, and a slow destination with a source of its own."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder, env=HUB_DEFAULTS).start()
        self.proxy = FaultProxy(self.hub.port, rule=SLOW).start()
        self.source, self.destination, self.slow_source = (
            Agent(self.hub, name, folder, env=DEFAULTS).start(wait=False)
            for name in ("source", "destination", "slow-source")
        )
        self.slow = Agent(self.hub, "slow", folder, env=DEFAULTS, hub_url=self.proxy.url()).start(wait=False)
        self.agents = (self.source, self.destination, self.slow_source, self.slow)
        for agent in self.agents:
            agent.wait_online()

    def begin(self, source: Agent, file: Path, destination: Agent, count: int) -> list[int]:
        """So many runs of one file each, into folders of their own."""
        runs = []
        for number in range(count):
            target = f"{destination.write}/{number}/"
            runs.append(self.hub.run(self.hub.job(source.id, file, destination.id, target, compression="none")))
        return runs

    def done(self, runs: list[int]) -> list[int]:
        """Bytes that each has moved."""
        return [int(self.hub.show(run)["bytes_transferred"]) for run in runs]

    def wait_moving(self, runs: list[int], *, each: bool = True) -> None:
        """Until every run has moved something, or is at it and one of them has."""
        deadline = time.monotonic() + 120
        while True:
            shown = [self.hub.show(run) for run in runs]
            moved = [int(run["bytes_transferred"]) for run in shown]
            if min(moved) > 0 if each else max(moved) > 0 and all(run["status"] == "transferring" for run in shown):
                return
            if time.monotonic() > deadline:
                raise RuntimeError("a transfer does not begin")
            time.sleep(0.2)

    def cancel(self, runs: list[int]) -> None:
        for run in runs:
            with suppress(ConflictError):  # it has ended
                self.hub.client.post(f"/api/runs/{run}/cancel")
        for run in runs:
            self.hub.wait_ended(run, 120)

    def rate(self, file: Path) -> float:
        """Bytes per second of one file over the quick pair."""
        job = self.hub.job(
            self.source.id, file, self.destination.id, f"{self.destination.write}/one/", compression="none"
        )
        shutil.rmtree(self.destination.write / "one", ignore_errors=True)
        run = self.hub.wait_ended(self.hub.run(job), 300)
        if run["status"] != "succeeded":
            raise RuntimeError(f"the run ended as {run['status']}: {run['reason']}")
        return file.stat().st_size / seconds(run["created_at"], run["ended_at"])

    def hub_mib(self) -> float:
        return sum(pss_mib(pid) for pid in (self.hub.server_pid, *self.hub.worker_pids()))

    def stop(self) -> None:
        for part in (*self.agents, self.proxy, self.hub):
            part.stop()


def jain(shares: list[int]) -> float:
    """1.0 when all are equal, 1/n when one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def make(path: Path, mib: int) -> Path:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    return path


def fair(place: Place, count: int, mib: int) -> dict[str, Any]:
    file = make(place.source.read / "fair.bin", mib)
    runs = place.begin(place.source, file, place.destination, count)
    place.wait_moving(runs)
    before = after = place.done(runs)
    while sum(after) - sum(before) < count * mib * MIB // 4:
        time.sleep(0.2)
        after = place.done(runs)
    place.cancel(runs)
    clear(place.destination)
    moved = [late - early for early, late in zip(before, after, strict=True)]
    index = jain(moved)
    print(
        f"{count} equal transfers: Jain's index {index:.3f} (required 0.9); {sum(moved) / MIB:.0f} MiB between two moments,"
        f" least {min(moved) / MIB:.1f}, most {max(moved) / MIB:.1f}"
    )
    return {"work": "fair", "transfers": count, "jain": index}


def beside(place: Place, count: int, rounds: int) -> dict[str, Any]:
    file = make(place.source.read / "quick.bin", 256)
    slow_file = make(place.slow_source.read / "slow.bin", 64)
    place.rate(file)
    ratios = []
    for _ in range(rounds):
        alone = place.rate(file)
        slow = place.begin(place.slow_source, slow_file, place.slow, count)
        place.wait_moving(slow, each=False)
        ratios.append(place.rate(file) / alone)
        place.cancel(slow)
        clear(place.slow)
    ratio = statistics.median(ratios)
    print(
        f"a quick pair beside {count} transfers to a slow destination: {ratio:.2f} of its rate alone (required 0.8); {', '.join(f'{one:.2f}' for one in ratios)}"
    )
    return {"work": "slow beside quick", "slow": count, "ratio": ratio}


def memory(place: Place, slow_count: int, idle: float) -> dict[str, Any]:
    peak = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            peak = max(peak, place.hub_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        slow = place.begin(place.slow_source, place.slow_source.read / "slow.bin", place.slow, slow_count)
        quick = place.begin(place.source, place.source.read / "fair.bin", place.destination, 3 * slow_count)
        place.wait_moving(slow, each=False)
        place.wait_moving(quick)
        time.sleep(5)
        place.cancel(slow + quick)
    finally:
        over.set()
        watcher.join()
    above = peak - idle
    print(
        f"the hub's memory with {4 * slow_count} transfers, {slow_count} of them slow: {idle:.0f} + {above:.0f} MiB (limit {BUDGET_MIB})"
    )
    return {"work": "hub memory", "transfers": 4 * slow_count, "idle_mib": idle, "above_mib": above}


def clear(agent: Agent) -> None:
    for one in agent.write.iterdir():
        shutil.rmtree(one)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transfers", type=int, default=50)
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = fresh(work_folder("many", 6 * 2**30))
    place = Place(folder)
    try:
        time.sleep(2)
        idle = place.hub_mib()
        rows = [
            fair(place, options.transfers, options.mib),
            beside(place, options.transfers, options.rounds),
            memory(place, options.transfers, idle),
        ]
    finally:
        place.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
