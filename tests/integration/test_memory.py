"""The memory of every process that takes part stays bounded while a large file goes by."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from fileflux.protocol.limits import DEFAULT_LIMITS
from tests.integration.conftest import Site
from tests.integration.harness import Agent, Hub
from tests.integration.invariants import pss_mib

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs smaps_rollup")

MIB = 2**20
GIB = 2**30
ALLOWED_MIB = 300
INTERVAL_S = 0.1
IDLE_SAMPLES = 10


class FullSite(Site):
    """With the window that users have, not the small one of the other tests."""

    def __init__(self, folder: Path) -> None:
        window = str(DEFAULT_LIMITS.window_max)
        agents = {"FLUX_AGENT_LIMITS_WINDOW_MAX": window}
        self.folder = folder
        self.hub = Hub(folder, env={"FILEFLUX_LIMITS_WINDOW_MAX": window}).start()
        self.source = Agent(self.hub, "source", folder, env=agents).start()
        self.destination = Agent(self.hub, "destination", folder, env=agents).start()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FullSite]:
    """Fresh for each test: what earlier files left behind in memory would count as idle."""
    site = FullSite(tmp_path)
    try:
        yield site
    finally:
        site.stop()


class Sampler:
    """Use as a context manager: the highest sum of each group of processes while inside it."""

    def __init__(self, groups: dict[str, Callable[[], list[int]]]) -> None:
        self._pids = {name: pids() for name, pids in groups.items()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self.samples = 0
        self.peak = dict.fromkeys(groups, 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            for name, pids in self._pids.items():
                self.peak[name] = max(self.peak[name], sum(map(pss_mib, pids)))
            self.samples += 1
            self._over.wait(max(0.0, began + INTERVAL_S - time.monotonic()))


def groups_of(site: Site) -> dict[str, Callable[[], list[int]]]:
    def agent(one: Agent) -> Callable[[], list[int]]:
        return lambda: [one.running.pid, *one.worker_pids()]

    return {
        "hub": lambda: [site.hub.server_pid, *site.hub.worker_pids()],
        "source": agent(site.source),
        "destination": agent(site.destination),
    }


def write_noise(path: Path, size: int) -> None:
    """Incompressible, and no two blocks of 64 MiB alike."""
    noise = bytearray(os.urandom(64 * MIB))
    with path.open("wb") as file:
        for number in range(size // len(noise)):
            noise[:8] = number.to_bytes(8, "big")
            file.write(noise)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("size_mib", "compression"),
    [
        pytest.param(512, "none"),
        pytest.param(2048, "none", marks=pytest.mark.long),
        pytest.param(2048, "auto", marks=pytest.mark.long),
    ],
)
def test_memory_while_a_large_file_moves(
    site: Site, capsys: pytest.CaptureFixture[str], size_mib: int, compression: str
) -> None:
    source = site.source.read / f"{size_mib}-{compression}.bin"
    write_noise(source, size_mib * MIB)
    job = site.hub.job(
        site.source.id, source, site.destination.id, f"{site.destination.write}/memory/", compression=compression
    )
    groups = groups_of(site)
    with Sampler(groups) as idle:
        time.sleep(IDLE_SAMPLES * INTERVAL_S)
    before = {name: pids() for name, pids in groups.items()}
    began = time.monotonic()
    with Sampler(groups) as moving:
        run = site.hub.wait_ended(site.hub.run(job), 300)
    seconds = time.monotonic() - began
    assert run["status"] == "succeeded", run
    assert run["bytes_transferred"] >= size_mib * MIB, "it was really sent"
    assert moving.samples >= seconds / INTERVAL_S / 2, "the samples are close enough to see the peak"
    assert {name: pids() for name, pids in groups.items()} == before, "no process was replaced meanwhile"
    above = {name: moving.peak[name] - idle.peak[name] for name in groups}
    with capsys.disabled():
        figures = ", ".join(f"{name} {idle.peak[name]:.0f} + {above[name]:.0f}" for name in groups)
        print(
            f"\n{size_mib} MiB ({compression}) in {seconds:.1f} s; PSS idle + peak above it, MiB: {figures} ({moving.samples} samples)"
        )
    assert max(above.values()) < ALLOWED_MIB, above
    source.unlink()
    (site.destination.write / "memory" / source.name).unlink()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size_gib", [2, pytest.param(100, marks=pytest.mark.long)])
def test_memory_and_bytes_of_a_sparse_file(site: Site, capsys: pytest.CaptureFixture[str], size_gib: int) -> None:
    source = site.source.read / "sparse.img"
    with source.open("wb") as file:
        for part in range(4):
            file.seek(part * size_gib * GIB // 4)
            file.write(os.urandom(MIB))
        file.truncate(size_gib * GIB)
    job = site.hub.job(site.source.id, source, site.destination.id, f"{site.destination.write}/memory/")
    groups = groups_of(site)
    with Sampler(groups) as idle:
        time.sleep(IDLE_SAMPLES * INTERVAL_S)
    began = time.monotonic()
    with Sampler(groups) as moving:
        run = site.hub.wait_ended(site.hub.run(job), 1700)
    seconds = time.monotonic() - began
    assert run["status"] == "succeeded", run
    assert run["bytes_transferred"] < 64 * MIB + size_gib * MIB // 4
    final = site.destination.write / "memory" / source.name
    assert final.stat().st_size == size_gib * GIB
    assert final.stat().st_blocks * 512 < 64 * MIB
    with source.open("rb") as ours, final.open("rb") as theirs:
        for part in range(4):
            for file in (ours, theirs):
                file.seek(part * size_gib * GIB // 4)
            assert ours.read(2 * MIB) == theirs.read(2 * MIB)
    above = {name: moving.peak[name] - idle.peak[name] for name in groups}
    with capsys.disabled():
        figures = ", ".join(f"{name} + {above[name]:.0f}" for name in groups)
        print(f"\n{size_gib} GiB with holes in {seconds:.1f} s; PSS above idle, MiB: {figures}")
    assert max(above.values()) < ALLOWED_MIB, above
    source.unlink()
    final.unlink()
