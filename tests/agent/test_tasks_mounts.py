"""Destinations on file systems of their own: closed to writing, or mounted below a root."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux_agent.files.posix import PosixDirectory

from .files.mounts import mounted
from .files.tasks_bench import CHUNK, Bench, fails, text

TMPFS = ("-t", "tmpfs", "-o", "size=2m", "none")
CONTENT = text(2 * CHUNK + 5)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Bench]:
    """A target that was mounted read-only, with a file in it."""
    bench = Bench(tmp_path)
    try:
        with mounted(*TMPFS, on=bench.target):
            (bench.target / "old").write_bytes(b"old")
            subprocess.run(["mount", "-o", "remount,ro", str(bench.target)], check=True)
            yield bench
    finally:
        bench.close()


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Bench]:
    """A target with another file system mounted in it as ``disk``."""
    bench = Bench(tmp_path)
    disk = bench.target / "disk"
    disk.mkdir()
    try:
        with mounted(*TMPFS, on=disk):
            assert disk.stat().st_dev != bench.target.stat().st_dev
            yield bench
    finally:
        bench.close()


@pytest.mark.parametrize("name", ["new", "old", "folder/new"])
def test_a_disk_that_may_not_be_written(closed: Bench, name: str) -> None:
    with fails("read_only"):
        closed.open_sink(name, 5)
    assert closed.names() == ["old"]
    assert (closed.target / "old").read_bytes() == b"old"


@pytest.mark.parametrize("folder", ["disk", "disk/new"])
@pytest.mark.parametrize("conflict", ["overwrite", "fail"])
def test_on_a_mounted_disk_the_part_lies_beside_its_name(nested: Bench, folder: str, conflict: str) -> None:
    disk = nested.target / "disk"
    handle = nested.open_sink(f"{folder}/f", len(CONTENT), conflict=conflict)["handle"]
    (part,) = (nested.target / folder).iterdir()
    assert part.name == nested.part.name
    written = part.stat()
    assert written.st_dev == disk.stat().st_dev
    nested.write_all(handle, CONTENT)
    nested.commit(handle, CONTENT, conflict=conflict)
    final = nested.target / folder / "f"
    assert final.read_bytes() == CONTENT
    assert (final.stat().st_dev, final.stat().st_ino) == (written.st_dev, written.st_ino), "renamed and not copied"
    assert list((nested.target / folder).iterdir()) == [final]
    assert nested.names() == ["disk"]


@pytest.mark.parametrize("conflict", ["overwrite", "fail"])
def test_a_rename_between_file_systems_is_an_error_and_never_a_copy(
    nested: Bench, monkeypatch: pytest.MonkeyPatch, conflict: str
) -> None:
    handle = nested.open_sink("disk/f", len(CONTENT), conflict=conflict)["handle"]
    nested.write_all(handle, CONTENT)

    def crossing(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    for rename in ("rename_over", "rename_new"):
        monkeypatch.setattr(PosixDirectory, rename, crossing)
    with fails("io"):
        nested.commit(handle, CONTENT, conflict=conflict)
    assert [path.name for path in (nested.target / "disk").iterdir()] == [nested.part.name]


def test_a_disk_that_is_mounted_meanwhile_gets_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    folder = bench.target / "disk"
    folder.mkdir()
    try:
        handle = bench.open_sink("disk/f", len(CONTENT))["handle"]
        bench.write_all(handle, CONTENT)
        with mounted(*TMPFS, on=folder), fails("io"):
            bench.commit(handle, CONTENT)
        assert [path.name for path in folder.iterdir()] == [bench.part.name]
    finally:
        bench.close()
