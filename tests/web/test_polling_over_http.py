"""The links' contract suite on long-polling as it is: the agent's requests, the hub's HTTP server, with and without TLS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(300)
def test_the_contract_holds_over_http(database_url: str) -> None:
    """In a process of its own: agent and hub are cooperative there, and what patches the standard library must not touch other tests."""
    command = [
        sys.executable,
        "-m",
        "tests.patched",
        "tests/contracts/polling_over_http.py",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "FILEFLUX_TEST_PAIR_DATABASE": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 100, done.stdout[-500:]
