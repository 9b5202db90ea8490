"""Hubs with the embedded server as small programs of their own, so that they can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage.pool import Database

ROOT = Path(__file__).parents[2]
HUB = """
import sys
from pathlib import Path
from fileflux.storage.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
try:
    print(server.start(), server.pid, flush=True)
except Exception as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    sys.exit(2)
sys.stdin.read()
server.stop()
"""


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def query(url: str, sql: str) -> object:
    database = Database(url, DEFAULT_LIMITS, size=1)
    try:
        database.wait_until_ready(10)
        with database.transaction() as tx:
            row = tx.one(sql)
        return None if row is None else row[0]
    finally:
        database.close()


def execute(url: str, sql: str) -> None:
    database = Database(url, DEFAULT_LIMITS, size=1)
    with database.transaction() as tx:
        tx.execute(sql)
    database.close()


class Hub:
    """A process that runs the embedded server; ``url`` and ``postmaster`` are what it said."""

    def __init__(self, data_dir: Path, python: str = sys.executable, **options: object) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(ROOT), *options.pop("paths", [])]),
        }  # type: ignore[misc]  # a list of strings
        self.process = subprocess.Popen(  # type: ignore[call-overload]  # options are the caller's
            [python, "-c", HUB, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd="/",
            **options,
        )
        self.said = self.process.stdout.readline().strip()
        self.url, _, number = self.said.rpartition(" ")
        self.postmaster = int(number) if number.isdigit() else 0

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()
