"""What the routes of agents and their tokens take and show, and the list of alerts."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields

from fileflux.errors import RefusedPathError
from fileflux.jobs.status import AgentStatus
from fileflux.protocol.limits import MAX_PATH_BYTES
from fileflux.storage import agents, tokens
from fileflux.storage.values import name_to_bytes
from fileflux.web import schemas
from fileflux.web.fields import Name, Text, Texts, Whole
from fileflux.web.limit_schemas import limit_field, timetable_field
from fileflux.web.paging import FlagFilter, IdFilter, Limit, ListQuery, PageQuery, Several, SortBy, TextFilter
from fileflux.web.resource import MAX_ID

NAME_MAX: Final = 100
_TAG_MAX: Final = 64
_TAGS_MAX: Final = 32
_STATUSES: Final = tuple(status.value for status in AgentStatus)


class AgentIn(ma.Schema):
    name = Name(high=NAME_MAX, in_places=True, required=True)
    description = Text(high=2000, raw=True, load_default="")
    tags = Texts(Text(low=1, high=_TAG_MAX), _TAGS_MAX, load_default=list)


class AgentPatch(ma.Schema):
    """What is left out stays."""

    name = Name(high=NAME_MAX, in_places=True)
    description = Text(high=2000, raw=True)
    tags = Texts(Text(low=1, high=_TAG_MAX), _TAGS_MAX)
    bandwidth_limit = limit_field()
    bandwidth_timetable = timetable_field()


class AgentQuery(ListQuery):
    sort = SortBy(agents.LIST, "by last_seen, those that were never here come last")
    name = TextFilter(NAME_MAX)
    tag = TextFilter(_TAG_MAX)
    status = Several(_STATUSES)
    temporary = FlagFilter(load_default=False)


class AgentOut(ma.Schema):
    id = fields.Integer()
    name = fields.String()
    description = fields.String()
    tags = fields.List(fields.String())
    status = fields.String(metadata={"enum": list(_STATUSES)})
    transport = fields.String(allow_none=True, metadata={"description": "of the present link"})
    transport_reason = fields.String(
        allow_none=True, metadata={"description": "why the agent chose this transport, as in: upgrade refused with 403"}
    )
    connected_since = fields.AwareDateTime(allow_none=True)
    load_average = fields.Float(
        allow_none=True,
        metadata={
            "description": "of its host over a minute, as the last heartbeat said: processes that want a processor"
        },
    )
    last_seen = fields.AwareDateTime(allow_none=True, metadata={"description": "to the minute"})
    info = fields.Dict(allow_none=True, metadata={"description": "what the agent says of itself and its host"})
    temporary = fields.Boolean(metadata={"description": "made by `fileflux send` for as long as it runs"})
    created_by = fields.String(metadata={"description": "of a temporary agent"})
    bandwidth_limit = limit_field()
    bandwidth_timetable = timetable_field()
    created_at = fields.AwareDateTime()


class AgentPage(ma.Schema):
    items = fields.List(fields.Nested(AgentOut))
    next_cursor = fields.String(allow_none=True)


class AgentTested(ma.Schema):
    round_trip_ms = fields.Float()
    transport = fields.String()


class BrowseCursor(fields.String):
    """Loads to the name after which the page begins, as ``os.fsdecode`` gives it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        value = super()._deserialize(value, attr, data, **kwargs)
        try:
            raw = base64.urlsafe_b64decode(value.encode("ascii"))
        except ValueError:
            raw = b""
        name = raw.decode("utf-8", "surrogateescape")
        if not 0 < len(raw) <= MAX_PATH_BYTES or b"\0" in raw or browse_cursor(name) != value:
            raise ma.ValidationError("Not a cursor; use next_cursor of the page before.")
        return name


def browse_cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name_to_bytes(name)).decode("ascii")


