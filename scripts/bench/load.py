"""Load on one hub: ten thousand idle agents with their heartbeats, and reads of the API over a long history while files move.

    python scripts/bench/load.py [--agents 10000] [--beats 2000] [--transfers 1000000] [--rate 300] [--seconds 30] [--json FILE]

Prints each figure beside its limit: memory of the hub's server process per idle agent, SQL statements a second while only heartbeats come,
and the 99th percentile of reads, alone and while a transfer runs. Everything is on this machine, agents come from addresses of 127.0.0.0/8.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.load_history import enrol, fill
from scripts.bench.rig import Rig, work_folder

HERE = Path(__file__).parent
MIB = 2**20
FILE_BYTES = 1024 * MIB
LIMIT_KIB, LIMIT_STATEMENTS, LIMIT_P99_MS = 64, 2.0, 100.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--beats", type=float, default=2000.0, help="heartbeats a second of all agents together")
    parser.add_argument("--transfers", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=300.0, help="reads a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # A machine's addresses are many hosts' here: what one may have pending is not what is measured.
    os.environ["FILEFLUX_LIMITS_PENDING_PER_ADDRESS"] = "5000"
    folder = work_folder("load", 8 * 2**30)
    source, destination = folder / "source", folder / "destination"
    source.mkdir()
    destination.mkdir()
    with (source / "big.bin").open("wb") as file:
        for _ in range(FILE_BYTES // (8 * MIB)):
            file.write(os.urandom(8 * MIB))
    rig = Rig(folder / "rig", source, destination)
    try:
        figures = Load(rig, options, folder, source, destination).measure()
    finally:
        rig.stop()
        subprocess.run(["rm", "-rf", str(folder)], check=False)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


class Load:
    def __init__(self, rig: Rig, options: argparse.Namespace, folder: Path, source: Path, destination: Path) -> None:
        self.rig = rig
        self.options = options
        self.folder = folder
        self.source = source
        self.destination = destination
        self.server = server_process(rig)

    def measure(self) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        began = time.monotonic()
        with closing(database(self.rig)) as connection:
            fill(connection, self.options.transfers)
            tokens = enrol(connection, self.options.agents)
        say(f"history of {self.options.transfers:,} transfers made in {time.monotonic() - began:.0f} s")
        figures["reads alone"] = self.reads("alone")
        figures["reads while a transfer runs"] = self.reads_while_moving()
        if self.options.agents:
            figures |= self.idle(tokens)
        return figures

    def idle(self, tokens: list[str]) -> dict[str, Any]:
        before, cpu = pss(self.server.pid), self.server.cpu_times()
        agents = IdleAgents(self.rig, self.folder, tokens, len(tokens) / self.options.beats)
        try:
            say(
                f"{len(tokens)} agents connected in {agents.connected_in:.0f} s, {self.used(cpu):.1f} CPU seconds of the hub"
            )
            time.sleep(10)
            each = (pss(self.server.pid) - before) / 1024 / len(tokens)
            seconds = 20.0
            cpu, first = self.server.cpu_times(), agents.counts()
            with closing(database(self.rig)) as connection:
                statements = count_statements(self.rig, connection, seconds)
            last = agents.counts()
            beats = (last["acked"] - first["acked"]) / seconds
            later = (pss(self.server.pid) - before) / 1024 / len(tokens)
            say(
                f"memory: {each:.1f} KiB an agent, {later:.1f} after their heartbeats (limit {LIMIT_KIB}): {ratio(LIMIT_KIB, later)}"
            )
            say(
                f"{beats:.0f} heartbeats answered a second, {last['lost']} agents lost: {statements / seconds:.2f} SQL statements a second"
                f" (limit {LIMIT_STATEMENTS:g}), {self.used(cpu) / seconds:.2f} CPU of the hub"
            )
            together = self.reads_while_moving()
            return {
                "idle agents": len(tokens),
                "KiB each": round(later, 1),
                "heartbeats a second": round(beats),
                "statements a second": round(statements / seconds, 2),
                "lost": agents.counts()["lost"],
                "reads with all of it": together,
            }
        finally:
            agents.stop()

    def reads_while_moving(self) -> dict[str, Any]:
        mover = Mover(self.rig, self.source / "big.bin", self.destination)
        mover.start()
        try:
            return self.reads("while a transfer runs") | {"MB/s meanwhile": round(mover.rate(), 1)}
        finally:
            mover.stop()
            say(f"  the transfer meanwhile: {mover.rate():.0f} MB/s")

    def reads(self, what: str) -> dict[str, Any]:
        paths = self.folder / "paths"
        paths.write_text("\n".join(self.paths()))
        command = [
            sys.executable, str(HERE / "load_reads.py"), self.rig.client.url, str(self.options.rate), str(self.options.seconds), str(paths),
        ]  # fmt: skip
        cpu = self.server.cpu_times()
        result = subprocess.run(
            command,
            env={**os.environ, "FILEFLUX_TOKEN": self.rig.client.token},
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, Any] = json.loads(result.stdout)
        say(
            f"{found['count']} reads at {self.options.rate:g}/s {what}: p50 {found['p50']} ms, p99 {found['p99']} ms (limit {LIMIT_P99_MS:g}):"
            f" {ratio(LIMIT_P99_MS, found['p99'])}, max {found['max']} ms, {found['errors']} errors {found['first_error']},"
            f" {self.used(cpu) / found['seconds']:.2f} CPU of the hub"
        )
        for path, times in sorted(found["paths"].items(), key=lambda item: -item[1]["p99"]):
            say(f"    {times['p50']:7.1f} {times['p99']:7.1f} {times['max']:7.1f}  {path}")
        return found

    def paths(self) -> list[str]:
        """What people and scripts look at."""
        client = self.rig.client
        run = client.get("/api/runs", limit=1)["items"][0]
        job, transfer = run["job_id"], client.get("/api/transfers", limit=1)["items"][0]["id"]
        second = client.get("/api/transfers", limit=200)["next_cursor"]
        return [
            "/api/runs", "/api/runs?status=partial", f"/api/runs?job_id={job}", f"/api/runs/{run['id']}", f"/api/jobs/{job}",
            "/api/jobs", "/api/transfers", f"/api/transfers?cursor={second}", f"/api/transfers?run_id={run['id']}",
            f"/api/transfers?job_id={job}", "/api/transfers?status=failed", f"/api/transfers/{transfer}", "/api/agents", "/api/agents/1",
            "/api/dashboard", "/api/auth/user", "/api/runs?limit=10", "/api/runs?sort=-ended_at",
        ]  # fmt: skip

    def used(self, since: Any) -> float:
        """CPU seconds of the hub's server process."""
        spent = self.server.cpu_times()
        return float(spent.user + spent.system - since.user - since.system)


