"""Destinations that the system itself closes to writing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .files.tasks_bench import Bench, fails


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Bench]:
    """A target that was mounted read-only, with a file in it."""
    if os.getuid() != 0:
        pytest.skip("only root may mount")
    bench = Bench(tmp_path)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(bench.target)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        bench.close()
        pytest.skip("this system does not let root mount")
    try:
        (bench.target / "old").write_bytes(b"old")
        subprocess.run(["mount", "-o", "remount,ro", str(bench.target)], check=True)
        yield bench
    finally:
        bench.close()
        subprocess.run(["umount", "-l", str(bench.target)], check=True)


@pytest.mark.parametrize("name", ["new", "old", "folder/new"])
def test_a_disk_that_may_not_be_written(closed: Bench, name: str) -> None:
    with fails("read_only"):
        closed.open_sink(name, 5)
    assert closed.names() == ["old"]
    assert (closed.target / "old").read_bytes() == b"old"
