"""Plans: what a run of a job would do, and how a run that was made of one differed from it."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from fileflux.errors import NotFoundError, UnavailableError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import RunStatus
from fileflux.storage import jobs as job_rows
from fileflux.storage import plan_drift as drift_rows
from fileflux.storage import plans as rows
from fileflux.storage import runs as run_rows
from fileflux.storage.values import shown_name
from fileflux.web import context, schemas
from fileflux.web.context import deps, principal
from fileflux.web.deps import Planning
from fileflux.web.fields import Choice
from fileflux.web.job_schemas import JobFields, job_fields
from fileflux.web.paging import PageQuery, page
from fileflux.web.resource import Resource
from fileflux.web.runs import run_fields

plans = Resource("plans", "What a run would do, without doing it.")

Answer = tuple[dict[str, Any], int, dict[str, str]]


class PlanClass(ma.Schema):
    files = fields.Integer()
    bytes = fields.Integer()


class PlanOut(ma.Schema):
    """What a run of the job would do. While it is `planning` the sums are those so far, and of the source alone at first."""

    id = fields.Integer()
    job_id = fields.Integer()
    job_version = fields.Integer()
    status = fields.String(metadata={"enum": ["planning", "ready", "failed", "cancelled"]})
    reason = fields.String(metadata={"description": "what it waits for, or why it failed"})
    requested_by = fields.String()
    created_at = fields.AwareDateTime()
    ended_at = fields.AwareDateTime(allow_none=True)
    new = fields.Nested(PlanClass, metadata={"description": "not at the destination"})
    changed = fields.Nested(PlanClass, metadata={"description": "another file stands there and would be replaced"})
    equal = fields.Nested(PlanClass, metadata={"description": "the destination has it, with size and mtime"})
    extra = fields.Nested(PlanClass, metadata={"description": "at the destination only"})
    refused = fields.Nested(PlanClass, metadata={"description": "would not be moved; each entry says why"})
    directories = fields.Integer(metadata={"description": "that would be made"})
    estimated_s = fields.Float(
        allow_none=True, metadata={"description": "how long a run would take; null: nothing is known of its speed"}
    )
    estimate_note = fields.String(metadata={"description": "what the estimate goes by, or why there is none"})
    warnings = fields.List(fields.String())
    run_id = fields.Integer(allow_none=True, metadata={"description": "of the run that was made of it"})
    job = fields.Nested(JobFields, metadata={"description": "the job as it was planned"})


class PlanPage(ma.Schema):
    items = fields.List(fields.Nested(PlanOut))
    next_cursor = fields.String(allow_none=True)


class EntryQuery(PageQuery):
    # `class` is a word of the language.
    of_class = Choice(rows.CLASSES, data_key="class", load_default="new")


class EntryOut(ma.Schema):
    id = fields.Integer()
    path = fields.String()
    kind = fields.String()
    size = fields.Integer()
    # As in the schema of the query.
    of_class = fields.String(data_key="class")
    reason = fields.String()


class EntryPage(ma.Schema):
    items = fields.List(fields.Nested(EntryOut))
    next_cursor = fields.String(allow_none=True)


class DriftQuery(PageQuery):
    kind = Choice(drift_rows.DRIFTS, load_default="changed")


class DriftOut(ma.Schema):
    """Files of the run's listing that differ from its plan."""

    plan_id = fields.Integer()
    ready = fields.Boolean(metadata={"description": "false: the run still lists its source, or is being compared"})
    reason = fields.String(metadata={"description": "what it waits for"})
    new = fields.Integer(allow_none=True, metadata={"description": "files that were not planned"})
    changed = fields.Integer(allow_none=True, metadata={"description": "files of another size or time than planned"})
    gone = fields.Integer(allow_none=True, metadata={"description": "files that were planned and not there any more"})
    items = fields.List(fields.Nested(EntryOut), metadata={"description": "the files of one kind"})
    next_cursor = fields.String(allow_none=True)


@plans.route("POST", "/api/jobs/<id:job_id>/plan", returns=PlanOut, status=202)
def plan_job(job_id: int) -> Answer:
    """Find out what a run of the job would do: both agents are asked, and nothing is changed. Follow it at Location.

    409 `plan_running` while another plan of the job is being made.
    """
    planning = _planning()
    with deps().database.transaction() as tx:
        job = job_rows.get(tx, job_id)
        if job is None:
            raise NotFoundError(f"there is no job {job_id}")
        row = rows.create(tx, job, principal().email)
        context.audited(tx, "plan.requested", f"job:{job_id}", plan_id=row.id)
    planning.begin(row)
    return _fields(row), 202, {"Location": f"/api/plans/{row.id}"}


@plans.route("GET", "/api/jobs/<id:job_id>/plans", query=PageQuery, returns=PlanPage)
def list_plans(query: dict[str, Any], job_id: int) -> dict[str, Any]:
    """The job's plans of the last days, newest first."""
    with deps().database.transaction() as tx:
        if job_rows.get(tx, job_id) is None:
            raise NotFoundError(f"there is no job {job_id}")
        found = rows.of_job(tx, job_id, query["limit"] + 1, query["cursor"])
    return page(found, query["limit"], _fields)


@plans.route("GET", "/api/plans/<id:plan_id>", returns=PlanOut)
def show_plan(plan_id: int) -> dict[str, Any]:
    """One plan."""
    return _fields(_stored(plan_id))