class AgentPath(Text):
    """A path as an agent's system spells it; what it holds is that system's matter."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        try:
            name_to_bytes(text := super()._deserialize(value, attr, data, **kwargs))
        except RefusedPathError as error:
            raise ma.ValidationError(error.message) from None
        return text


class BrowseQuery(ma.Schema):
    path = AgentPath(high=MAX_PATH_BYTES, raw=True, load_default="")
    limit = Limit(load_default=100)
    cursor = BrowseCursor(load_default=None, metadata={"description": "next_cursor of the page before"})


class BrowseItemOut(ma.Schema):
    name = fields.String(metadata={"description": "bytes that are no UTF-8 as \\xNN; of a root its path"})
    exact = fields.Boolean(metadata={"description": "false: the name has such bytes, so no path here can spell it"})
    kind = fields.String(metadata={"enum": ["file", "directory", "symlink", "other"]})
    size = fields.Integer()
    mtime = fields.AwareDateTime(allow_none=True, metadata={"description": "null for a root"})
    mode = fields.Integer(allow_none=True, metadata={"description": "permission bits; null for a root"})
    read = fields.Boolean(allow_none=True, metadata={"description": "of a root: jobs may read here"})
    write = fields.Boolean(allow_none=True, metadata={"description": "of a root: jobs may write here"})


class BrowseOut(ma.Schema):
    path = fields.String(metadata={"description": "absolute; empty for the roots"})
    parent = fields.String(allow_none=True, metadata={"description": "one level up; empty for the roots"})
    items = fields.List(fields.Nested(BrowseItemOut))
    next_cursor = fields.String(allow_none=True)


class DoctorCheckOut(ma.Schema):
    name = fields.String()
    status = fields.String(metadata={"enum": ["ok", "warn", "fail", "skipped"]})
    found = fields.String()
    advice = fields.String(metadata={"description": "what to do; may be empty"})


class DoctorOut(ma.Schema):
    works = fields.Boolean(metadata={"description": "no check failed"})
    checks = fields.List(fields.Nested(DoctorCheckOut))


class TokenIn(ma.Schema):
    agent_id = Whole(1, MAX_ID, required=True)
    name = Text(high=100, load_default="")
    expires_in_days = Whole(
        1,
        3650,
        allow_none=True,
        metadata={"description": "null: it does not expire; left out: as the hub's settings say"},
    )


class TokenQuery(ListQuery):
    sort = SortBy(tokens.LIST)
    agent_id = IdFilter()


class RotateIn(ma.Schema):
    overlap_hours = Whole(0, 168, load_default=24, metadata={"description": "how long the old one works on"})


class TokenOut(ma.Schema):
    """An agent's token without its value."""

    id = fields.Integer()
    agent_id = fields.Integer()
    name = fields.String()
    prefix = fields.String(metadata={"description": "how the value begins, to tell tokens apart"})
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime(allow_none=True)
    last_used_at = fields.AwareDateTime(allow_none=True, metadata={"description": "to the minute"})
    revoked_at = fields.AwareDateTime(allow_none=True)
    replaced_by = fields.Integer(allow_none=True, metadata={"description": "the token that a rotation made"})


class TokenMade(ma.Schema):
    token = fields.Nested(TokenOut)
    value = fields.String(metadata={"description": "shown this once; only its hash is kept"})


class TokenPage(ma.Schema):
    items = fields.List(fields.Nested(TokenOut))
    next_cursor = fields.String(allow_none=True)


class TemporaryAgentIn(ma.Schema):
    name = Name(
        high=60,
        in_places=True,
        load_default="send",
        metadata={"description": "what tells it apart, like the host's name"},
    )


class TemporaryAgentMade(ma.Schema):
    agent = fields.Nested(AgentOut)
    value = fields.String(metadata={"description": "its token, good for a day; shown this once"})


class AlertQuery(PageQuery):
    dismissed = FlagFilter(load_default=False, metadata={"description": "those that are dismissed too"})


class AlertPage(ma.Schema):
    items = fields.List(fields.Nested(schemas.AlertOut))
    next_cursor = fields.String(allow_none=True)
