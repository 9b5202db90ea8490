"""A job whose source and destination are the same agent: both ends speak of one wire id in one session, and neither is taken for the other."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fileflux.demo_tree import compare_trees
from fileflux.errors import FluxError
from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.conftest import write_numbered
from tests.integration.harness import QUICK_LIMITS, Agent, Hub, wait_for

SIZE = 160 * 2**20
SLOW = Rule.link(bandwidth=40e6)
WINDOW = int(QUICK_LIMITS["WINDOW_MAX"])


class Alone:
    """A hub and one agent that reaches it through a proxy. What it may read it may write too."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder).start()
        self.link = FaultProxy(self.hub.port, rule=Rule()).start()
        self.agent = Agent(self.hub, "alone", folder, hub_url=self.link.url())
        self.root = self.agent.write = self.agent.read
        self.agent.start()

    def job(self, source: Path | str, destination: Path | str, **fields: Any) -> int:
        return self.hub.job(self.agent.id, Path(source), self.agent.id, destination, **fields)

    def move(self, source: Path | str, destination: Path | str, **fields: Any) -> dict[str, Any]:
        return self.hub.wait_ended(self.hub.run(self.job(source, destination, **fields)), 40)

    def stop(self) -> None:
        self.agent.stop()
        self.link.stop()
        self.hub.stop()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    alone = Alone(tmp_path_factory.mktemp("alone"))
    try:
        yield alone
    finally:
        alone.stop()


@pytest.fixture
def tree(alone: Alone) -> Path:
    root = alone.root / f"tree-{os.urandom(4).hex()}"
    (root / "a" / "empty").mkdir(parents=True)
    for number in range(40):
        (root / "a" / f"empty-{number}").touch()
        (root / f"small-{number}").write_bytes(os.urandom(number))
    (root / "large.bin").write_bytes(os.urandom(20 * 2**20 + 1))
    os.utime(root / "a", ns=(1, 1_000_000_000_123_456_789))
    return root


@pytest.fixture
def big(alone: Alone) -> Iterator[Path]:
    path = alone.root / f"big-{os.urandom(4).hex()}.bin"
    write_numbered(path, SIZE)
    yield path
    path.unlink()


@pytest.mark.parametrize("kind", ["push", "pull"])
def test_a_tree_arrives_equal(alone: Alone, tree: Path, kind: str) -> None:
    target = alone.root / f"{tree.name}-{kind}"
    run = alone.move(tree, target, type=kind, verify="full")
    assert run["status"] == "succeeded", run
    assert compare_trees(tree, target) == []
    assert run["files_done"] == run["files_total"] == 81
    again = alone.hub.wait_ended(alone.hub.run(run["job_id"]))
    assert (again["status"], again["files_done"], again["bytes_transferred"]) == ("succeeded", 0, 0), again


@pytest.mark.parametrize(
    ("conflict", "status", "names"),
    [
        ("overwrite", "succeeded", {"f": b"new"}),
        ("skip", "succeeded", {"f": b"old"}),
        ("rename", "succeeded", {"f": b"old", "f (1)": b"new"}),
        ("fail", "failed", {"f": b"old"}),
    ],
)
def test_conflicts(alone: Alone, conflict: str, status: str, names: dict[str, bytes]) -> None:
    source, target = alone.root / f"from-{conflict}", alone.root / f"to-{conflict}"
    for folder, content in ((source, b"new"), (target, b"old")):
        folder.mkdir()
        (folder / "f").write_bytes(content)
    run = alone.move(source, target, conflict=conflict)
    assert run["status"] == status, run
    assert {path.name: path.read_bytes() for path in target.iterdir()} == names
    (transfer,) = alone.hub.transfers(run["id"])
    assert transfer["code"] == ("exists" if conflict == "fail" else "")


def test_what_the_destination_refuses_fails_alone(alone: Alone) -> None:
    source = alone.root / "blocked"
    (source / "folder").mkdir(parents=True)
    (source / "good").write_bytes(b"good")
    (source / "folder" / "bad").write_bytes(b"bad")
    target = alone.root / "blocked-copy"
    target.mkdir()
    # A directory is where a file should stand.
    (target / "folder" / "bad").mkdir(parents=True)
    run = alone.move(source, target)
    assert run["status"] == "partial", run
    assert (target / "good").read_bytes() == b"good"
    codes = {t["filename"]: t["code"] for t in alone.hub.transfers(run["id"])}
    assert codes == {"good": "", "folder/bad": "not_regular"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["killed", "link-cut"])
def test_disturbed_in_mid_transfer(alone: Alone, big: Path, how: str) -> None:
    target = alone.root / f"disturbed-{how}"
    target.mkdir()
    job = alone.job(big, f"{target}/", compression="none")
    alone.link.set(SLOW)
    run_id = alone.hub.run(job)
    wait_for("a third of the file", lambda: alone.hub.show(run_id)["bytes_done"] >= SIZE // 3, 40)
    if how == "killed":
        alone.agent.running.kill()
    else:
        alone.link.cut_all()
    assert not (target / big.name).exists(), "too late: the file has its name"
    alone.link.set(Rule())
    if how == "killed":
        alone.agent.start(wait=False)
    run = alone.hub.wait_ended(run_id, 60)
    assert run["status"] == "succeeded", run
    assert os.listdir(target) == [big.name], "no part is left"
    assert filecmp.cmp(big, target / big.name, shallow=False)
    assert run["bytes_reused"] > 0, "what the part held was not sent again"
    assert run["bytes_transferred"] <= SIZE + WINDOW + 2**20, "at most one window is sent twice"
    shutil.rmtree(target)


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/.", "{}//"])
def test_the_source_itself_is_no_destination(alone: Alone, tree: Path, spelling: str) -> None:
    with pytest.raises(FluxError, match="choose another destination"):
        alone.job(tree, spelling.format(tree))


def test_what_only_the_agent_sees_is_refused_by_it(alone: Alone, tree: Path) -> None:
    before = sorted(path.name for path in tree.iterdir())
    for source, destination in (
        (tree, tree.relative_to(alone.root)),
        (tree / "small-1", f"{tree}/"),
        (tree / "small-1", tree),
        (tree / "small-*", tree),
    ):
        run = alone.move(source, str(destination))
        assert run["status"] == "failed", (source, run)
        assert "would be copied onto itself: choose another destination" in run["reason"]
    assert sorted(path.name for path in tree.iterdir()) == before


@pytest.mark.parametrize("kind", ["push", "pull"])
def test_a_directory_into_itself_is_copied_once(alone: Alone, tree: Path, kind: str) -> None:
    reference = tree.with_name(f"{tree.name}-as-it-was")
    shutil.copytree(tree, reference)
    run = alone.move(tree, tree / "copy", type=kind)
    assert run["status"] == "succeeded", run
    assert run["files_done"] == 81
    assert compare_trees(reference, tree / "copy") == []
    again = alone.hub.wait_ended(alone.hub.run(run["job_id"]))
    assert (again["status"], again["files_done"], again["files_total"]) == ("succeeded", 0, again["files_skipped"])
    assert not (tree / "copy" / "copy").exists()
