"""What must hold after every fault, whatever it was and over whatever transport (I1 to I7 and I10 of the promises).

    with Promised(site, site.file(64 * MIB)) as moving:     # the run is started
        moving.wait_for_bytes(16 * MIB)
        ...                                                 # the fault
        moving.interruptions += 1                           # each may cost one window of bytes sent again
                                                            # leaving: the run ends in time, and everything is looked at

Crashes (I8) have tests of their own (test_kill.py, test_syscalls.py); schedules (I9) do not exist yet.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from fileflux.errors import FluxError
from fileflux.protocol.limits import DEFAULT_LIMITS
from tests.integration.conftest import Site
from tests.integration.harness import QUICK_LIMITS, wait_for
from tests.integration.network import MIB, WINDOW, NetworkSite
from tests.integration.store import query
from tests.integration.watch import FinalNames

ENDED = ("succeeded", "partial", "failed", "cancelled")
SMALL = MIB
"""Headers of frames, pieces and requests, control messages: what goes over the wire besides chunks, for each 64 MiB."""
DESCRIPTORS_MORE = 8
"""The hub's pool of database connections grows when it is needed."""
MEMORY_MORE_MIB = {"hub": DEFAULT_LIMITS.relay_budget // MIB, "source": 40, "destination": 40}
"""Processes keep what they once needed for the next time (kernel/memory.py). What the hub may need is its byte budget, whatever happens."""
LINKS_EACH = {"websocket": 1, "polling": DEFAULT_LIMITS.polls_max + DEFAULT_LIMITS.slices_in_flight}
"""Connections of one agent at most: polls and slices of long-polling have one each."""


@dataclass(frozen=True)
class Level:
    """What the processes hold, by ``hub``, ``source``, ``destination``: descriptors but for those of links, MiB of memory, links."""

    descriptors: dict[str, int]
    memory: dict[str, float]
    links: dict[str, int]

    @classmethod
    def of(cls, site: Site) -> Self:
        ports = {site.hub.port}
        if isinstance(site, NetworkSite):
            ports |= {proxy.port for proxy in site.proxies.values()}
        elif site.proxy is not None:
            ports.add(site.proxy.port)
        groups = {
            "hub": [site.hub.server_pid, *site.hub.worker_pids()],
            "source": [site.source.running.pid, *site.source.worker_pids()],
            "destination": [site.destination.running.pid, *site.destination.worker_pids()],
        }
        links = {name: _connections(pids[0], ports) for name, pids in groups.items()}
        descriptors = {name: sum(map(_descriptors, pids)) - links[name] for name, pids in groups.items()}
        return cls(descriptors, {name: sum(map(pss_mib, pids)) for name, pids in groups.items()}, links)

    def above(self, base: Level, site: Site) -> list[str]:
        """What is more than in ``base`` by more than chance."""
        found = [
            f"{name} has {count} descriptors, {base.descriptors[name]} before"
            for name, count in self.descriptors.items()
            if count > base.descriptors[name] + DESCRIPTORS_MORE
        ]
        found += [
            f"{name} holds {mib:.0f} MiB, {base.memory[name]:.0f} before"
            for name, mib in self.memory.items()
            if mib > base.memory[name] + MEMORY_MORE_MIB[name]
        ]
        each = {one["id"]: LINKS_EACH.get(one["transport"], 0) for one in site.hub.client.pages("/api/agents")}
        most = {
            "source": each[site.source.id],
            "destination": each[site.destination.id],
            # Two more: this test's own client.
            "hub": sum(each.values()) + 2,
        }
        return found + [f"{name} has {count} links open" for name, count in self.links.items() if count > most[name]]


def pss_mib(pid: int) -> float:
    """Proportional set size: memory that processes share, such as that of the chunks, is divided among them, so sums are right. 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _descriptors(pid: int) -> int:
    return psutil.Process(pid).num_fds()


def _connections(pid: int, ports: set[int]) -> int:
    found = psutil.Process(pid).net_connections("tcp")
    return sum(1 for each in found if each.raddr and (each.laddr.port in ports or each.raddr.port in ports))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def secrets_of(site: Site) -> list[str]:
    """What no log may hold: agents' tokens, the user's password and token."""
    tokens = [agent.token_file.read_text().strip() for agent in (site.source, site.destination)]
    return [*(token.partition("_")[2] for token in tokens), site.hub.password, site.hub.client.token]


def check_logs(site: Site) -> None:
    """I10."""
    secrets = secrets_of(site)
    assert all(len(secret) >= 12 for secret in secrets)
    for log in {*site.folder.glob("*.log"), *site.hub.folder.glob("*.log")}:
        text = log.read_text(errors="replace")
        assert not [line for line in text.splitlines() if any(secret in line for secret in secrets)], log
        # A mistake of the program is no answer to a bad network.
        assert "Traceback" not in text, f"{log}: {text[text.index('Traceback') :][:3000]}"


def check_level(site: Site, base: Level, within: float = 20.0) -> None:
    """I7: it comes back, at once or after the time-outs that let go of dead links."""
    left: list[str] = ["nothing measured"]

    def back() -> bool:
        left[:] = Level.of(site).above(base, site)
        return not left

    try:
        wait_for("descriptors, links and memory to come back", back, within)
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from None


class Promised:
    """One file from the site's source to a new folder of its destination. ``within``: seconds to the end from leaving the block."""

    def __init__(self, site: Site, source: Path, *, within: float = 60.0, **job: Any) -> None:
        self.site = site
        self.source = source
        self.within = within
        self.interruptions = 0
        self.run: dict[str, Any] = {}
        """The run's last state; whole after the block."""
        self.transfer: dict[str, Any] = {}
        self._window = WINDOW if isinstance(site, NetworkSite) else int(QUICK_LIMITS["WINDOW_MAX"])
        self._job = {"compression": "none", "chunk_size": MIB, **job}
        self.target = site.destination.write / f"to-{source.stem}"
        self.digest = sha256(source)
        self.size = source.stat().st_size
        self._names = FinalNames(self._made(), {source.name: self.digest})
        self._sent_before = _sent(site)
        self.run_id = 0

    def _made(self) -> Path:
        self.target.mkdir()
        return self.target

    def __enter__(self) -> Self:
        self._names.__enter__()
        try:
            job = self.site.hub.job(
                self.site.source.id, self.source, self.site.destination.id, f"{self.target}/", **self._job
            )
            self.run_id = self.site.hub.run(job)
        except BaseException:
            self._names.__exit__()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.run = self.site.hub.wait_ended(self.run_id, self.within)
            else:
                # Its bytes would be in the way of the next test.
                with suppress(FluxError):
                    self.site.hub.client.post(f"/api/runs/{self.run_id}/cancel")
        finally:
            self._names.__exit__()
        if kind is None:
            self._check()
            self.source.unlink()
            (self.target / self.source.name).unlink()

    # While it moves

    def show(self) -> dict[str, Any]:
        self.run = self.site.hub.show(self.run_id)
        return self.run

    def still_moves(self) -> bool:
        return self.show()["status"] not in ENDED

    @property
    def bytes_done(self) -> int:
        return int(self.show()["bytes_done"])

    def wait_for_bytes(self, wanted: int, timeout: float = 30.0) -> None:
        """Until so many bytes have arrived; the run must not have ended yet."""

        def moved() -> bool:
            assert self.still_moves(), f"too early an end: {self.run}"
            return bool(self.run["bytes_done"] >= wanted)

        wait_for(f"{wanted} bytes of run {self.run_id}", moved, timeout)

    # Afterwards

    def _check(self) -> None:
        run, final = self.run, self.target / self.source.name
        assert run["status"] == "succeeded", (run, self.site.hub.transfers(self.run_id))
        self._check_file(final)
        self._check_records()
        self._check_bytes()
        check_logs(self.site)

    def _check_file(self, final: Path) -> None:
        """I1, I4, I5."""
        assert not self._names.torn, "a final name appeared with other content than the source's"
        assert dict(self._names.appeared) == {self.source.name: 1}, "the final name appears once"
        assert os.listdir(self.target) == [final.name], "no part is left"
        assert sha256(final) == self.digest

    def _check_records(self) -> None:
        """I2, I3: rows, file and audit say the same."""
        hub, run = self.site.hub, self.run
        (row,) = query(hub, "SELECT * FROM transfers WHERE run_id = %s", self.run_id)
        assert (row["status"], bytes(row["file_hash"]).hex()) == ("completed", self.digest)
        assert (row["size"], row["bytes_done"]) == (self.size, self.size)
        assert row["completed_chunks"] == row["total_chunks"]
        assert row["ended_at"] is not None
        (shown,) = hub.transfers(self.run_id)
        assert (shown["status"], shown["file_hash"]) == ("completed", self.digest)
        assert (run["files_done"], run["files_failed"], run["files_skipped"]) == (1, 0, 0)
        self.transfer = row

        def audit() -> list[tuple[str, str]]:
            found = query(hub, "SELECT action, outcome FROM audit WHERE object IN (%s, %s) ORDER BY id", f"run:{self.run_id}", f"transfer:{row['id']}")  # fmt: skip
            return [(entry["action"], entry["outcome"]) for entry in found]

        expected = [("run.requested", "ok"), ("run.ended", "succeeded")]
        wait_for(f"the audit log to say {expected}", lambda: audit() == expected, 5)

    def _check_bytes(self) -> None:
        """I6, by the hub's count of frames, and by what went into the network before each agent."""
        most = self.size + self._window * self.interruptions + SMALL
        assert self.size - self.run["bytes_reused"] <= self.run["bytes_transferred"] <= most, self.run
        sent = _sent(self.site)
        # What was on its way is asked for once more over the same link of long-polling before it is given up. Then, requests and texts.
        allowed = most + self._window * self.interruptions + self.size // 50 + SMALL
        for role, before in self._sent_before.items():
            assert sent[role] - before <= allowed, f"{role}: {sent[role] - before} bytes for {self.size}"


def _sent(site: Site) -> dict[str, int]:
    """Bytes that the source, and the hub for the destination, have given to the network."""
    if not isinstance(site, NetworkSite):
        return {}
    return {
        "source": sum(each.up.received for each in site.proxies["source"].connections),
        "destination": sum(each.down.received for each in site.proxies["destination"].connections),
    }
