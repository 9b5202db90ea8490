"""``kill -9`` of every process that takes part, at seeded moments in mid-transfer: the run ends verified, and nothing is torn or left over."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.conftest import Site, write_numbered
from tests.integration.harness import QUICK_LIMITS, Agent, kill_pid, wait_for
from tests.integration.watch import FinalNames

SIZE = 320 * 2**20
SLOW = Rule.link(bandwidth=30e6)
"""The source's link shortly before the kill: the last 5 % of the file, two chunks, take half a second, time to see them coming and to kill in between."""
APPROACH = 64 * 2**20
"""So much before the kill the link becomes slow: what is on its way then, a window at most, is well below that."""
WINDOW = int(QUICK_LIMITS["WINDOW_MAX"])
SEEDS = [pytest.param(seed, marks=() if seed < 1 else pytest.mark.long) for seed in range(10)]
EARLIEST, LATEST = 0.05, 0.95
VICTIMS = ("source", "destination", "source-worker", "destination-worker", "server", "arbiter", "postgresql")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), source_link=Rule())
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def big(site: Site) -> Iterator[Path]:
    path = site.source.read / f"big-{os.urandom(4).hex()}.bin"
    write_numbered(path, SIZE)
    yield path
    path.unlink()


def kill(site: Site, victim: str) -> None:
    match victim:
        case "source" | "destination":
            agent_of(site, victim).running.kill()
        case "source-worker":
            kill_pid(site.source.worker_pids()[0])
        case "destination-worker":
            kill_pid(site.destination.worker_pids()[0])
        case "server":
            kill_pid(site.hub.server_pid)
        case "arbiter":
            site.hub.running.kill()
        case "postgresql":
            kill_pid(site.hub.postgres_pid)


def restart(site: Site, victim: str) -> None:
    """Start again what nobody else starts again."""
    match victim:
        case "source" | "destination":
            agent_of(site, victim).start(wait=False)
        case "arbiter":
            site.hub.start()


def link(site: Site) -> FaultProxy:
    assert site.proxy is not None
    return site.proxy


def agent_of(site: Site, role: str) -> Agent:
    return site.source if role == "source" else site.destination


def wait_for_bytes(site: Site, run_id: int, wanted: int) -> None:
    """Until the run has moved so many bytes; it must not have ended yet."""

    def moved() -> bool:
        run = site.hub.show(run_id)
        assert run["status"] not in ("succeeded", "failed", "partial", "cancelled"), f"too late for the kill: {run}"
        return bool(run["bytes_done"] >= wanted)

    wait_for(f"{wanted} bytes of run {run_id}", moved, 30)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_in_mid_transfer(site: Site, big: Path, victim: str, seed: int) -> None:
    fraction = random.Random(f"{victim}-{seed}").uniform(EARLIEST, LATEST)
    size, digest = big.stat().st_size, sha256(big)
    target = site.destination.write / f"{victim}-{seed}"
    target.mkdir()
    job = site.hub.job(site.source.id, big, site.destination.id, f"{target}/", compression="none")
    with FinalNames(target, {big.name: digest}) as names:
        before = link(site).bytes_up
        run_id = site.hub.run(job)
        wait_for_bytes(site, run_id, int(size * fraction) - APPROACH)
        link(site).set(SLOW)
        wait_for_bytes(site, run_id, int(size * fraction))
        kill(site, victim)
        sent, named = link(site).bytes_up - before, (target / big.name).exists()
        link(site).set(Rule())
        restart(site, victim)
        assert sent < size, "too late for the kill: the source had sent everything"
        assert not named, "too late for the kill: the file has its name"
        run = site.hub.wait_ended(run_id, 90)
    assert run["status"] == "succeeded", run
    assert dict(names.appeared) == {big.name: 1}, "the final name appears once"
    assert not names.torn
    assert os.listdir(target) == [big.name], "no part is left"
    assert sha256(target / big.name) == digest
    (transfer,) = site.hub.transfers(run_id)
    assert transfer["status"] == "completed"
    assert transfer["file_hash"] == digest
    assert run["bytes_transferred"] <= size + WINDOW + 2**20, "at most one window is sent twice"
    shutil.rmtree(target)


