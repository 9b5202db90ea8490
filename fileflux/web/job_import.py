"""Many jobs at once: files of them (``jobs/job_file.py``), which ``job_export.py`` gives out again in the same form.

A worker reads the file and checks every row; this process holds the loop for no longer than a few rows take. Nothing is stored until
every row is known to be good, and then all of it in one transaction, unless ``partial`` asks for those that are.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import marshmallow as ma
from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from fileflux.actors.kernel import runtime
from fileflux.bus.events import JobChanged
from fileflux.errors import FluxError, OverloadedError, UnavailableError
from fileflux.jobs.job_file import Form, JobFileError
from fileflux.jobs.models import JobSpec
from fileflux.protocol.limits import MIB
from fileflux.storage import job_bulk
from fileflux.storage.job_bulk import Wanted
from fileflux.storage.pool import Transaction
from fileflux.web import context
from fileflux.web.context import deps, principal
from fileflux.web.deps import Work
from fileflux.web.fields import Choice
from fileflux.web.giving_way import now_and_then, sha256_of
from fileflux.web.import_report import Imported, ImportRow, refusal, report, sums
from fileflux.web.paging import FlagFilter
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource

job_import = Resource("job-import", "Many jobs at once, as a file.")

PATH: Final = "/api/jobs/import"
BODY_MAX: Final = 32 * MIB
TASK_WAIT: Final = 60.0
BATCH: Final = 200
"""Jobs in one statement."""
BREATH: Final = 10
"""Jobs between two looks at the loop: their JSON and their next fire time take a millisecond or two."""
TYPES: Final[Mapping[str, Form]] = {
    "application/json": "json",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "text/csv": "csv",
}
_EXISTING: Final = ("update", "skip", "error")


class ImportQuery(ma.Schema):
    dry_run = FlagFilter(load_default=False, metadata={"description": "check everything and change nothing"})
    # ``Schema.partial`` means something else in marshmallow.
    good_ones = FlagFilter(
        load_default=False,
        data_key="partial",
        metadata={"description": "take the rows that are good, though others are not"},
    )
    on_existing = Choice(
        _EXISTING, load_default="update", metadata={"description": "what to do with a job whose name is there already"}
    )


class _Gate:
    """One import at a time: each may hold a file of 32 MiB in memory."""

    def __init__(self) -> None:
        self._taken = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        if self._taken:
            raise OverloadedError("another import is going on: try again when it has ended")
        self._taken = True
        try:
            yield
        finally:
            self._taken = False


class _RefusedError(Exception):
    """Undoes what the transaction has done; the rows say why."""


_gate = _Gate()


@job_import.route("POST", PATH, query=ImportQuery, returns=Imported, raw=sorted(TYPES))
def import_jobs(query: dict[str, Any]) -> Response:
    """Make or change the jobs of a file: JSON, YAML or CSV, at most 20,000 jobs and 32 MiB (8 MiB of YAML). They are known by their
    names, so the same file again changes nothing. 422 `invalid_jobs` with the errors of all rows, as `ROW.field`; nothing is changed then.
    """
    form = TYPES.get(request.mimetype)
    if form is None or request.headers.get("Content-Encoding"):
        raise UnsupportedMediaType("send the file as application/json, application/yaml or text/csv, not compressed")
    if request.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMediaType("send the file as UTF-8")
    with _gate.passed():
        content = request.get_data(cache=True)
        rows = _checked(content, form)
        try:
            _carry_out(rows, content, query)
        except _RefusedError:
            return refusal(rows)
    if not query["dry_run"]:
        _tell(rows)
    return report(rows, dry_run=query["dry_run"])


def _carry_out(rows: list[ImportRow], content: bytes, query: Mapping[str, Any]) -> None:
    """Raises _RefusedError when a row has errors, unless those that are good are wanted anyway."""

    def refuse() -> None:
        if not query["good_ones"] and any(row.errors for row in rows):
            raise _RefusedError

    refuse()
    with deps().database.transaction() as tx:
        _sort_out(tx, rows, query["on_existing"])
        refuse()
        if query["dry_run"]:
            return
        _store(tx, rows)
        context.audited(tx, "jobs.imported", "jobs", rows=sums(rows), sha256=sha256_of(content).hex())


def _checked(content: bytes, form: Form) -> list[ImportRow]:
    """Every row of the file, read and checked by a worker. Raises InvalidFieldsError for a file that cannot be read."""
    work = deps().work
    if work is None:
        raise UnavailableError("this hub has no workers: try again when it has")
    token = secrets.token_hex(8)
    with deps().database.transaction() as tx:
        agents = {name: agent_id for agent_id, name in job_bulk.agents(tx, usable=True).items()}
    with _kept(content) as path:
        known = {"token": token, "path": path, "form": form, "agents": agents}
        try:
            opened = work.run(token, "job_file_open", known, TASK_WAIT)
        except FluxError as error:
            if error.code != JobFileError.code:
                raise
            raise InvalidFieldsError({"file": [error.message]}, error.message, JobFileError.code) from None
    try:
        return list(_pages(work, token, opened["rows"]))
    finally:
        # A worker that cannot answer forgets it by itself.
        with suppress(FluxError):
            work.run(token, "job_file_close", {"token": token}, TASK_WAIT)


@contextmanager
def _kept(content: bytes) -> Iterator[str]:
    """The name of a file that holds ``content``."""
    descriptor, path = tempfile.mkstemp(prefix="fileflux-jobs-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for start in range(0, len(content), MIB):
                file.write(content[start : start + MIB])
                runtime.yield_loop()
        yield path
    finally:
        os.unlink(path)  # noqa: PTH108  # no Path is involved


def _pages(work: Work, token: str, count: int) -> Iterator[ImportRow]:
    start = 0
    while start < count:
        page = work.run(token, "job_file_page", {"token": token, "start": start}, TASK_WAIT)["rows"]
        for one in page:
            wanted = None if "errors" in one else Wanted(JobSpec.from_json(one["spec"]), one["enabled"])
            yield ImportRow(one["row"], one["name"], wanted, one.get("errors", {}))
        start += len(page)
        runtime.yield_loop()


def _sort_out(tx: Transaction, rows: Sequence[ImportRow], on_existing: str) -> None:
    """What is to be done with each row; the jobs that are there already are held."""
    breathe = now_and_then(BREATH)
    for batch in _batches([(row, row.wanted) for row in rows if row.wanted is not None]):
        held = job_bulk.hold_named(tx, [row.name for row, _ in batch])
        for row, wanted in batch:
            there = held.get(row.name)
            breathe()
            if there is None:
                row.outcome = "created"
                continue
            row.job_id, row.version = there.id, there.version + 1
            if on_existing == "error":
                row.outcome, row.errors = "failed", {"name": ["There is a job of this name."]}
            elif on_existing == "skip":
                row.outcome = "skipped"
            else:
                row.outcome = "updated" if job_bulk.differs(there, wanted) else "unchanged"


def _store(tx: Transaction, rows: Sequence[ImportRow]) -> None:
    by, breathe = principal().email, now_and_then(BREATH)
    for batch in _batches([(row, row.wanted) for row in rows if row.wanted and row.outcome == "created"]):
        made = job_bulk.create_many(tx, [wanted for _, wanted in batch], by, breathe)
        for row, _ in batch:
            row.job_id = made[row.name]
    for batch in _batches([(row, row.wanted) for row in rows if row.wanted and row.outcome == "updated"]):
        held = job_bulk.hold_named(tx, [row.name for row, _ in batch])
        job_bulk.change_many(tx, [(held[row.name], wanted) for row, wanted in batch], by, breathe)


def _tell(rows: Sequence[ImportRow]) -> None:
    """Tell who watches, after the commit."""
    breathe: Callable[[], None] = now_and_then(BREATH)
    for row in rows:
        if row.job_id is not None and row.outcome in ("created", "updated"):
            deps().bus.publish(JobChanged(row.job_id, row.version, deleted=False))
            breathe()


def _batches(rows: list[tuple[ImportRow, Wanted]]) -> Iterator[list[tuple[ImportRow, Wanted]]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
