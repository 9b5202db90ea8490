"""What the routes take and show, except jobs (``job_schemas.py``)."""

from __future__ import annotations

from typing import Final

import marshmallow as ma
from marshmallow import fields

from fileflux.jobs.status import RunStatus, TransferStatus
from fileflux.web.fields import Choice, Text, Texts, Whole
from fileflux.web.paging import PageQuery
from fileflux.web.resource import MAX_ID

PASSWORD_BYTES: Final = 1024
"""argon2 hashes any length; longer ones only cost time."""


class Problem(ma.Schema):
    """RFC 9457, as every error is answered."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String(metadata={"description": "stable; for programs"})
    request_id = fields.String()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class LoginIn(ma.Schema):
    email = Text(low=1, high=254, required=True)
    password = Text(low=1, high=PASSWORD_BYTES, raw=True, required=True)


class RefreshIn(ma.Schema):
    refresh_token = fields.String(required=True)


class UserOut(ma.Schema):
    id = fields.Integer()
    email = fields.String()
    role = fields.String()


class LoginOut(ma.Schema):
    token = fields.String()
    refresh_token = fields.String()
    expires_at = fields.AwareDateTime(metadata={"description": "of token"})
    user = fields.Nested(UserOut)


class AgentIn(ma.Schema):
    name = Text(low=1, high=100, required=True)
    description = Text(high=2000, raw=True, load_default="")
    tags = Texts(Text(low=1, high=64), 32, load_default=list)


class AgentOut(ma.Schema):
    id = fields.Integer()
    name = fields.String()
    description = fields.String()
    tags = fields.List(fields.String())
    status = fields.String(metadata={"enum": ["new", "pending", "online", "offline", "revoked"]})
    transport = fields.String(allow_none=True, metadata={"description": "of the present link"})
    transport_reason = fields.String(
        allow_none=True, metadata={"description": "why the agent chose this transport, as in: upgrade refused with 403"}
    )
    connected_since = fields.AwareDateTime(allow_none=True)
    last_seen = fields.AwareDateTime(allow_none=True)
    info = fields.Dict(allow_none=True, metadata={"description": "what the agent says of itself and its host"})
    created_at = fields.AwareDateTime()


class AgentPage(ma.Schema):
    items = fields.List(fields.Nested(AgentOut))
    next_cursor = fields.String(allow_none=True)


class AgentTested(ma.Schema):
    round_trip_ms = fields.Float()


class TokenIn(ma.Schema):
    agent_id = Whole(1, MAX_ID, required=True)
    name = Text(high=100, load_default="")
    expires_in_days = Whole(1, 3650, load_default=None, allow_none=True)


class TokenOut(ma.Schema):
    """An agent's token without its value."""

    id = fields.Integer()
    agent_id = fields.Integer()
    name = fields.String()
    prefix = fields.String(metadata={"description": "how the value begins, to tell tokens apart"})
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime(allow_none=True)
    last_used_at = fields.AwareDateTime(allow_none=True)
    revoked_at = fields.AwareDateTime(allow_none=True)


class TokenMade(ma.Schema):
    token = fields.Nested(TokenOut)
    value = fields.String(metadata={"description": "shown this once; only its hash is kept"})


class TokenPage(ma.Schema):
    items = fields.List(fields.Nested(TokenOut))
    next_cursor = fields.String(allow_none=True)


class RunQuery(PageQuery):
    job_id = fields.Integer(load_default=None, validate=ma.validate.Range(1, MAX_ID))
    status = Choice(tuple(RunStatus), load_default=None)


class RunOut(ma.Schema):
    """One execution of a job. The byte counts are sums over its transfers."""

    id = fields.Integer()
    job_id = fields.Integer()
    status = fields.String(metadata={"enum": [status.value for status in RunStatus]})
    reason = fields.String(metadata={"description": "why it waits or failed"})
    requested_by = fields.String()
    progress = fields.Float(metadata={"description": "0 to 100, by bytes"})
    files_total = fields.Integer(allow_none=True, metadata={"description": "null until the walk has ended"})
    files_done = fields.Integer()
    files_failed = fields.Integer()
    files_skipped = fields.Integer()
    bytes_total = fields.Integer(metadata={"description": "of the files found so far"})
    bytes_done = fields.Integer()
    bytes_transferred = fields.Integer(metadata={"description": "over the wire"})
    bytes_reused = fields.Integer(metadata={"description": "that the destination had already"})
    created_at = fields.AwareDateTime()
    started_at = fields.AwareDateTime(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)
    deadline_at = fields.AwareDateTime(allow_none=True)


class RunPage(ma.Schema):
    items = fields.List(fields.Nested(RunOut))
    next_cursor = fields.String(allow_none=True)


class TransferQuery(PageQuery):
    run_id = fields.Integer(load_default=None, validate=ma.validate.Range(1, MAX_ID))
    job_id = fields.Integer(load_default=None, validate=ma.validate.Range(1, MAX_ID))
    status = Choice(tuple(TransferStatus), load_default=None)


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
