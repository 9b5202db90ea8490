"""``kill -9`` of every process that takes part, at seeded moments in mid-transfer: the run ends verified, and nothing is torn or left over."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import QUICK_LIMITS, kill_pid, wait_for
from tests.integration.watch import FinalNames

WINDOW = int(QUICK_LIMITS["WINDOW_MAX"])
SEEDS = [pytest.param(seed, marks=() if seed < 2 else pytest.mark.long) for seed in range(10)]
VICTIMS = ("source", "destination", "source-worker", "destination-worker", "server", "arbiter", "postgresql")


def kill(site: Site, victim: str) -> None:
    """Kill, and start again what nobody else starts again."""
    match victim:
        case "source" | "destination":
            agent = site.source if victim == "source" else site.destination
            agent.running.kill()
            agent.start(wait=False)
        case "source-worker":
            kill_pid(site.source.worker_pids()[0])
        case "destination-worker":
            kill_pid(site.destination.worker_pids()[0])
        case "server":
            kill_pid(site.hub.server_pid)
        case "arbiter":
            site.hub.running.kill()
            site.hub.start()
        case "postgresql":
            kill_pid(site.hub.postgres_pid)


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
    fraction = random.Random(f"{victim}-{seed}").uniform(0.05, 0.75)
    size, digest = big.stat().st_size, sha256(big)
    target = site.destination.write / f"{victim}-{seed}"
    target.mkdir()
    job = site.hub.job(site.source.id, big, site.destination.id, f"{target}/", compression="none")
    with FinalNames(target, {big.name: digest}) as names:
        run_id = site.hub.run(job)
        wait_for_bytes(site, run_id, int(size * fraction))
        kill(site, victim)
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


def test_a_fresh_agent_resumes_what_another_began(site: Site, big: Path) -> None:
    """The destination's whole folder but its files is deleted: it keeps no state, so a fresh one goes on with the same token."""
    size, digest = big.stat().st_size, sha256(big)
    target = site.destination.write / "fresh"
    target.mkdir()
    run_id = site.hub.run(site.hub.job(site.source.id, big, site.destination.id, f"{target}/", compression="none"))
    wait_for_bytes(site, run_id, size // 3)
    site.destination.running.kill()
    token = site.destination.token_file.read_text()
    site.destination.token_file.unlink()
    moved = site.folder / "fresh-agent.token"
    moved.write_text(token)
    moved.chmod(0o600)
    site.destination.token_file = moved
    site.destination.start(wait=False)
    run = site.hub.wait_ended(run_id, 60)
    assert run["status"] == "succeeded", run
    assert sha256(target / big.name) == digest
    assert run["bytes_transferred"] <= size + WINDOW + 2**20
    assert run["bytes_reused"] > 0, "what the part held was not sent again"


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
