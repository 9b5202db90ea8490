"""Mounts for tests that need another file system or a second way to a directory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(*options: str, on: Path) -> Iterator[None]:
    """``mount OPTIONS on`` for the time of the block; the test is skipped where that is not allowed."""
    if os.getuid() != 0:
        pytest.skip("only root may mount")
    if subprocess.run(["mount", *options, str(on)], check=False, capture_output=True).returncode:
        pytest.skip("this system does not let root mount")
    try:
        yield
    finally:
        # Lazily: the traceback of an injected fault may still hold a file open.
        subprocess.run(["umount", "-l", str(on)], check=True)
