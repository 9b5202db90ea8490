"""What the routes take and show, except jobs (``job_schemas.py``)."""

from __future__ import annotations

from typing import get_args

import marshmallow as ma
from marshmallow import fields

from fileflux.jobs.bottleneck import Bottleneck
from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.storage.lists import RUNS, TRANSFERS
from fileflux.storage.runs import Trigger
from fileflux.web.paging import IdFilter, ListQuery, SearchFilter, Several, SortBy, TextFilter, TimeFilter


class Problem(ma.Schema):
    """RFC 9457, as every error is answered."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"description": "stable; for programs"})
    request_id = fields.String()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class RunQuery(ListQuery):
    sort = SortBy(
        RUNS,
        "by started_at only with status and job_id, by ended_at only with status, by id only with job_id, or with no filter",
    )
    job_id = IdFilter()
    status = Several(tuple(RunStatus))
    agent_id = IdFilter(metadata={"description": "at either end"})
    since = TimeFilter(metadata={"description": "made at or after this time"})
    until = TimeFilter(metadata={"description": "made before this time"})


class BandwidthOut(ma.Schema):
    """The limit that holds for a run, of all that apply the lowest."""

    limit = fields.Integer(metadata={"description": "bytes per second over the wire; 0: nothing moves"})
    set_by = fields.String(metadata={"description": "job, timetable, or agent and its name"})
    until = fields.AwareDateTime(
        allow_none=True, metadata={"description": "when the timetable lets another limit hold; null: it does not"}
    )


def _bottleneck(what: str) -> fields.String:
    enum = [*get_args(Bottleneck), None]
    return fields.String(allow_none=True, metadata={"enum": enum, "description": f"{what}; null: too little is known"})


class RunOut(ma.Schema):
    """One execution of a job. The byte counts are sums over its transfers."""

    id = fields.Integer()
    job_id = fields.Integer()
    status = fields.String(metadata={"enum": [status.value for status in RunStatus]})
    reason = fields.String(metadata={"description": "why it waits or failed"})
    requested_by = fields.String()
    trigger = fields.String(metadata={"enum": list(get_args(Trigger)), "description": "what started it"})
    fire_time = fields.AwareDateTime(allow_none=True, metadata={"description": "the time of the schedule it is for"})
    after_run = fields.Integer(allow_none=True, metadata={"description": "it begins when this run has ended"})
    retry_of = fields.Integer(allow_none=True, metadata={"description": "the run whose failed files this one moves"})
    progress = fields.Float(metadata={"description": "0 to 100, by bytes"})
    files_total = fields.Integer(allow_none=True, metadata={"description": "null until the walk has ended"})
    files_done = fields.Integer()
    files_failed = fields.Integer()
    files_skipped = fields.Integer()
    files_deleted = fields.Integer(
        metadata={"description": "at the destination, by delete_extra; directories count too"}
    )
    delete_errors = fields.Integer(metadata={"description": "what delete_extra could not remove"})
    bytes_total = fields.Integer(metadata={"description": "of the files found so far"})
    bytes_done = fields.Integer()
    bytes_transferred = fields.Integer(metadata={"description": "over the wire"})
    bytes_reused = fields.Integer(metadata={"description": "that the destination had already"})
    bandwidth = fields.Nested(BandwidthOut, allow_none=True, metadata={"description": "null: nothing limits it now"})
    bottleneck = _bottleneck("what most of its files wait for")
    created_at = fields.AwareDateTime()
    started_at = fields.AwareDateTime(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)
    deadline_at = fields.AwareDateTime(allow_none=True)


class RunPage(ma.Schema):
    items = fields.List(fields.Nested(RunOut))
    next_cursor = fields.String(allow_none=True)


class TransferQuery(ListQuery):
    sort = SortBy(TRANSFERS, "by started_at only with run_id")
    run_id = IdFilter()
    job_id = IdFilter()
    status = Several(tuple(TransferStatus))
    code = TextFilter(64, metadata={"description": "of what became of the file; needs run_id"})
    filename = SearchFilter(
        metadata={
            "description": "a part of the name, in any case; needs run_id or job_id. A page looks at 20,000 files: it may be empty and "
            "still have a next_cursor"
        }
    )


class CodeOut(ma.Schema):
    code = fields.String(metadata={"description": "as in the filter of /api/transfers"})
    count = fields.Integer(metadata={"description": "files that have it; 10000: or more"})


class CodesOut(ma.Schema):
    items = fields.List(fields.Nested(CodeOut))


class TransferOut(ma.Schema):
    """One file of a run."""

    id = fields.Integer()
    run_id = fields.Integer()
    job_id = fields.Integer()
    filename = fields.String(metadata={"description": "relative to the source path; bytes that are no UTF-8 as \\xNN"})
    size = fields.Integer()
    status = fields.String(metadata={"enum": [status.value for status in TransferStatus]})
    reason = fields.String(metadata={"description": "why it waits or failed"})
    code = fields.String(metadata={"description": "stable code of the failure, or empty"})
    bottleneck = _bottleneck("what it waits for most")
    progress = fields.Float(metadata={"description": "0 to 100"})
    bytes_transferred = fields.Integer(metadata={"description": "over the wire"})
    bytes_reused = fields.Integer()
    compression = fields.String(allow_none=True)
    chunk_size = fields.Integer()
    total_chunks = fields.Integer()
    completed_chunks = fields.Integer()
    file_hash = fields.String(allow_none=True, metadata={"description": "SHA-256, hex"})
    retry_count = fields.Integer()
    started_at = fields.AwareDateTime(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)


class TransferPage(ma.Schema):
    items = fields.List(fields.Nested(TransferOut))
    next_cursor = fields.String(allow_none=True)


class AlertOut(ma.Schema):
    """What somebody should look at."""

    id = fields.Integer()
    kind = fields.String()
    object = fields.String(metadata={"description": "what it is about, as in agent:5"})
    message = fields.String(metadata={"description": "what happened and what to do"})
    count = fields.Integer(metadata={"description": "how often since first_at"})
    first_at = fields.AwareDateTime()
    last_at = fields.AwareDateTime()
    dismissed_at = fields.AwareDateTime(allow_none=True)
    dismissed_by = fields.String(allow_none=True)
