"""A database server that is frozen says nothing and closes nothing: the hub does not wait for it for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from fileflux.actors.kernel import runtime
runtime.patch()
import os, signal, sys, time
from pathlib import Path
import psutil
from fileflux.errors import UnavailableError
from fileflux.protocol.limits import Limits
from fileflux.storage import pool
from fileflux.storage.embedded import EmbeddedPostgres

pool.green()
pool.ANSWER_MARGIN_S = 0.2
pool._Connection.patience = 0.7
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
database = pool.Database(server.start(), Limits(database_statement_timeout=0.5), size=2)
database.wait_until_ready(20)

def ask():
    with database.transaction() as tx:
        return tx.one("SELECT 1")

def refused(ask):
    began = time.monotonic()
    try:
        ask()
    except UnavailableError as error:
        assert time.monotonic() - began < 5, "in bounded time"
        return error
    raise AssertionError("it was answered")

def freeze(number):
    for process in [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]:
        os.kill(process.pid, number)

def commit():
    with database.transaction() as tx:
        tx.one("SELECT 1")
        freeze(signal.SIGSTOP)

assert ask() == (1,)
assert refused(commit).code == "commit_unknown"
assert "has not answered" in refused(ask).message or "cannot connect" in refused(ask).message
others = [runtime.spawn(refused, ask) for _ in range(4)]
[other.join(10) for other in others]
assert all(other.ready() for other in others)
assert database.statistics().in_use == 0, "every place is given back"
freeze(signal.SIGCONT)
assert ask() == (1,)

def slowly():
    with database.transaction() as tx:
        tx.take_its_time()
        return tx.one("SELECT 2 FROM pg_sleep(1.2)")

assert slowly() == (2,)

def too_slowly():
    with database.transaction() as tx:
        return tx.one("SELECT 2 FROM pg_sleep(1.2)")

assert refused(too_slowly).code == "unavailable", "the patience of the transaction before is over"
database.close()
server.stop()
print("done")
"""


@pytest.mark.timeout(60)
def test_a_frozen_server_is_given_up_and_comes_back(data_dir: Path) -> None:
    """In a process of its own: only there are connections cooperative."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(data_dir)], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.stdout == "done\n", done.stderr[-3000:]
