"""A hub and two agents on this machine, for benchmarks."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
from rich.console import Console

from fileflux.cli.client import HubClient
from fileflux.demo import AGENTS, EMAIL, Places, Processes, start_agent, start_hub, wait_online


class Rig:
    """``move`` runs a job of the product's defaults and reports seconds from the accepted run to its end, and CPU seconds of all processes together."""

    def __init__(
        self,
        folder: Path,
        source: Path,
        destination: Path,
        prefix: list[str] | None = None,
        transport: str = "auto",
        *,
        tls: bool = False,
    ) -> None:
        """``tls``: with a certificate of the hub's own, which the agents know by their tokens."""
        self._console = Console(stderr=True)
        self.places = Places(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        self.processes = Processes(prefix or [])
        try:
            with patch.dict(os.environ, {"FILEFLUX_TLS": "auto"} if tls else {}):
                self._start(source, destination, transport, tls=tls)
        except BaseException:
            self.processes.stop()
            raise

    def _start(self, source: Path, destination: Path, transport: str, *, tls: bool) -> None:
        url, self.password = start_hub(self.places, self.processes, self._console)
        self.client = HubClient(url, ca_file=str(self.places.hub / "tls" / "ca.pem") if tls else None)
        self.client.login(EMAIL, self.password)
        for name, option, root in zip(AGENTS, ("--read", "--write"), (source, destination), strict=True):
            start_agent(self.client, self.places, self.processes, name, [(option, root)], transport)
        self.agent_ids = [wait_online(self.client, self.processes, name)["id"] for name in AGENTS]

    def move(self, source: Path, destination: Path, **fields: Any) -> tuple[float, float, dict[str, Any]]:
        body = {
            "name": f"bench {secrets.token_hex(4)}",
            "source_agent_id": self.agent_ids[0],
            "source_path": str(source),
            "destination_agent_id": self.agent_ids[1],
            "destination_path": str(destination),
            **fields,
        }
        job = self.client.post("/api/jobs", body)["id"]
        before = self.cpu()
        run_id = self.client.post(f"/api/jobs/{job}/run")["id"]
        while True:
            run = self.client.get(f"/api/runs/{run_id}")
            if run["status"] in ("succeeded", "partial", "failed", "cancelled"):
                break
            # Seldom, since a question costs the hub 2 ms; the times are the hub's own.
            time.sleep(0.2)
        cpu = self.cpu() - before
        if run["status"] != "succeeded":
            raise RuntimeError(f"the run ended as {run['status']}: {run['reason']}")
        return seconds(run["created_at"], run["ended_at"]), cpu, run

    def until_last_file(self, run: dict[str, Any]) -> float:
        """Seconds from the accepted run to the moment when the hub heard that its last file stands."""
        ends = [row["ended_at"] for row in self.client.pages("/api/transfers", run_id=run["id"])]
        return seconds(run["created_at"], max(ends))

    def cpu(self) -> float:
        """CPU seconds so far of hub, PostgreSQL, agents and all workers."""
        total = 0.0
        for process in self.trees():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def hub_cpu(self) -> float:
        """CPU seconds so far of the hub's own processes, without PostgreSQL."""
        total = 0.0
        for process in self.trees():
            try:
                own = process.name() != "postgres" and self._is_hub(process)
                total += sum(process.cpu_times()[:2]) if own else 0.0
            except psutil.Error:
                continue
        return total

    @staticmethod
    def _is_hub(process: psutil.Process) -> bool:
        return any("serve" in one.cmdline() for one in (process, *process.parents()))

    def trees(self) -> list[psutil.Process]:
        """Every process of the rig."""
        roots = [psutil.Process(pid) for pid in self.processes.pids()]
        return roots + [child for root in roots for child in root.children(recursive=True)]

    def stop(self) -> None:
        self.client.close()
        self.processes.stop()


def seconds(begin: str, end: str) -> float:
    """Between two times as the API tells them."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def fresh(folder: Path) -> Path:
    """An empty folder at this path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def work_folder(name: str, need: int) -> Path:
    """A folder on tmpfs if it has room for ``need`` bytes, else below the temporary folder."""
    for base in (Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp"))):
        if base.is_dir() and shutil.disk_usage(base).free > need:
            return fresh(base / f"fileflux-bench-{name}-{os.getpid()}")
    raise SystemExit(f"no folder has {need / 2**30:.0f} GiB free")
