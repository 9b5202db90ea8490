"""Rows, servers and hubs that tests of the storage start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fileflux.jobs.models import JobSpec
from fileflux.storage import agents, jobs, runs
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow
from tests.storage.hubs import Hub, gone, until


@pytest.fixture
def job(database: Database) -> JobRow:
    with database.transaction() as tx:
        source, destination = agents.create(tx, "source"), agents.create(tx, "destination")
        spec = JobSpec("nightly", source.id, "/data/in", destination.id, "/data/out", deadline_s=3600.0)
        return jobs.create(tx, spec, "user:1")


@pytest.fixture
def new_run(database: Database, job: JobRow) -> Callable[[], RunRow]:
    def make() -> RunRow:
        with database.transaction() as tx:
            return runs.create(tx, job, "user:1")

    return make


@pytest.fixture
def run(database: Database, new_run: Callable[[], RunRow]) -> RunRow:
    """One that somebody has claimed."""
    run_id = new_run().id
    with database.transaction() as tx:
        claimed = runs.claim_one(tx, run_id, uuid4())
    assert claimed is not None
    return claimed


@pytest.fixture
def start_hub() -> Iterator[Callable[..., Hub]]:
    """Starts hubs; those that a test leaves running are killed."""
    hubs: list[Hub] = []

    def start(*arguments: Any, **options: Any) -> Hub:
        hubs.append(Hub(*arguments, **options))
        return hubs[-1]

    yield start
    for hub in hubs:
        if hub.process.poll() is None:
            hub.kill()
            if hub.postmaster:
                until(lambda number=hub.postmaster: gone(number))  # type: ignore[misc]  # bound on purpose


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    # The parents of pytest's folders are closed to others already; this one for certain.
    (tmp_path / "closed").mkdir(mode=0o700)
    return tmp_path / "closed" / "data"


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(data_dir)
    yield made
    made.stop()
