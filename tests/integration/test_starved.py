"""A hub that has too little of something: descriptors, processor time, a place for its log. Work goes on, or goes on afterwards."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tests.agent.files.mounts import mounted
from tests.faults.rules import Rule
from tests.integration.cgroups import group
from tests.integration.conftest import Site, write_numbered
from tests.integration.harness import kill_pid, wait_for
from tests.integration.invariants import Promised
from tests.integration.network import MIB
from tests.integration.test_full_disk import fill

SIZE = 64 * MIB
PAGE = 4096
SLOW = Rule.link(bandwidth=16e6)
"""A file takes four seconds: time to disturb it, and to see that it moves meanwhile."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), source_link=SLOW)
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def source(site: Site) -> Path:
    path = site.source.read / f"file-{os.urandom(4).hex()}.bin"
    write_numbered(path, SIZE)
    return path


def connected_since(site: Site) -> list[datetime]:
    return [
        datetime.fromisoformat(site.hub.client.get(f"/api/agents/{agent.id}")["connected_since"])
        for agent in (site.source, site.destination)
    ]


def test_no_descriptors_are_left(site: Site, source: Path) -> None:
    """Whoever comes then waits in vain; the transfer goes on, and afterwards the hub answers again."""
    server = psutil.Process(site.hub.server_pid)
    before = server.rlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack, Promised(site, source) as moving:
        moving.wait_for_bytes(8 * MIB)
        server.rlimit(resource.RLIMIT_NOFILE, (server.num_fds() + 4, before[1]))
        try:
            for _ in range(40):
                stack.enter_context(socket.create_connection(("127.0.0.1", site.hub.port), timeout=5))
            wait_for("the file to be there all the same", (moving.target / source.name).exists, 30)
        finally:
            server.rlimit(resource.RLIMIT_NOFILE, before)
        stack.close()
        wait_for("the hub to answer again", lambda: site.hub.client.get("/api/agents"), 20)


def test_a_tenth_of_a_core(site: Site, source: Path) -> None:
    """Nobody is taken for dead: both agents keep their sessions, and the file arrives."""
    since = connected_since(site)
    with group() as cpu, Promised(site, source, within=120) as moving:
        moving.wait_for_bytes(8 * MIB)
        cpu.limit_cpu(0.1)
        cpu.add([site.hub.server_pid, *site.hub.worker_pids()])
        at = moving.bytes_done
        moving.wait_for_bytes(at + 8 * MIB, 60)
    # The hub counts from its own clock back: microseconds differ.
    assert all(abs(now - then) < timedelta(seconds=1) for now, then in zip(connected_since(site), since, strict=True))


def test_a_full_disk_takes_no_more_of_the_log(tmp_path: Path) -> None:
    """What hub and agents would say is lost, and nothing else: a connection, a worker and a server process end meanwhile."""
    logs, folder = tmp_path / "logs", tmp_path / "site"
    logs.mkdir()
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1m", "none", on=logs):
        for name in ("hub-1", "source-1", "destination-1"):
            (folder / f"{name}.log").symlink_to(logs / name)
        site = Site(folder, source_link=Rule())
        try:
            written = {log: log.stat().st_size for log in logs.iterdir()}
            fill(logs / "filler")
            source = site.source.read / "file.bin"
            write_numbered(source, SIZE)
            kill_pid(site.source.worker_pids()[0])
            kill_pid(site.hub.server_pid)
            wait_for("the hub to answer again", lambda: site.hub.client.get("/api/agents"), 30)
            site.source.wait_online()
            with Promised(site, source):
                pass
            for log, size in written.items():
                assert log.stat().st_size - size < PAGE, "there was room for more, so nothing was tried"
        finally:
            site.stop()
