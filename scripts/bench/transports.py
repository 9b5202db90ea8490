"""The transports beside each other: one file through WebSocket, through long-polling, and through long-polling behind nginx as Debian ships it.

    python scripts/bench/transports.py [--size 1024] [--rounds 3] [--only direct|nginx]

One agent is reached in the way that is measured, the other one always directly over WebSocket; both directions. Prints the median of MB/s, CPU
seconds per GiB of all processes, and the median of the ratios to the WebSocket of the same round; the order in a round is random.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import psutil
from rig import fresh, work_folder

from fileflux.protocol.limits import DEFAULT_LIMITS, MIB
from tests.integration import proxies
from tests.integration.harness import QUICK_LIMITS, Agent, Hub

GIB = 1024 * MIB
WINDOW = str(DEFAULT_LIMITS.window_max)
LOOK_S = 0.2
TARGETS = {"direct": 0.6, "nginx": 0.5}


@dataclass
class Row:
    """One way and direction. ``way`` None: WebSocket at both ends, what the others are compared with."""

    way: str | None
    source: Agent
    destination: Agent
    direction: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "WebSocket" if self.way is None else f"long-polling, {self.way}, {self.direction}"


class Bench:
    """A hub, and one agent for each end of each way."""

    def __init__(self, folder: Path, ways: list[str], stack: ExitStack) -> None:
        self._folder = folder
        self.hub = Hub(folder, env={"FILEFLUX_LIMITS_WINDOW_MAX": WINDOW})
        stack.callback(self.hub.stop)
        self.hub.start()
        self._stack = stack
        self._trees = [self.hub.running.pid]
        source, destination = self._agent("source", "websocket"), self._agent("destination", "websocket")
        self.rows = [Row(None, source, destination, "")]
        for way in ways:
            url = None
            if way == "nginx":
                proxy = stack.enter_context(proxies.nginx_as_shipped(f"127.0.0.1:{self.hub.port}"))
                url = proxy.url
                self._trees.append(proxy.pid)
            agent = self._agent(way, "polling", url)
            self.rows.append(Row(way, agent, destination, "from it"))
            self.rows.append(Row(way, source, agent, "to it"))

    def _agent(self, name: str, transport: str, url: str | None = None) -> Agent:
        # The product's defaults; the harness shortens some for its own tests.
        env = {"FLUX_AGENT_LIMITS_WINDOW_MAX": WINDOW, "FLUX_AGENT_TRANSPORT_MODE": transport}
        assert "WINDOW_MAX" in QUICK_LIMITS
        agent = Agent(self.hub, name, self._folder, env=env, hub_url=url)
        self._stack.callback(agent.stop)
        agent.start()
        self._trees.append(agent.running.pid)
        return agent

    def place(self, size: int) -> None:
        """The same file for every sender."""
        first = self.rows[0].source.read / "data.bin"
        with first.open("wb") as file:
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
        for row in self.rows:
            if not (row.source.read / "data.bin").exists():
                (row.source.read / "data.bin").hardlink_to(first)

    def move(self, row: Row) -> tuple[float, float]:
        """Wall and CPU seconds of one run."""
        target = fresh(row.destination.write / "target")
        job = self.hub.job(
            row.source.id, row.source.read / "data.bin", row.destination.id, f"{target}/", compression="none"
        )
        before = self._cpu()
        run = self._ended(self.hub.run(job))
        cpu = self._cpu() - before
        if run["status"] != "succeeded":
            raise SystemExit(f"{row.name}: the run ended as {run['status']}: {run['reason']}")
        shutil.rmtree(target)
        wall = datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run["created_at"])
        return wall.total_seconds(), cpu

    def _ended(self, run_id: int) -> dict:
        """Looks rarely: each look is work for the hub, and the run knows its times itself."""
        while True:
            time.sleep(LOOK_S)
            run = self.hub.show(run_id)
            if run["status"] in ("succeeded", "partial", "failed", "cancelled"):
                return run

    def _cpu(self) -> float:
        total = 0.0
        for pid in self._trees:
            for process in (root := psutil.Process(pid), *root.children(recursive=True)):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=sorted(TARGETS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ways = [options.only] if options.only else list(TARGETS)
    if "nginx" in ways and proxies.find("nginx") is None:
        print("nginx is not on this machine; its rows stay empty")
        ways.remove("nginx")
    size = options.size * MIB
    folder = work_folder("transports", 3 * size)
    folder.chmod(0o755)
    try:
        with ExitStack() as stack:
            bench = Bench(folder, ways, stack)
            bench.place(size)
            for row in bench.rows:
                bench.move(row)  # files and connections warm
            for _ in range(options.rounds):
                measure_round(bench)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report(bench.rows, size)
    if options.json:
        options.json.write_text(json.dumps([as_json(row, size) for row in bench.rows], indent=2))
    return 0


def measure_round(bench: Bench) -> None:
    for row in random.sample(bench.rows, len(bench.rows)):
        wall, cpu = bench.move(row)
        row.seconds.append(wall)
        row.cpu.append(cpu)
    for row in bench.rows:
        row.ratios.append(bench.rows[0].seconds[-1] / row.seconds[-1])


def as_json(row: Row, size: int) -> dict:
    return {
        "way": row.name,
        "mb_s": size / statistics.median(row.seconds) / 1e6,
        "cpu_s_per_gib": statistics.median(row.cpu) / (size / GIB),
        "ratio": statistics.median(row.ratios),
        "ratios": row.ratios,
    }


def report(rows: list[Row], size: int) -> None:
    print(f"\n{size / MIB:.0f} MiB, the product's defaults, median of {len(rows[0].seconds)}")
    for row in rows:
        values = as_json(row, size)
        line = f"  {row.name:<30} {values['mb_s']:7.1f} MB/s {values['cpu_s_per_gib']:6.2f} CPU s/GiB"
        if row.way is not None:
            spread = f"{min(row.ratios):.2f} to {max(row.ratios):.2f}"
            line += f"   {values['ratio']:.2f} of WebSocket ({spread}; target {TARGETS[row.way]})"
        print(line)


if __name__ == "__main__":
    sys.exit(main())
