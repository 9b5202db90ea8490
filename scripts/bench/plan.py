"""A plan (dry run) of a large folder: files a second, what hub and agents need beyond what they need idle, and how long the hub's loop is held.

    python scripts/bench/plan.py [FILES] [--drift] [--json FILE]

The destination has nine of ten files as hard links, so that they are equal; of the rest a third each is new, changed and extra. With ``--drift``
the plan is run as well, after some files have changed: its drift must be what was changed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.load import database, pss, ratio, say, server_process
from scripts.bench.loop import MAX_MS, P999_MS, signal_all
from scripts.bench.rig import Rig, fresh, work_folder

PER_FOLDER = 1000
PROBE = Path(__file__).with_name("loop_probe.py")
LIMIT_S, LIMIT_STATEMENT_MS, LIMIT_GROWTH_MIB = 120.0, 1000, 32.0
"""Of a million files; of one statement; of one process, whatever the number of files."""
CLASSES = ("new", "changed", "equal", "extra")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--drift", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = work_folder("plan", options.files * 6000)
    source, destination, out = (fresh(folder / name) for name in ("source", "destination", "out"))
    began = time.monotonic()
    expected = make(source, destination, options.files)
    say(f"{options.files:,} files made in {time.monotonic() - began:.0f} s")
    rig = Rig(folder / "rig", source, destination, prefix=[str(PROBE), str(out / "loop")])
    try:
        figures = measure(rig, source, destination, expected, drift=options.drift)
    finally:
        rig.stop()
        figures_of_loop = loop(out)
        subprocess.run(["rm", "-rf", str(folder)], check=False)
    figures |= figures_of_loop
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["as expected"] else 1


def make(source: Path, destination: Path, count: int) -> dict[str, int]:
    """Two trees; how many files of each class they have."""
    found = dict.fromkeys(CLASSES, 0)
    for first in range(0, count, PER_FOLDER):
        here, there = source / f"folder-{first}", destination / f"folder-{first}"
        here.mkdir()
        there.mkdir()
        for number in range(first, min(first + PER_FOLDER, count)):
            name = f"file-{number:09}.dat"
            of_class = "equal" if number % 10 else ("new", "changed", "extra")[number // 10 % 3]
            found[of_class] += 1
            if of_class != "extra":
                write(here / name)
            if of_class == "equal":
                os.link(here / name, there / name)
            elif of_class != "new":
                write(there / name, b"other")
    return found


def write(path: Path, content: bytes = b"") -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(file, content)
    os.close(file)


class Memory(threading.Thread):
    """The greatest PSS of the hub's server process and of both agents with their workers, beyond what they need idle."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        server = server_process(rig)
        pids = rig.processes.pids()[1:]
        self._groups = {"hub": [server, *server.children(recursive=True)]} | {
            name: [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            for name, pid in zip(("source agent", "destination agent"), pids, strict=True)
        }
        self.idle = self._look()
        self.most = dict(self.idle)
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(0.25):
            self.most = {name: max(size, self.most[name]) for name, size in self._look().items()}

    def stop(self) -> dict[str, float]:
        self._ending.set()
        self.join()
        for name, most in self.most.items():
            grown = (most - self.idle[name]) / 2**20
            say(
                f"memory of the {name}: {self.idle[name] / 2**20:.0f} MiB idle, {most / self.idle[name]:.2f} times that at most"
                f" (+{grown:.1f} MiB, {ratio(LIMIT_GROWTH_MIB, grown)})"
            )
        return {name: round(most / self.idle[name], 3) for name, most in self.most.items()}

    def _look(self) -> dict[str, int]:
        return {name: sum(pss(one.pid) for one in group if one.is_running()) for name, group in self._groups.items()}


def measure(rig: Rig, source: Path, destination: Path, expected: dict[str, int], *, drift: bool) -> dict[str, Any]:
    job = rig.client.post(
        "/api/jobs",
        {
            "name": "bench plan",
            "source_agent_id": rig.agent_ids[0],
            "source_path": str(source),
            "destination_agent_id": rig.agent_ids[1],
            "destination_path": str(destination),
        },
    )["id"]
    watch_statements(rig)
    memory = Memory(rig)
    memory.start()
    signal_all(rig, signal.SIGURG)
    began, cpu = time.monotonic(), cpu_by_program(rig)
    plan = made(rig, rig.client.post(f"/api/jobs/{job}/plan")["id"])
    seconds = time.monotonic() - began
    signal_all(rig, signal.SIGURG)
    figures: dict[str, Any] = {"memory": memory.stop()}
    files = sum(expected.values())
    found = {name: plan[name]["files"] for name in CLASSES}
    limit = LIMIT_S * files / 1_000_000
    say(
        f"{files:,} files planned in {seconds:.1f} s ({ratio(limit, seconds)}): {files / seconds:,.0f} a second; {', '.join(f'{number:,} {name}' for name, number in found.items())}"
    )
    spent = {name: round(after - cpu[name], 1) for name, after in cpu_by_program(rig).items()}
    say(f"CPU seconds: {', '.join(f'{name} {used}' for name, used in spent.items())}")
    figures |= {"cpu": spent, "files": files, "seconds": round(seconds, 1), "files a second": round(files / seconds)}
    ok = found == expected
    if not ok:
        say(f"NOT what is there: {expected}")
    if drift:
        ok = drifted(rig, source, plan["id"]) and ok
    slow = slow_statements(rig)
    say(f"statements longer than {LIMIT_STATEMENT_MS} ms: {len(slow)}{''.join(f'{chr(10)}  {line}' for line in slow)}")
    return figures | {"as expected": ok, "slow statements": len(slow)}


def drifted(rig: Rig, source: Path, plan_id: int) -> bool:
    """Run the plan of a folder that has changed meanwhile, and look at what the drift says."""
    folder = next(source.iterdir())
    names = sorted(folder.iterdir())
    names[0].unlink()
    names[1].write_bytes(b"longer than before")
    (folder / "later").touch()
    began = time.monotonic()
    run = rig.client.post(f"/api/plans/{plan_id}/run")
    while (run := rig.client.get(f"/api/runs/{run['id']}"))["status"] not in ("succeeded", "partial", "failed"):
        time.sleep(0.2)
    say(f"its run {run['status']} in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    while not (found := rig.client.get(f"/api/runs/{run['id']}/drift"))["ready"]:
        time.sleep(0.2)
    counts = {name: found[name] for name in ("new", "changed", "gone")}
    say(f"drift known after {time.monotonic() - began:.2f} s: {counts}")
    return counts == {"new": 1, "changed": 1, "gone": 1}


def made(rig: Rig, plan_id: int) -> dict[str, Any]:
    while True:
        plan: dict[str, Any] = rig.client.get(f"/api/plans/{plan_id}")
        if plan["status"] == "ready":
            return plan
        if plan["status"] != "planning":
            raise SystemExit(f"the plan {plan['status']}: {plan['reason']}")
        time.sleep(0.2)


def cpu_by_program(rig: Rig) -> dict[str, float]:
    """CPU seconds so far; an agent's with its workers."""
    found: dict[str, float] = {}
    for name, pid in zip(("hub", "source agent", "destination agent"), rig.processes.pids(), strict=True):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                times, own = process.cpu_times(), "PostgreSQL" if process.name() == "postgres" else name
            except psutil.Error:
                continue
            found[own] = found.get(own, 0.0) + times.user + times.system
    return found


def watch_statements(rig: Rig) -> None:
    with closing(database(rig)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET log_min_duration_statement = {LIMIT_STATEMENT_MS}")
            cursor.execute("SELECT pg_reload_conf()")
    time.sleep(1)


def slow_statements(rig: Rig) -> list[str]:
    """What PostgreSQL's log says took too long."""
    log = next(path for path in rig.places.hub.rglob("*.log") if "postgres" in path.name)
    return [line[:300] for line in log.read_text(errors="replace").splitlines() if re.search(r"duration: \d+", line)]


def loop(out: Path) -> dict[str, Any]:
    """Of the hub's server process and the agents, as ``loop.py`` says it."""
    found: dict[str, Any] = {}
    for path in sorted(out.glob("*.json")):
        result = json.loads(path.read_text())
        say(
            f"loop of {result['command'][-60:]}: p99.9 {result['p999_ms']:.2f} ms ({ratio(P999_MS, result['p999_ms'])}),"
            f" max {result['max_ms']:.2f} ms ({ratio(MAX_MS, result['max_ms'])})"
        )
        found[f"loop {result['pid']}"] = {"p999_ms": result["p999_ms"], "max_ms": result["max_ms"]}
    return found


if __name__ == "__main__":
    sys.exit(main())
