"""Jobs: what users define. Running one gives a run."""

from __future__ import annotations

from typing import Any

from fileflux.errors import NotFoundError
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import AgentStatus
from fileflux.storage import agents as agent_rows
from fileflux.storage import jobs as rows
from fileflux.storage.pool import Transaction
from fileflux.web import context, schemas
from fileflux.web.context import deps, principal
from fileflux.web.job_schemas import JobIn, JobOut, JobPage, job_fields
from fileflux.web.paging import PageQuery, page
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource
from fileflux.web.runs import run_fields

jobs = Resource("jobs", "What is moved from where to where.")


@jobs.route("GET", "/api/jobs", query=PageQuery, returns=JobPage)
def list_jobs(query: dict[str, Any]) -> dict[str, Any]:
    """All jobs."""
    with deps().database.transaction() as tx:
        found = rows.list_page(tx, query["limit"] + 1, query["cursor"])
    return page(found, query["limit"], _fields)


@jobs.route("POST", "/api/jobs", body=JobIn, returns=JobOut, status=201)
def create_job(spec: JobSpec) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Define a job. It moves nothing until it runs."""
    with deps().database.transaction() as tx:
        _check_agents(tx, spec)
        row = rows.create(tx, spec, created_by=principal().email)
        context.audited(tx, "job.created", f"job:{row.id}", spec=spec.to_json())
    return _fields(row), 201, {"Location": f"/api/jobs/{row.id}"}


@jobs.route("GET", "/api/jobs/<id:job_id>", returns=JobOut)
def show_job(job_id: int) -> dict[str, Any]:
    """One job."""
    with deps().database.transaction() as tx:
        row = rows.get(tx, job_id)
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return _fields(row)


@jobs.route("POST", "/api/jobs/<id:job_id>/run", returns=schemas.RunOut, status=202)
def run_job(job_id: int) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Start a run now. Follow it at Location."""
    run = deps().runs.start(job_id, principal().email)
    return run_fields(run), 202, {"Location": f"/api/runs/{run.id}"}


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


def _fields(row: rows.JobRow) -> dict[str, Any]:
    return {
        **job_fields(JobSpec.from_json(row.spec)),
        "id": row.id,
        "enabled": row.enabled,
        "version": row.version,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
