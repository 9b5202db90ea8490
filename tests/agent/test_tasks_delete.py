"""What is removed at a destination is what was listed there, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flux_agent.files.roots import Roots
from flux_agent.transfer.delete_tasks import DeleteTasks

MTIME = 1_600_000_000 * 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("a", "d/b", "d/e/c"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345")
        os.utime(path, ns=(MTIME, MTIME))
    (tmp_path / "outside").write_text("12345")
    return root


def item(path: str, *, directory: bool = False, size: int = 5, mtime_ns: int = MTIME) -> dict[str, Any]:
    return {"path": path, "directory": directory, "size": size, "mtime_ns": mtime_ns}


def delete(root: Path, *items: dict[str, Any]) -> dict[str, str]:
    tasks = DeleteTasks(Roots([], [str(root)]))
    errors = tasks.delete_paths({"base": str(root), "items": list(items)})["errors"]
    return {error["path"]: error["code"] for error in errors}


def test_files_and_then_their_directories(root: Path) -> None:
    items = [item("d/e/c"), item("d/b"), item("d/e", directory=True), item("d", directory=True)]
    assert delete(root, *items) == {}
    assert os.listdir(root) == ["a"]
    assert delete(root, *items) == {}, "what is gone is as it should be"


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (item("a", size=4), "source_changed"),
        (item("a", mtime_ns=MTIME + 1), "source_changed"),
        (item("d"), "source_changed"),
        (item("a", directory=True), "source_changed"),
        (item("d", directory=True), "exists"),
        (item("../outside"), "refused_path"),
        (item("d/../a"), "refused_path"),
        (item(""), "refused_path"),
        (item(f".{'0' * 32}.fluxpart"), "refused_path"),
    ],
)
def test_what_stays(root: Path, one: dict[str, Any], code: str) -> None:
    part = root / f".{'0' * 32}.fluxpart"
    part.write_text("12345")
    os.utime(part, ns=(MTIME, MTIME))
    assert delete(root, one) == {one["path"]: code}
    assert (root / "a").exists()
    assert (root / "d/b").exists()
    assert part.exists()


def test_no_link_is_followed(root: Path) -> None:
    (root / "to").symlink_to(root / "d")
    (root / "out").symlink_to("../outside")
    status = os.lstat(root / "out")
    assert delete(root, item("to/b")) == {"to/b": "refused_path"}
    assert delete(root, item("out", size=status.st_size, mtime_ns=status.st_mtime_ns)) == {}
    assert not (root / "out").is_symlink()
    assert (root.parent / "outside").exists()
    assert (root / "d/b").exists()


def test_only_below_a_write_root(root: Path) -> None:
    tasks = DeleteTasks(Roots([str(root)], []))
    errors = tasks.delete_paths({"base": str(root), "items": [item("a")]})["errors"]
    assert [error["code"] for error in errors] == ["outside_roots"]
    assert (root / "a").exists()
