"""``fileflux demo --showcase``: a small company whose files move, so that every page of the interface has something to show.

Six agents, one of them on long-polling, jobs of each kind, schedules, a run that fails with its reason, and files that go on arriving.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fileflux.demo import Places, Processes, start_agent, wait_online
from fileflux.errors import FluxError

if TYPE_CHECKING:
    from rich.console import Console

    from fileflux.cli.client import HubClient

MIB: Final = 2**20
SEED: Final = 2040
ORDER_EVERY_S: Final = 15.0
"""Between two orders of the partner."""
PICTURES_MIB: Final = 96
PICTURES_RATE: Final = 2 * MIB
"""Bytes per second: the run can be watched."""


@dataclass(frozen=True, slots=True)
class Machine:
    """An agent of the company, with one folder that it reads and one that it writes."""

    name: str
    description: str
    tags: tuple[str, ...]
    transport: str = "auto"
    archives: bool = False
    """Jobs may put files away below the folder that they read."""


MACHINES: Final = (
    Machine("web-1", "Shop frontend, Frankfurt", ("web", "frankfurt")),
    Machine("web-2", "Shop frontend, Paris", ("web", "paris")),
    Machine("erp", "Orders, prices and invoices", ("office",)),
    Machine("backup", "Backup server in the cellar", ("office", "storage")),
    Machine("branch-berlin", "Store in Berlin", ("branch",)),
    Machine("partner-acme", "ACME's gateway, behind their proxy", ("partner",), "polling", archives=True),
)


@dataclass(frozen=True, slots=True)
class Job:
    """``source`` and ``destination`` are agents; the folders are below theirs."""

    name: str
    source: str
    folder: str
    destination: str
    target: str
    fields: dict[str, Any] = field(default_factory=dict)
    run: bool = True


JOBS: Final = (
    Job("Web logs, Frankfurt", "web-1", "logs", "backup", "logs/web-1", {"schedule": "0 * * * *", "include": ["*.log"], "tags": ["logs"], "description": "Every full hour, text packed as the link needs"}),
    Job("Web logs, Paris", "web-2", "logs", "backup", "logs/web-2", {"schedule": "10 * * * *", "include": ["*.log"], "tags": ["logs"]}),
    Job("Shop mirror", "web-1", "www", "web-2", "www", {"delete_extra": True, "schedule": "*/30 * * * *", "tags": ["web"], "description": "Paris has what Frankfurt has, and nothing else"}),
    Job("Nightly dump", "erp", "dumps", "backup", "dumps", {"schedule": "0 2 * * *", "timezone": "Europe/Berlin", "expected_by": "06:00", "verify": "full", "keep_versions": 3, "tags": ["backup"]}),
    Job("Price list", "erp", "prices", "branch-berlin", "prices", {"schedule": "*/5 6-18 * * 1-5", "timezone": "Europe/Berlin", "conflict": "newer", "priority": 9, "tags": ["branch"]}),
    Job("Orders of ACME", "partner-acme", "outgoing", "erp", "orders", {"watch": {"settle": 1}, "on_success": "archive", "archive_path": "sent", "tags": ["partner"], "description": "Moved as they arrive, then put into the partner's archive"}, run=False),
    Job("Product pictures", "web-1", "pictures", "branch-berlin", "pictures", {"bandwidth_limit": PICTURES_RATE, "chunk_size": MIB // 2, "compression": "none", "tags": ["branch"], "description": "At most 2 MiB a second while the store is open"}, run=False),
    Job("Invoices from branch", "branch-berlin", "invoices", "erp", "invoices", {"type": "pull", "retry": {"attempts": 0}, "tags": ["branch"], "description": "The folder is gone since the store was rebuilt"}),
)  # fmt: skip


class Showcase:
    """Call ``begin`` once, then ``tick`` until somebody has seen enough."""

    def __init__(self, client: HubClient, places: Places, processes: Processes, console: Console) -> None:
        self._client = client
        self._places = places
        self._processes = processes
        self._console = console
        self._chance = random.Random(SEED)  # noqa: S311  # nosec B311  # it makes up files
        self._jobs: dict[str, int] = {}
        self._order_at = 0.0
        self._orders = 0
        self._pictures: int | None = None

    def begin(self) -> None:
        """Agents, their files, jobs, and a first run of each that ends by itself."""
        with self._console.status("making the company's files"):
            self._make_files()
        with self._console.status("starting six agents"):
            ids = self._start_agents()
        existing = {job["name"]: job["id"] for job in self._client.pages("/api/jobs")}
        for job in JOBS:
            self._jobs[job.name] = existing.get(job.name) or self._make_job(job, ids)
        for job in JOBS:
            if job.run:
                self._client.post(f"/api/jobs/{self._jobs[job.name]}/run")

    def tick(self, now: float) -> None:
        """New orders, and the pictures once more when they have all been moved."""
        if now >= self._order_at:
            self._order_at = now + ORDER_EVERY_S
            self._write_order()
        if self._pictures is None or self._has_ended(self._pictures):
            self._write_pictures()
            self._pictures = int(self._client.post(f"/api/jobs/{self._jobs['Product pictures']}/run")["id"])

    def _folder(self, machine: str, *parts: str) -> Path:
        return self._places.root.joinpath("company", machine, "read", *parts)

    def _start_agents(self) -> dict[str, int]:
        for machine in MACHINES:
            folder = self._folder(machine.name)
            roots = [("--read", folder), ("--write", folder if machine.archives else folder.with_name("write"))]
            start_agent(self._client, self._places, self._processes, machine.name, roots, machine.transport)
        ids: dict[str, int] = {}
        for machine in MACHINES:
            agent = wait_online(self._client, self._processes, machine.name)
            ids[machine.name] = agent["id"]
            said = {"description": machine.description, "tags": list(machine.tags)}
            self._client.patch(f"/api/agents/{agent['id']}", said)
        return ids

    def _make_job(self, job: Job, ids: dict[str, int]) -> int:
        body = {
            "name": job.name,
            "source_agent_id": ids[job.source],
            "source_path": str(self._folder(job.source, job.folder)),
            "destination_agent_id": ids[job.destination],
            "destination_path": str(self._folder(job.destination).with_name("write") / job.target),
            **job.fields,
        }
        return int(self._client.post("/api/jobs", body)["id"])

    def _has_ended(self, run_id: int) -> bool:
        try:
            return self._client.get(f"/api/runs/{run_id}")["ended_at"] is not None
        except FluxError:
            return False

    def _make_files(self) -> None:
        chance = self._chance
        makers: list[tuple[str, str, int, Callable[[], bytes]]] = [
            ("web-1", "logs/access-{:02}.log", 12, lambda: self._log_lines(4000)),
            ("web-2", "logs/access-{:02}.log", 12, lambda: self._log_lines(2500)),
            ("web-1", "www/assets/page-{:03}.html", 300, lambda: self._log_lines(chance.randint(5, 60))),
            ("erp", "dumps/orders-{}.dump", 3, lambda: chance.randbytes(12 * MIB)),
            ("erp", "prices/prices-{:02}.csv", 20, lambda: self._prices(800)),
        ]
        for machine, pattern, count, content in makers:
            for number in range(count):
                _write(self._folder(machine, pattern.format(number)), content())
        self._folder("partner-acme", "outgoing").mkdir(parents=True, exist_ok=True)
        self._folder("branch-berlin").mkdir(parents=True, exist_ok=True)

    def _write_order(self) -> None:
        self._orders += 1
        name = f"order-{time.strftime('%H%M%S')}-{self._orders:04}.csv"
        _write(self._folder("partner-acme", "outgoing", name), self._prices(self._chance.randint(20, 400)))

    def _write_pictures(self) -> None:
        for number in range(12):
            _write(
                self._folder("web-1", "pictures", f"shoe-{number:02}.jpg"),
                os.urandom(PICTURES_MIB * MIB // 12),
                new=True,
            )

    def _log_lines(self, count: int) -> bytes:
        chance, pages = self._chance, ("/", "/cart", "/shoes/brown", "/shoes/black", "/search?q=boots", "/checkout")
        return "".join(
            f"10.0.{chance.randint(0, 9)}.{chance.randint(1, 254)} GET {chance.choice(pages)} {chance.choice((200, 200, 200, 304, 404))} {chance.randint(200, 90_000)}\n"
            for _ in range(count)
        ).encode()

    def _prices(self, count: int) -> bytes:
        return "".join(
            f"{number:06};{self._chance.randint(100, 99_999) / 100:.2f};EUR\n" for number in range(count)
        ).encode()


def _write(path: Path, content: bytes, *, new: bool = False) -> None:
    """What a showcase of before left stays, unless it is to be another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if new or not path.exists():
        path.write_bytes(content)
