"""What whoever runs a hub relies on: numbers, logs, an orderly stop in mid-transfer, and a backup that brings all of it back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rules import Rule
from tests.integration.conftest import Site, write_numbered
from tests.integration.flow import CommandLine, everybody_does_everything, scrape
from tests.integration.harness import wait_for
from tests.integration.invariants import Promised, check_logs

MIB = 2**20
FILE = 48 * MIB
SLOW = Rule.link(bandwidth=15e6)
"""A file takes more than three seconds: an orderly stop is over in one or two."""
CRAWL = Rule.link(bandwidth=1e6)
"""Nothing ends while other things are done."""
STOP_MAX = 10.0
"""Nothing but transfers is going on, and these are not waited for; the bound for a request that hangs is stop_timeout, 30 s."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), hub_env={"FILEFLUX_LOG_FORMAT": "json"}, source_link=SLOW)
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def big(site: Site) -> Path:
    path = site.source.read / f"big-{time.monotonic_ns()}.bin"
    write_numbered(path, FILE)
    return path


def test_the_numbers_equal_the_facts(site: Site) -> None:
    """Also those of a run that fails; and its lines say which run and transfer they are about."""
    before = scrape(site)
    assert before["fileflux_agents_online"][""] == 2
    assert before["fileflux_links_opened_total"]["websocket"] == 2
    assert {name: before["fileflux_check_ok"][name] for name in ("database", "workers", "disk")} == dict.fromkeys(
        ("database", "workers", "disk"), 1
    )
    assert before["fileflux_workers_alive"][""] == 2
    assert before["fileflux_data_free_bytes"][""] > 2**20
    tree = site.source.read / "tree"
    tree.mkdir()
    for number in range(5):
        (tree / f"{number}").write_bytes(bytes([number]) * MIB)
    (site.destination.write / "tree").mkdir()
    (site.destination.write / "tree" / "3").write_bytes(b"there already")
    job = site.hub.job(
        site.source.id, tree, site.destination.id, site.destination.write / "tree", conflict="fail", compression="none"
    )
    run = site.hub.wait_ended(site.hub.run(job))
    assert (run["status"], run["files_done"], run["files_failed"]) == ("partial", 4, 1)
    (failed,) = (one for one in site.hub.transfers(run["id"]) if one["status"] == "failed")

    def more() -> dict[str, dict[str, float]] | None:
        after = scrape(site)
        return after if after["fileflux_runs_ended_total"]["partial"] == 1 else None

    after = wait_for("the run to be counted", more, 5)
    ended = after["fileflux_transfers_ended_total"]
    assert (ended["completed"], ended["failed"], ended["skipped"]) == (4, 1, 0)
    # Frames have heads; of the file that could not be written nothing was sent.
    assert 4 * MIB <= after["fileflux_relayed_bytes_total"][""] < 4 * MIB + 4096
    assert after["fileflux_relay_held_bytes"][""] == 0
    assert after["fileflux_runs_live"][""] == 0
    assert after["fileflux_http_requests_total"]["2xx"] > before["fileflux_http_requests_total"]["2xx"]
    assert after["fileflux_http_requests_total"]["5xx"] == 0
    for name in ("actor_restarts", "worker_restarts", "events_dropped", "chunks_refused"):
        assert (name, after[f"fileflux_{name}_total"][""]) == (name, 0)
    assert 0 < after["fileflux_loop_lag_seconds"][""] < 5

    lines = [json.loads(line) for line in site.hub.running.text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["event"] == "run ended" and line["run_id"] == run["id"]]
    assert [
        line
        for line in lines
        if line["event"] == "transfer failed" and (line["run_id"], line["transfer_id"]) == (run["id"], failed["id"])
    ]
    assert {line["agent"] for line in lines if line["event"] == "agent online"} == {"source", "destination"}
    others = [line for line in site.hub.running.text().splitlines() if not line.startswith("{")]
    assert [line.partition(" http")[0] for line in others] == ["listening on"]
    check_logs(site)


def test_everything_over_rest_and_command_line(site: Site, tmp_path: Path) -> None:
    """As against an external database (test_external_database.py)."""
    everybody_does_everything(site, tmp_path)


def test_an_orderly_stop_in_mid_transfer(site: Site, big: Path) -> None:
    """The transfer goes on after the next start, and at most one window is sent again."""
    with Promised(site, big) as moving:
        moving.wait_for_bytes(FILE // 4)
        began = time.monotonic()
        assert site.hub.running.stop(STOP_MAX) == 0
        took = time.monotonic() - began
        moving.interruptions += 1
        site.hub.start()
    assert took < STOP_MAX
    assert '"run goes on"' in site.hub.running.text(), "the stop came in the middle"
    again = moving.run["bytes_transferred"] + moving.run["bytes_reused"] - FILE
    print(f"stopped within {took:.2f} s; {again / MIB:.1f} MiB were sent again")


def test_a_backup_in_mid_transfer_brings_the_hub_back(site: Site, big: Path, tmp_path: Path) -> None:
    """In a new data folder: same users, tokens, jobs and history; what was live then has ended; and it works."""
    hub, file = site.hub, tmp_path / "hub.backup"
    small = site.source.read / "small"
    small.write_bytes(b"small")
    to = site.destination.write / "small"
    job = hub.job(site.source.id, small, site.destination.id, to)
    hub.wait_ended(hub.run(job))
    moving = hub.run(
        hub.job(site.source.id, big, site.destination.id, site.destination.write / "again", compression="none")
    )
    wait_for("some bytes", lambda: hub.show(moving)["bytes_done"] > FILE // 8)
    assert site.proxy is not None
    site.proxy.set(CRAWL)
    done = CommandLine(site).process("backup", str(file))
    assert done.returncode == 0, done.stderr
    assert hub.show(moving)["status"] == "transferring", "the hub went on, and the backup was made in the middle"
    history = seen(site, moving)
    refused = CommandLine(site).process("restore", str(file), "--force")
    assert (refused.returncode, "a hub runs in" in refused.stderr) == (2, True), refused.stderr
    hub.running.stop()
    site.proxy.set(SLOW)
    (site.folder / "hub").rename(site.folder / "old")
    done = CommandLine(site).process("restore", str(file))
    assert done.returncode == 0, done.stderr
    assert "1 run that was live ended as failed" in done.stderr

    hub.start()
    site.source.wait_online()
    site.destination.wait_online()
    assert seen(site, moving) == history
    live = hub.show(moving)
    assert live["status"] == "failed"
    assert "restored from a backup" in live["reason"]
    wait_for("what was left of it to be removed", lambda: not list(site.destination.write.glob(".*.fluxpart")))
    to.unlink()
    assert hub.wait_ended(hub.run(job))["status"] == "succeeded"
    assert to.read_bytes() == b"small"
    check_logs(site)


def seen(site: Site, without: int) -> dict[str, Any]:
    """What people see, but for the run that was live."""
    pages = {
        name: list(site.hub.client.pages(f"/api/{name}")) for name in ("users", "tokens", "jobs", "runs", "transfers")
    }
    pages["runs"] = [run for run in pages["runs"] if run["id"] != without]
    pages["transfers"] = [one for one in pages["transfers"] if one["run_id"] != without]
    for name in ("users", "tokens"):
        # Used since.
        pages[name] = [{key: value for key, value in row.items() if not key.startswith("last_")} for row in pages[name]]
    return pages
