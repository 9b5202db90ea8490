"""Jobs: what users define. Running one gives a run."""

from __future__ import annotations

from typing import Any

from flask import Response

from fileflux.bus.events import JobChanged
from fileflux.errors import NotFoundError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import AgentStatus
from fileflux.storage import agents as agent_rows
from fileflux.storage import jobs as rows
from fileflux.storage.lists import JOBS
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Transaction
from fileflux.web import context, etags, schemas
from fileflux.web.context import deps, principal
from fileflux.web.job_schemas import (
    JobIn,
    JobOut,
    JobPage,
    JobPatch,
    JobQuery,
    JobVersionPage,
    Posted,
    changed,
    job_fields,
)
from fileflux.web.paging import PageQuery, listed, page
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource
from fileflux.web.runs import run_fields

jobs = Resource("jobs", "What is moved from where to where.")

Answer = tuple[dict[str, Any], int, dict[str, str]]


@jobs.route("GET", "/api/jobs", query=JobQuery, returns=JobPage)
def list_jobs(query: Ask) -> dict[str, Any]:
    """Jobs, without those made for one run unless `ad_hoc=true` asks for these."""
    with deps().database.transaction() as tx:
        found = JOBS.page(tx, query)
    return listed(query, found, _fields)


@jobs.route("POST", "/api/jobs", body=JobIn, returns=JobOut, status=201, etag=True)
def create_job(posted: Posted) -> Answer:
    """Define a job. It moves nothing until it runs."""
    with deps().database.transaction() as tx:
        _check_agents(tx, posted.spec)
        who = principal().email
        row = rows.create(tx, posted.spec, who, enabled=posted.enabled, ad_hoc=posted.ad_hoc)
        context.audited(tx, "job.created", f"job:{row.id}", spec=posted.spec.to_json())
    _publish(row)
    return _fields(row), 201, {"Location": f"/api/jobs/{row.id}", **etags.etag(row.version)}


@jobs.route("GET", "/api/jobs/<id:job_id>", returns=JobOut, etag=True)
def show_job(job_id: int) -> Response | Answer:
    """One job."""
    row = _stored(job_id)
    return etags.not_modified(row.version) or (_fields(row), 200, etags.etag(row.version))


@jobs.route("PATCH", "/api/jobs/<id:job_id>", body=JobPatch, returns=JobOut, etag=True)
def edit_job(change: dict[str, Any], job_id: int) -> Answer:
    """Change some fields of a job. Live runs follow `bandwidth_limit`, `priority` and `parallel`, and go on as they were started else."""
    with deps().database.transaction() as tx:
        held = _hold(tx, job_id)
        before = Posted(JobSpec.from_json(held.spec), held.enabled, held.ad_hoc)
        after = changed(before, change)
        _check_agents(tx, after.spec)
        row = _store(tx, held, after, "job.changed")
    _publish(row, held)
    return _fields(row), 200, etags.etag(row.version)


@jobs.route("POST", "/api/jobs/<id:job_id>/enable", returns=JobOut, etag=True)
def enable_job(job_id: int) -> Answer:
    """Let a job run again."""
    return _switch(job_id, enabled=True)


@jobs.route("POST", "/api/jobs/<id:job_id>/disable", returns=JobOut, etag=True)
def disable_job(job_id: int) -> Answer:
    """Let no run of a job start, by hand neither. A run that is live goes on."""
    return _switch(job_id, enabled=False)


@jobs.route("DELETE", "/api/jobs/<id:job_id>", status=204, etag=True)
def delete_job(job_id: int) -> None:
    """Delete a job whose runs have all ended. Its runs stay in the history; its name is free."""
    with deps().database.transaction() as tx:
        held = _hold(tx, job_id)
        rows.delete(tx, held)
        context.audited(tx, "job.deleted", f"job:{job_id}", version=held.version, spec=held.spec)
    deps().bus.publish(JobChanged(job_id, held.version, deleted=True))