class Mover(threading.Thread):
    """Moves one file again and again until it is told to stop."""

    def __init__(self, rig: Rig, source: Path, destination: Path) -> None:
        super().__init__(daemon=True)
        self._rig, self._source, self._destination = rig, source, destination
        self._ending = threading.Event()
        self._bytes = 0
        self._began = time.monotonic()

    def run(self) -> None:
        while not self._ending.is_set():
            target = self._destination / "copy.bin"
            target.unlink(missing_ok=True)
            self._rig.move(self._source, target, compression="none")
            self._bytes += FILE_BYTES

    def rate(self) -> float:
        return self._bytes / 1e6 / (time.monotonic() - self._began)

    def stop(self) -> None:
        self._ending.set()
        self.join(120)


class IdleAgents:
    """load_agents.py as a child."""

    def __init__(self, rig: Rig, folder: Path, tokens: list[str], interval: float) -> None:
        path = folder / "tokens"
        path.write_text("\n".join(tokens))
        port = rig.client.url.rpartition(":")[2]
        began = time.monotonic()
        self._child = subprocess.Popen(
            [sys.executable, str(HERE / "load_agents.py"), port, str(path), str(interval)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._child.stdout.readline()
        if not line.startswith("connected"):
            raise SystemExit("the agents did not connect")
        self.connected_in = time.monotonic() - began
        self._last = ""
        threading.Thread(target=self._read, daemon=True).start()

    def counts(self) -> dict[str, int]:
        while not self._last:
            time.sleep(0.1)
        return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", self._last)}

    def stop(self) -> None:
        self._child.stdin.close()
        self._child.wait(30)

    def _read(self) -> None:
        for line in self._child.stdout:
            self._last = line


def server_process(rig: Rig) -> psutil.Process:
    """The hub's server process: the arbiter's child that is no PostgreSQL."""
    hub = psutil.Process(rig.processes.pids()[0])
    return next(child for child in hub.children() if child.name() != "postgres")


def database(rig: Rig) -> Any:
    """A connection to the hub's embedded PostgreSQL."""
    folder = rig.places.hub
    password = (folder / "postgres-password").read_text().strip()
    return psycopg2.connect(
        host=str(next(folder.rglob(".s.PGSQL.*")).parent), user="fileflux", password=password, dbname="postgres"
    )


def count_statements(rig: Rig, connection: Any, seconds: float) -> int:
    """Statements that PostgreSQL is given in the next ``seconds``, by its own log."""
    log = next(path for path in rig.places.hub.rglob("*.log") if "postgres" in path.name)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET log_statement = 'all'")
        cursor.execute("SELECT pg_reload_conf()")
        time.sleep(1)
        start = log.stat().st_size
        time.sleep(seconds)
        # One of our own, so that a log that misses statements is found out.
        cursor.execute("SELECT 1")
        end = log.stat().st_size
        cursor.execute("ALTER SYSTEM RESET log_statement")
        cursor.execute("SELECT pg_reload_conf()")
    with log.open("rb") as file:
        file.seek(start)
        text = file.read(end - start).decode(errors="replace")
    found = re.findall(r"LOG:  (?:statement|execute [^:]*): (\w+)", text)
    if not found:
        raise SystemExit("the log of PostgreSQL does not show statements")
    found.remove("SELECT")
    say(f"  statements: {', '.join(f'{found.count(word)} {word}' for word in sorted(set(found))) or 'none'}")
    return len(found)


def pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024


def ratio(limit: float, found: float) -> str:
    return f"{found / limit:.2f} of the limit"


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
