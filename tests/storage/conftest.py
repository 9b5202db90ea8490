"""Rows that tests of the storage start from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fileflux.jobs.models import JobSpec
from fileflux.storage import agents, jobs, runs
from fileflux.storage.jobs import JobRow
from fileflux.storage.pool import Database
from fileflux.storage.runs import RunRow


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
