"""A tree moves from agent to agent: names, content, mode, mtime, empty directories; push and pull; globs, conflicts, skips."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from fileflux.demo_tree import compare_trees
from tests.integration.conftest import Site, write_numbered


@pytest.fixture
def tree(site: Site) -> Path:
    root = site.source.read / f"tree-{os.urandom(4).hex()}"
    (root / "a" / "b").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a" / "empty-file").touch()
    for size in (1, 8 * 2**20 - 1, 8 * 2**20, 8 * 2**20 + 1, 16 * 2**20):
        (root / f"{size}.bin").write_bytes(os.urandom(size))
    for number in range(200):
        (root / "a" / "b" / f"{number}.txt").write_text(f"file {number}\n" * number)
    (root / "a" / "näme\n=cmd|'x'!.txt").write_text("odd name")
    with open(os.fsencode(root) + b"/not-utf8-\xff\xfe", "wb") as file:
        file.write(b"bytes")
    (root / "link").symlink_to("a")
    os.mkfifo(root / "fifo")
    os.chmod(root / "1.bin", 0o400)
    os.chmod(root / "a", 0o750)
    os.utime(root / "a" / "b", ns=(1, 1_000_000_000_123_456_789))
    os.utime(root / "1.bin", ns=(1, -1_000_000_007))
    os.utime(root / "empty", ns=(1, 4_000_000_000_000_000_001))
    return root


@pytest.mark.parametrize("kind", ["push", "pull"])
def test_a_tree_arrives_equal(site: Site, tree: Path, kind: str) -> None:
    target = site.destination.write / f"{tree.name}-{kind}"
    run_id = site.hub.run(site.hub.job(site.source.id, tree, site.destination.id, target, type=kind, verify="full"))
    run = site.hub.wait_ended(run_id)
    assert run["status"] == "succeeded", (run, [t for t in site.hub.transfers(run_id) if t["status"] == "failed"])
    (tree / "fifo").unlink()
    assert compare_trees(tree, target) == []
    reasons = {t["filename"]: t["reason"] for t in site.hub.transfers(run_id) if t["status"] == "skipped"}
    assert set(reasons) == {"link", "fifo"}
    assert run["files_skipped"] == 2
    assert run["files_total"] == run["files_done"] + 2
    again = site.hub.wait_ended(site.hub.run(run["job_id"]))
    assert again["status"] == "succeeded"
    assert again["files_done"] == 0, "equal files are skipped"
    assert again["bytes_transferred"] == 0


def test_a_glob_lands_below_its_fixed_part(site: Site, tree: Path) -> None:
    target = site.destination.write / f"{tree.name}-glob"
    run = site.hub.wait_ended(
        site.hub.run(site.hub.job(site.source.id, tree / "a" / "*" / "1*.txt", site.destination.id, target))
    )
    assert run["status"] == "succeeded", run
    names = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert names == sorted(f"b/{path.name}" for path in (tree / "a" / "b").glob("1*.txt"))


@pytest.mark.parametrize(("ending", "expected"), [("/", "new/one.bin"), ("", "new")])
def test_a_single_file_lands_in_a_folder_or_under_the_very_name(site: Site, ending: str, expected: str) -> None:
    source = site.source.read / "one.bin"
    source.write_bytes(b"one")
    base = site.destination.write / f"single{len(ending)}"
    base.mkdir()
    run = site.hub.wait_ended(
        site.hub.run(site.hub.job(site.source.id, source, site.destination.id, f"{base}/new{ending}"))
    )
    assert run["status"] == "succeeded", run
    assert (base / expected).read_bytes() == b"one"


def test_a_run_of_one_file_has_its_transfer_at_once(site: Site) -> None:
    source = site.source.read / "at-once.bin"
    source.write_bytes(b"x" * 100)
    run_id = site.hub.run(
        site.hub.job(site.source.id, source, site.destination.id, f"{site.destination.write}/at-once/")
    )
    (transfer,) = site.hub.transfers(run_id)
    assert transfer["filename"] == "at-once.bin"
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("conflict", "names"),
    [
        ("overwrite", {"f": b"new"}),
        ("skip", {"f": b"old"}),
        ("fail", {"f": b"old"}),
        ("rename", {"f": b"old", "f (1)": b"new"}),
    ],
)
def test_conflicts(site: Site, conflict: str, names: dict[str, bytes]) -> None:
    folder = site.source.read / f"conflict-{conflict}"
    folder.mkdir()
    (folder / "f").write_bytes(b"new")
    target = site.destination.write / f"conflict-{conflict}"
    target.mkdir()
    (target / "f").write_bytes(b"old")
    run = site.hub.wait_ended(
        site.hub.run(site.hub.job(site.source.id, folder, site.destination.id, target, conflict=conflict))
    )
    assert run["status"] == ("failed" if conflict == "fail" else "succeeded"), run
    assert {path.name: path.read_bytes() for path in target.iterdir()} == names


def test_what_is_equal_in_an_older_file_is_not_sent(site: Site) -> None:
    source = site.source.read / "delta.bin"
    write_numbered(source, 64 * 2**20)
    target = site.destination.write / "delta"
    job = site.hub.job(site.source.id, source, site.destination.id, f"{target}/", compression="none")
    assert site.hub.wait_ended(site.hub.run(job))["status"] == "succeeded"
    with source.open("r+b") as file:
        file.seek(20 * 2**20)
        file.write(b"changed")
    run = site.hub.wait_ended(site.hub.run(job))
    assert run["status"] == "succeeded"
    assert run["bytes_transferred"] < 9 * 2**20, "one chunk of eight"
    assert (target / "delta.bin").read_bytes() == source.read_bytes()


def test_outside_the_roots_nothing_is_read_or_written(site: Site) -> None:
    for source, target in (("/etc/passwd", site.destination.write), (site.source.read / "..", site.destination.write)):
        run = site.hub.wait_ended(
            site.hub.run(site.hub.job(site.source.id, Path(source), site.destination.id, f"{target}/x/"))
        )
        assert run["status"] == "failed", run
        assert re.search(r"roots|refused|'\.\.' is not followed", run["reason"]), run
    secret = site.source.read / "ok.txt"
    secret.write_text("x")
    run = site.hub.wait_ended(
        site.hub.run(site.hub.job(site.source.id, secret, site.destination.id, "/etc/fileflux-test"))
    )
    assert run["status"] == "failed"
    assert not Path("/etc/fileflux-test").exists()


def test_cancel_ends_a_run_and_leaves_no_part(site: Site, big: Path) -> None:
    target = site.destination.write / "cancelled"
    target.mkdir()
    run_id = site.hub.run(site.hub.job(site.source.id, big, site.destination.id, f"{target}/", compression="none"))
    site.hub.client.post(f"/api/runs/{run_id}/cancel")
    run = site.hub.wait_ended(run_id)
    assert run["status"] in ("cancelled", "succeeded")
    expected = [] if run["status"] == "cancelled" else [big.name]

    from tests.integration.harness import wait_for

    wait_for("the part to be removed", lambda: os.listdir(target) == expected, 10)


def test_a_run_waits_for_an_agent_that_is_away_and_says_so(site: Site) -> None:
    source = site.source.read / "later.txt"
    source.write_text("later")
    site.destination.stop()
    run_id = site.hub.run(site.hub.job(site.source.id, source, site.destination.id, f"{site.destination.write}/later/"))
    run = site.hub.show(run_id)
    assert run["status"] == "waiting_agent"
    assert "waiting for agent" in run["reason"]
    site.destination.start(wait=False)
    assert site.hub.wait_ended(run_id)["status"] == "succeeded"
