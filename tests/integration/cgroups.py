"""Processes that get only so much processor time, as a container gives them. For tests: skips where this may not be set."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


class Group:
    """A control group for processor time; version 1 has one tree for each controller, version 2 one for all."""

    def __init__(self) -> None:
        self._old = (ROOT / "cpu" / "cgroup.procs").exists()
        self._parent = ROOT / "cpu" if self._old else ROOT
        self.folder = self._parent / f"fileflux-test-{secrets.token_hex(4)}"
        try:
            if not self._old:
                (ROOT / "cgroup.subtree_control").write_text("+cpu")
            self.folder.mkdir()
        except OSError as error:
            pytest.skip(f"control groups cannot be made here: {error.strerror}")

    def limit_cpu(self, share: float) -> None:
        """Of one core."""
        quota = str(int(share * PERIOD_US))
        name, value = ("cpu.cfs_quota_us", quota) if self._old else ("cpu.max", f"{quota} {PERIOD_US}")
        (self.folder / name).write_text(value)

    def add(self, pids: Iterable[int]) -> None:
        for pid in pids:
            (self.folder / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        """What still runs goes back to where everybody is."""
        for pid in (self.folder / "cgroup.procs").read_text().split():
            # It may end at this moment.
            with suppress(OSError):
                (self._parent / "cgroup.procs").write_text(pid)
        os.rmdir(self.folder)


@contextmanager
def group() -> Iterator[Group]:
    made = Group()
    try:
        yield made
    finally:
        made.close()
