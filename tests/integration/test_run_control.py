"""Pause, resume, retry and cancel with real processes; what was asked holds through ``kill -9``."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileflux.errors import ConflictError
from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.conftest import Site, write_numbered
from tests.integration.harness import QUICK_LIMITS, kill_pid, wait_for

MIB = 2**20
WINDOW = int(QUICK_LIMITS["WINDOW_MAX"])
SLOW = Rule.link(bandwidth=12e6)
"""A test has some seconds to act in mid-file."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    env = {"FILEFLUX_LIMITS_PARTS_SWEEP_INTERVAL": "0.2"}
    site = Site(tmp_path_factory.mktemp("site"), hub_env=env, source_link=Rule())
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def link(site: Site) -> Iterator[FaultProxy]:
    """The source's link, which is slow when a test begins."""
    assert site.proxy is not None
    site.proxy.set(SLOW)
    yield site.proxy
    site.proxy.set(Rule())


def folders(site: Site, name: str, *files: str, size: int) -> tuple[Path, Path]:
    source, target = site.source.read / name, site.destination.write / name
    source.mkdir()
    for file in files:
        write_numbered(source / file, size)
    return source, target


def start(site: Site, source: Path, target: Path, **fields: object) -> int:
    fields = {"compression": "none", "chunk_size": MIB, **fields}
    return site.hub.run(site.hub.job(site.source.id, source, site.destination.id, target, **fields))


def ask(site: Site, run_id: int, verb: str) -> dict:
    return site.hub.client.post(f"/api/runs/{run_id}/{verb}")


def moved(site: Site, run_id: int, wanted: int) -> None:
    def enough() -> bool:
        run = site.hub.show(run_id)
        assert run["ended_at"] is None, f"too late: {run}"
        return bool(run["bytes_done"] >= wanted)

    wait_for(f"{wanted} bytes of run {run_id}", enough, 20)


def quiet(link: FaultProxy, within: float) -> None:
    """The source stops sending; what it had given to the system before may still come."""
    seen = [(time.monotonic(), link.bytes_up)]

    def still() -> bool:
        seen.append((time.monotonic(), link.bytes_up))
        recent = [count for at, count in seen if at > seen[-1][0] - 0.3]
        return seen[-1][0] - seen[0][0] > 0.3 and recent[-1] - recent[0] < 64 * 1024

    wait_for("quiet", still, within + 0.3)


def parts(target: Path) -> list[str]:
    return [name for name in os.listdir(target) if name.endswith(".fluxpart")]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_part_at_a_destination_that_was_away_is_swept(site: Site, link: FaultProxy) -> None:
    """The first test: after a kill of the hub agents poll, and the end of one that polls shows late."""
    source, target = folders(site, "swept", "big", size=48 * MIB)
    run_id = start(site, source, target)
    moved(site, run_id, 8 * MIB)
    site.destination.running.kill()
    wait_for("the agent to be away", lambda: site.hub.show(run_id)["status"] == "waiting_agent", 10)
    ask(site, run_id, "cancel")
    assert site.hub.wait_ended(run_id)["status"] == "cancelled"
    assert len(parts(target)) == 1
    site.destination.start()
    wait_for("the part to be swept", lambda: not parts(target), 10)


def test_paused_runs_outlive_the_hub(site: Site, link: FaultProxy) -> None:
    """One goes on afterwards, and one is cancelled."""
    runs = {}
    for verb in ("resume", "cancel"):
        source, target = folders(site, f"paused-{verb}", "big", size=48 * MIB)
        runs[verb] = source, target, start(site, source, target)
    for _, _, run_id in runs.values():
        moved(site, run_id, 4 * MIB)
        paused = ask(site, run_id, "pause")
        assert paused["status"] == "paused"
        assert paused["reason"].startswith("paused by ")
    quiet(link, within=1.0)
    before = link.bytes_up
    kill_pid(site.hub.server_pid)
    for _, target, run_id in runs.values():
        wait_for("the hub", lambda run_id=run_id: site.hub.show(run_id)["status"] == "paused", 20)
        assert len(parts(target)) == 1, "the part waits"
    site.source.wait_online()
    site.destination.wait_online()
    assert link.bytes_up - before < MIB, "nothing but talk"
    link.set(Rule())
    ended = {}
    for verb, (_, _, run_id) in runs.items():
        assert ask(site, run_id, verb)["id"] == run_id
        ended[verb] = site.hub.wait_ended(run_id, 30)
    source, target, _ = runs["resume"]
    assert ended["resume"]["status"] == "succeeded", ended
    assert digests(target) == digests(source)
    assert ended["resume"]["bytes_transferred"] <= 48 * MIB + WINDOW + MIB, "at most one window is sent twice"
    assert ended["resume"]["bytes_reused"] > 0
    assert ended["cancel"]["status"] == "cancelled"
    wait_for("the part to go", lambda: not parts(runs["cancel"][1]), 5)