@pytest.mark.parametrize("role", [pytest.param("source", marks=pytest.mark.long), "destination"])
def test_a_fresh_agent_resumes_what_another_began(site: Site, big: Path, role: str) -> None:
    """All that an agent ever had but the users' files is deleted: a fresh one goes on with the same token."""
    folder = site.folder / f"fresh-{role}"
    folder.mkdir()
    agent = Agent(site.hub, f"fresh-{role}", folder, hub_url=link(site).url())
    agent.move_in(folder / "first")
    agent.start()
    source, destination = (agent, site.destination) if role == "source" else (site.source, agent)
    path = big.rename(source.read / big.name)
    size, digest = path.stat().st_size, sha256(path)
    job = site.hub.job(source.id, path, destination.id, f"{destination.write}/", compression="none")
    try:
        run_id = site.hub.run(job)
        wait_for_bytes(site, run_id, size // 3)
        agent.running.kill()
        shutil.rmtree(folder / "first")
        agent.move_in(folder / "second")
        agent.start(wait=False)
        run = site.hub.wait_ended(run_id, 60)
    finally:
        agent.stop()
        path.rename(big)
    assert run["status"] == "succeeded", run
    assert sha256(destination.write / big.name) == digest
    assert run["bytes_transferred"] <= size + WINDOW + 2**20
    assert run["bytes_reused"] > 0, "what the part held was not sent again"
    assert not (folder / "first").exists()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_file_that_its_agent_always_dies_of(site: Site, big: Path) -> None:
    """No chunk is whole between two deaths: after a few of them the file has failed, and its row says why."""
    target = site.destination.write / "deadly"
    link(site).set(Rule.link(bandwidth=200e3))
    try:
        job = site.hub.job(
            site.source.id,
            big,
            site.destination.id,
            f"{target}/",
            compression="none",
            retry={"attempts": 1, "delay": 0.1},
        )
        run_id = site.hub.run(job)

        def died_again() -> bool:
            if site.hub.show(run_id)["status"] == "failed":
                return True
            (transfer,) = site.hub.transfers(run_id) or ({"status": ""},)
            if transfer["status"] == "transferring":
                site.destination.running.kill()
                site.destination.start()
            return False

        wait_for("the run to fail", died_again, 150)
    finally:
        link(site).set(Rule())
    (transfer,) = site.hub.transfers(run_id)
    assert transfer["code"] == "worker_died"
    assert "times in a row" in transfer["reason"]
    wait_for("the part to be removed", lambda: not any(target.glob("*")), 20)


def test_everything_at_once(site: Site, big: Path) -> None:
    """The power cut of the rack: hub, database and both agents."""
    size, digest = big.stat().st_size, sha256(big)
    target = site.destination.write / "rack"
    target.mkdir()
    with FinalNames(target, {big.name: digest}) as names:
        run_id = site.hub.run(site.hub.job(site.source.id, big, site.destination.id, f"{target}/", compression="none"))
        wait_for_bytes(site, run_id, size // 2)
        postgres = site.hub.postgres_pid
        for pid in (site.source.running.pid, site.destination.running.pid, site.hub.server_pid, postgres):
            os.kill(pid, signal.SIGKILL)
        site.hub.running.kill()
        site.source.running.popen.wait()
        site.destination.running.popen.wait()
        site.hub.start()
        site.source.start()
        site.destination.start()
        run = site.hub.wait_ended(run_id, 60)
    assert run["status"] == "succeeded", run
    assert dict(names.appeared) == {big.name: 1}
    assert not names.torn
    assert os.listdir(target) == [big.name]