@plans.route("GET", "/api/plans/<id:plan_id>/entries", query=EntryQuery, returns=EntryPage)
def list_entries(query: dict[str, Any], plan_id: int) -> dict[str, Any]:
    """The files of one class."""
    _stored(plan_id)
    with deps().database.transaction() as tx:
        found = rows.entries(tx, plan_id, query["of_class"], query["limit"] + 1, query["cursor"])
    return page(found, query["limit"], _entry)


@plans.route("POST", "/api/plans/<id:plan_id>/cancel", returns=PlanOut)
def cancel_plan(plan_id: int) -> dict[str, Any]:
    """Stop making it; what was found so far can still be read. One that is over stays as it is."""
    who = principal().email
    with deps().database.transaction() as tx:
        row = rows.cancel(tx, plan_id, who)
        context.audited(tx, "plan.cancelled", f"plan:{plan_id}")
    return _fields(row)


@plans.route("DELETE", "/api/plans/<id:plan_id>", status=204)
def delete_plan(plan_id: int) -> None:
    """Stop a plan that is being made, and forget it."""
    with deps().database.transaction() as tx:
        rows.remove(tx, plan_id)
        context.audited(tx, "plan.deleted", f"plan:{plan_id}")


@plans.route("POST", "/api/plans/<id:plan_id>/run", returns=schemas.RunOut, status=202)
def run_plan(plan_id: int) -> Answer:
    """Run the job as it was planned. 409 `plan_outdated` when the job has changed since. What the run then finds is what it moves: its
    drift says how that differed.
    """
    who, planning = principal().email, _planning()
    with deps().database.transaction() as tx:
        plan = rows.take_for_run(tx, plan_id)
        run = run_rows.create(tx, job_rows.to_run(tx, plan.job_id), who)
        rows.ran(tx, plan_id, run.id)
        context.audited(tx, "run.requested", f"run:{run.id}", job_id=plan.job_id, plan_id=plan_id)
    deps().runs.begin(run.id)
    with deps().database.transaction() as tx:
        mine = drift_rows.take(tx, plan_id)
    if mine:
        planning.compare(plan_id, run.id)
    with deps().database.transaction() as tx:
        run = run_rows.get(tx, run.id) or run
    return run_fields(run), 202, {"Location": f"/api/runs/{run.id}"}


@plans.route("GET", "/api/runs/<id:run_id>/drift", query=DriftQuery, returns=DriftOut)
def show_drift(query: dict[str, Any], run_id: int) -> dict[str, Any]:
    """How what a run found differed from the plan that it was made of. It is found out once the run has listed its source."""
    with deps().database.transaction() as tx:
        run = run_rows.get(tx, run_id)
        plan = None if run is None else rows.of_run(tx, run_id)
        if run is None:
            raise NotFoundError(f"there is no run {run_id}")
        if plan is None:
            raise NotFoundError(f"run {run_id} was not made of a plan, or its plan is gone")
        unlisted = RunStatus(run.status).terminal and not run.planned
        # The hub that was at it may have stopped.
        mine = not unlisted and drift_rows.take(tx, plan.id)
        found = drift_rows.page(tx, plan.id, query["kind"], query["limit"] + 1, query["cursor"])
    if mine:
        _planning().compare(plan.id, run_id)
    counts: dict[str, Any] = {name: None if plan.drift is None else plan.drift[name] for name in drift_rows.DRIFTS}
    waits = "the run is being compared with its plan" if run.planned else "the run still lists its source"
    reason = "" if plan.drift is not None else "the run ended before its source was listed" if unlisted else waits
    shown = page(found, query["limit"], _entry)
    return {"plan_id": plan.id, "ready": plan.drift is not None, "reason": reason, **counts, **shown}


def _planning() -> Planning:
    planning = deps().planning
    if planning is None:
        raise UnavailableError("this hub cannot plan now: try again in a moment")
    return planning


def _stored(plan_id: int) -> rows.PlanRow:
    with deps().database.transaction() as tx:
        row = rows.get(tx, plan_id)
        if row is not None and row.status == "planning":
            rows.give_up_lost(tx)
            row = rows.get(tx, plan_id)
    if row is None:
        raise NotFoundError(f"there is no plan {plan_id}")
    return row


def _fields(row: rows.PlanRow) -> dict[str, Any]:
    shown: dict[str, Any] = {
        name: getattr(row, name)
        for name in (
            *("id", "job_id", "job_version", "status", "reason", "requested_by", "created_at", "ended_at"),
            *("warnings", "run_id"),
        )
    }
    for name in rows.CLASSES:
        if name in row.sums:
            shown[name] = dict(zip(("files", "bytes"), row.sums[name], strict=True))
    if row.sums:
        shown["directories"] = row.sums["directories"]
        shown |= {"estimated_s": row.sums.get("estimate_s"), "estimate_note": row.sums.get("estimate_note", "")}
    return shown | {"job": job_fields(JobSpec.from_json(row.spec))}


def _entry(row: rows.StoredEntry) -> dict[str, Any]:
    return {
        "id": row.id,
        "path": shown_name(row.path),
        "kind": row.kind,
        "size": row.size,
        "of_class": row.class_,
        "reason": row.reason,
    }
