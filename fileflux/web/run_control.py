"""What people ask of runs and transfers: cancel, pause, resume, retry.

What is asked is stored with its audit entry first and told to the live run afterwards: a hub that is killed in between does it when it is back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fileflux.errors import ConflictError, NotFoundError
from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.storage import runs, transfers
from fileflux.web import schemas
from fileflux.web.context import audited, deps, principal
from fileflux.web.resource import Resource
from fileflux.web.runs import run_fields
from fileflux.web.transfers import show_transfer

if TYPE_CHECKING:
    from fileflux.storage.runs import Wanted

Answer = tuple[dict[str, Any], int, dict[str, str]]

run_control = Resource("run-control", "Cancel, pause, resume, retry.")


@run_control.route("POST", "/api/runs/<id:run_id>/cancel", returns=schemas.RunOut, status=202)
def cancel_run(run_id: int) -> Answer:
    """Ask a run to end. Files that are complete stay; parts of others are removed."""
    return _ask(run_id, "cancel", "run.cancel")


@run_control.route("POST", "/api/runs/<id:run_id>/pause", returns=schemas.RunOut, status=202)
def pause_run(run_id: int) -> Answer:
    """Stop a live run for now. What the destination has of its files stays there; the deadline goes on counting."""
    return _ask(run_id, "pause", "run.pause")


@run_control.route("POST", "/api/runs/<id:run_id>/resume", returns=schemas.RunOut, status=202)
def resume_run(run_id: int) -> Answer:
    """Let a paused run go on from what its destination has."""
    return _ask(run_id, None, "run.resume")


@run_control.route("POST", "/api/runs/<id:run_id>/retry", returns=schemas.RunOut, status=202)
def retry_run(run_id: int) -> Answer:
    """Make a run of the files that failed or were cancelled in this ended one, with the job as it was then.

    If its listing had not ended, or had errors, the new run does everything again; what the destination has is not sent twice.
    """
    with deps().database.transaction() as tx:
        made = runs.create_retry(tx, run_id, principal().email)
        audited(tx, "run.requested", f"run:{made.id}", job_id=made.job_id, retry_of=run_id)
    deps().runs.begin(made.id)
    return _shown(made.id)


@run_control.route("POST", "/api/transfers/<id:transfer_id>/cancel", returns=schemas.TransferOut, status=202)
def cancel_transfer(transfer_id: int) -> Answer:
    """Ask one transfer of a live run to end; the others go on. Its part is removed."""
    by = principal().email
    with deps().database.transaction() as tx:
        row = transfers.ask_to_cancel(tx, transfer_id, by)
        if row is not None:
            audited(tx, "transfer.cancel", f"transfer:{transfer_id}", run_id=row.run_id)
    if row is not None:
        deps().runs.cancel_transfer(row, by)
    return show_transfer(transfer_id), 202, {"Location": f"/api/transfers/{transfer_id}"}


@run_control.route("POST", "/api/transfers/<id:transfer_id>/resume", returns=schemas.TransferOut, status=202)
def resume_transfer(transfer_id: int) -> Answer:
    """Take up a failed or cancelled transfer again, in the same run, which must not have ended."""
    with deps().database.transaction() as tx:
        row = transfers.get(tx, transfer_id)
        run = None if row is None else runs.get(tx, row.run_id)
    if row is None or run is None:
        raise NotFoundError(f"there is no transfer {transfer_id}")
    if row.status not in (TransferStatus.FAILED, TransferStatus.CANCELLED):
        raise ConflictError(f"transfer {transfer_id} is {row.status}: there is nothing to resume", code="transfer_live")
    if RunStatus(run.status).terminal:
        raise ConflictError(f"run {run.id} has ended: retry the run", code="run_ended")
    deps().runs.resume_transfer(run.id, transfer_id, principal().email)
    return show_transfer(transfer_id), 202, {"Location": f"/api/transfers/{transfer_id}"}


def _ask(run_id: int, wanted: Wanted | None, action: str) -> Answer:
    by = principal().email
    with deps().database.transaction() as tx:
        fresh = runs.ask(tx, run_id, wanted, by)
        if fresh:
            audited(tx, action, f"run:{run_id}")
    if fresh:
        deps().runs.asked(run_id)
    return _shown(run_id)


def _shown(run_id: int) -> Answer:
    with deps().database.transaction() as tx:
        row = runs.get(tx, run_id)
    if row is None:
        raise NotFoundError(f"there is no run {run_id}")
    return run_fields(row), 202, {"Location": f"/api/runs/{run_id}"}
