"""Small files that move in bundles, with real agents: every file, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rules import Rule
from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.store import query

FILES = 3000
SLOW = Rule.link(bandwidth=2e6)
"""The run takes some seconds, so that something can happen meanwhile."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), source_link=SLOW)
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def tree(site: Site, request: pytest.FixtureRequest) -> Path:
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    return make_tree(site.source.read / name, FILES)


def make_tree(folder: Path, count: int) -> Path:
    chance = random.Random(5)
    for number in range(count):
        path = folder / f"{number % 7}" / f"{number % 11}" / f"{number}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.choice((0, 1, 500, 4096))))
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def start(site: Site, tree: Path, **fields: Any) -> tuple[int, Path]:
    target = site.destination.write / tree.name
    return site.hub.run(site.hub.job(site.source.id, tree, site.destination.id, target, **fields)), target


def rows(site: Site, run_id: int) -> list[dict[str, Any]]:
    return query(
        site.hub,
        "SELECT filename, status, attempt, encode(file_hash, 'hex') AS digest, final_path FROM transfers WHERE run_id = %s",
        run_id,
    )


def check(site: Site, run_id: int, tree: Path, target: Path) -> None:
    run = site.hub.wait_ended(run_id, 120)
    assert (run["status"], run["files_done"], run["files_failed"]) == ("succeeded", FILES, 0), run
    wanted = contents(tree)
    assert contents(target) == wanted, "each file, and no part"
    for row in rows(site, run_id):
        assert (row["status"], row["digest"]) == ("completed", wanted[row["filename"]])
        assert bytes(row["final_path"]).decode() == f"{target}/{row['filename']}"


def test_small_files_share_a_stream(site: Site, tree: Path) -> None:
    run_id, target = start(site, tree)
    check(site, run_id, tree, target)
    assert {row["attempt"] for row in rows(site, run_id)} == {1}
    run = site.hub.show(run_id)
    assert run["bytes_transferred"] < run["bytes_done"] + 100 * FILES, (
        "a frame's head for each bundle, not for each file"
    )
    again, _ = start(site, tree)
    assert site.hub.wait_ended(again)["files_skipped"] == FILES


def test_what_is_not_plain_is_told_as_ever(site: Site, tree: Path) -> None:
    target = site.destination.write / tree.name
    names = sorted(contents(tree))[:4]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
    (target / names[0]).mkdir()
    (target / names[1]).write_text("another")
    (target / names[1]).chmod(0o444)
    (target / names[2]).symlink_to("/etc/passwd")
    (target / names[3]).write_text("older")
    run_id, _ = start(site, tree, retry={"attempts": 0})
    run = site.hub.wait_ended(run_id, 120)
    assert (run["status"], run["files_done"], run["files_failed"]) == ("partial", FILES - 3, 3), run
    failed = {row["filename"]: row["code"] for row in site.hub.transfers(run_id) if row["status"] == "failed"}
    assert failed == {names[0]: "not_regular", names[1]: "read_only", names[2]: "not_regular"}
    assert (target / names[3]).read_bytes() == (tree / names[3]).read_bytes()


def test_files_that_change_meanwhile_are_moved_as_one_version(site: Site, tree: Path) -> None:
    run_id, target = start(site, tree, retry={"attempts": 3, "delay": 0.1, "factor": 1})
    wait_for("files to have moved", lambda: site.hub.show(run_id)["files_done"] > 100, 30)
    before = contents(tree)
    last = sorted(before)[-20:]
    for name in last[:10]:
        (tree / name).write_bytes(b"written to while the run went on")
    for name in last[10:]:
        (tree / name).unlink()
    run = site.hub.wait_ended(run_id, 120)
    assert run["files_done"] + run["files_failed"] == FILES, run
    found = contents(target)
    for name, digest in (before | contents(tree)).items():
        assert found.get(name) in (digest, before[name], None), "one version, as a whole"
    for row in site.hub.transfers(run_id):
        assert row["status"] == "completed" or row["code"] == "not_found", row


@pytest.mark.parametrize(
    "who",
    [
        # Files that may have been begun are moved one by one afterwards, which takes its time.
        pytest.param("source", marks=pytest.mark.long),
        "destination",
        "server",
        pytest.param("source-worker", marks=pytest.mark.long),
        "destination-worker",
    ],
)
def test_killed_in_the_middle(site: Site, tree: Path, who: str) -> None:
    run_id, target = start(site, tree)
    wait_for("files to have moved", lambda: site.hub.show(run_id)["files_done"] > 200, 30)
    match who:
        case "server":
            os.kill(site.hub.server_pid, 9)
        case "source" | "destination":
            agent = getattr(site, who)
            agent.running.kill()
            agent.start()
        case _:
            agent = getattr(site, who.removesuffix("-worker"))
            os.kill(agent.worker_pids()[0], 9)
    check(site, run_id, tree, target)


def test_paused_and_cancelled_in_the_middle(site: Site, tree: Path) -> None:
    run_id, target = start(site, tree)
    wait_for("files to have moved", lambda: site.hub.show(run_id)["files_done"] > 200, 30)
    site.hub.client.post(f"/api/runs/{run_id}/pause")
    wait_for("the pause", lambda: site.hub.show(run_id)["status"] == "paused", 10)
    wanted = contents(tree)

    def settled() -> int | None:
        """How many files stand at the destination, once no part is there and the run says the same."""
        try:
            found, done = contents(target), int(site.hub.show(run_id)["files_done"])
        except FileNotFoundError:
            # A part that was renamed or removed while it was looked at.
            return None
        return done if found.items() <= wanted.items() and len(found) == done else None

    still = wait_for("what was committed to end", settled, 20)
    assert still < FILES
    site.hub.client.post(f"/api/runs/{run_id}/resume")
    wait_for("it to go on", lambda: site.hub.show(run_id)["files_done"] > still, 20)
    site.hub.client.post(f"/api/runs/{run_id}/cancel")
    assert site.hub.wait_ended(run_id, 30)["status"] == "cancelled"
    wait_for("the parts to be removed", settled, 20)