@jobs.route("GET", "/api/jobs/<id:job_id>/versions", query=PageQuery, returns=JobVersionPage)
def list_versions(query: dict[str, Any], job_id: int) -> dict[str, Any]:
    """What a job was, newest first."""
    _stored(job_id)
    with deps().database.transaction() as tx:
        found = rows.versions(tx, job_id, query["limit"] + 1, query["cursor"])
    before = dict(zip([row.id for row in found], found[1:], strict=False))
    return page(found, query["limit"], lambda row: _version_fields(row, before.get(row.id)))


@jobs.route("POST", "/api/jobs/<id:job_id>/run", returns=schemas.RunOut, status=202)
def run_job(job_id: int) -> Answer:
    """Start a run now. Follow it at Location. 409 `job_disabled` for a job that may not run."""
    run = deps().runs.start(job_id, principal().email)
    return run_fields(run), 202, {"Location": f"/api/runs/{run.id}"}


def _stored(job_id: int) -> rows.JobRow:
    with deps().database.transaction() as tx:
        row = rows.get(tx, job_id)
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return row


def _hold(tx: Transaction, job_id: int) -> rows.JobRow:
    held = rows.hold(tx, job_id)
    etags.check_match(held.version, f"job {held.name}")
    return held


def _switch(job_id: int, *, enabled: bool) -> Answer:
    with deps().database.transaction() as tx:
        held = _hold(tx, job_id)
        after = Posted(JobSpec.from_json(held.spec), enabled, held.ad_hoc)
        row = _store(tx, held, after, "job.enabled" if enabled else "job.disabled")
    _publish(row, held)
    return _fields(row), 200, etags.etag(row.version)


def _store(tx: Transaction, held: rows.JobRow, after: Posted, action: str) -> rows.JobRow:
    row = rows.change(tx, held, principal().email, spec=after.spec, enabled=after.enabled, ad_hoc=after.ad_hoc)
    if row.version != held.version:
        old, new = _given(held), _given(row)
        changes = {name: [old[name], new[name]] for name in new if old[name] != new[name]}
        context.audited(tx, action, f"job:{row.id}", version=row.version, changes=changes)
    return row


def _publish(row: rows.JobRow, before: rows.JobRow | None = None) -> None:
    """Tell who watches, after the commit."""
    if before is None or row.version != before.version:
        deps().bus.publish(JobChanged(row.id, row.version, deleted=False))


def _check_agents(tx: Transaction, spec: JobSpec) -> None:
    wrong: dict[str, list[str]] = {}
    for name in ("source_agent_id", "destination_agent_id"):
        agent = agent_rows.get(tx, getattr(spec, name))
        if agent is None:
            wrong[name] = ["There is no such agent."]
        elif agent.status == AgentStatus.REVOKED:
            wrong[name] = [f"Agent {agent.name} is revoked."]
    if wrong:
        raise InvalidFieldsError(wrong)


def _given(row: rows.JobRow) -> dict[str, Any]:
    """What a user can change."""
    return {**job_fields(JobSpec.from_json(row.spec)), "enabled": row.enabled, "ad_hoc": row.ad_hoc}


def _fields(row: rows.JobRow) -> dict[str, Any]:
    return {
        **_given(row),
        "id": row.id,
        "version": row.version,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "next_run": row.next_fire,
        "last_run": row.last_run_at,
        "last_run_id": row.last_run_id,
    }


def _version_fields(row: rows.JobVersion, before: rows.JobVersion | None) -> dict[str, Any]:
    new, old = ({} if one is None else _of_version(one) for one in (row, before))
    return {
        "version": row.id,
        "changed_by": row.changed_by,
        "changed_at": row.changed_at,
        "changes": {name: [old[name], new[name]] for name in old if old[name] != new[name]},
        "enabled": row.enabled,
        "job": job_fields(JobSpec.from_json(row.spec)),
    }


def _of_version(row: rows.JobVersion) -> dict[str, Any]:
    return {**job_fields(JobSpec.from_json(row.spec)), "enabled": row.enabled}