def test_a_cancelled_run_ends_at_both_agents_within_a_second(site: Site, link: FaultProxy) -> None:
    source, target = folders(site, "cancelled", "big", size=48 * MIB)
    run_id = start(site, source, target)
    moved(site, run_id, 4 * MIB)
    assert len(parts(target)) == 1
    began = time.monotonic()
    ask(site, run_id, "cancel")
    wait_for("the part to go", lambda: not parts(target), 1.0)
    quiet(link, within=max(0.0, began + 1.0 - time.monotonic()))
    run = site.hub.wait_ended(run_id, 5)
    assert run["status"] == "cancelled"
    assert run["bytes_done"] < 48 * MIB


def test_a_retry_moves_what_failed(site: Site) -> None:
    source, target = folders(site, "retry", "a", "b", size=MIB)
    deep = source / "deep"
    deep.mkdir()
    write_numbered(deep / "c", MIB)
    os.utime(deep, ns=(10**18, 10**18))
    (target / "deep").mkdir(parents=True)
    (target / "deep" / "c").write_bytes(b"in the way")
    first = site.hub.wait_ended(start(site, source, target, conflict="fail"))
    assert (first["status"], first["files_done"], first["files_failed"]) == ("partial", 2, 1), first
    (target / "deep" / "c").unlink()
    write_numbered(deep / "c", 2 * MIB)
    os.utime(deep, ns=(10**18, 10**18))
    second = site.hub.wait_ended(ask(site, first["id"], "retry")["id"])
    assert (second["status"], second["files_total"], second["files_done"]) == ("succeeded", 1, 1), second
    assert second["bytes_transferred"] < 3 * MIB
    assert (target / "deep" / "c").read_bytes() == (deep / "c").read_bytes(), "as it is now"
    assert (target / "deep").stat().st_mtime_ns == 10**18
    with pytest.raises(ConflictError, match="nothing of run"):
        ask(site, second["id"], "retry")


def test_single_transfers_are_cancelled_and_taken_up_again(site: Site, link: FaultProxy) -> None:
    source, target = folders(site, "single", "a", "b", "c", size=24 * MIB)
    run_id = start(site, source, target, parallel=3)
    client = site.hub.client
    moved(site, run_id, 2 * MIB)
    ids = {transfer["filename"]: transfer["id"] for transfer in site.hub.transfers(run_id)}

    def status(name: str) -> str:
        return str(client.get(f"/api/transfers/{ids[name]}")["status"])

    def chunks(name: str) -> set[str]:
        return {chunk["status"] for chunk in client.get(f"/api/transfers/{ids[name]}/chunks")["items"]}

    wait_for("the first chunk of c", lambda: "acked" in chunks("c"), 5)
    assert "missing" in chunks("c")
    for name in ("a", "b"):
        client.post(f"/api/transfers/{ids[name]}/cancel")
        wait_for(f"the end of {name}", lambda name=name: status(name) == "cancelled", 5)
    client.post(f"/api/transfers/{ids['b']}/resume")
    assert status("b") in ("pending", "transferring")
    link.set(Rule())
    run = site.hub.wait_ended(run_id, 30)
    assert (run["status"], run["reason"]) == ("partial", "1 file was cancelled"), run
    assert (run["files_done"], run["files_failed"]) == (2, 0)
    assert {name: status(name) for name in ids} == {"a": "cancelled", "b": "completed", "c": "completed"}
    wait_for("the part to go", lambda: sorted(os.listdir(target)) == ["b", "c"], 5)
    assert chunks("c") == {"done"}
    with pytest.raises(ConflictError, match="retry the run"):
        client.post(f"/api/transfers/{ids['a']}/resume")
