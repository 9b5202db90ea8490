"""A job as it is posted and shown. Posted JSON becomes a JobSpec here and nowhere else."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final, get_args

import marshmallow as ma
from marshmallow import fields

from fileflux.errors import FluxError
from fileflux.jobs.filters import MAX_PATTERN_CHARACTERS, MAX_RULES, compile_rules
from fileflux.jobs.models import HubCheck, JobSpec, JobType, Preserve
from fileflux.protocol.limits import DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_PATH_BYTES, MIN_CHUNK_SIZE
from fileflux.protocol.messages import Compression, Conflict, OnChange, Verify
from fileflux.storage.lists import JOBS
from fileflux.web.fields import Choice, Flag, Name, Number, Text, Texts, Whole
from fileflux.web.paging import FlagFilter, IdFilter, ListQuery, SortBy, TextFilter
from fileflux.web.problems import InvalidFieldsError, flatten
from fileflux.web.resource import MAX_ID

_RULE_BYTES: Final = 4 * MAX_PATTERN_CHARACTERS
_DAY_S: Final = 86_400.0
_DESTINATIONS: Final = ("destination_agent_id", "destination_path", "destinations", "destination")


class RetrySchema(ma.Schema):
    """When a failed transfer is tried again: after ``delay`` seconds, each time ``factor`` times as long."""

    attempts = Whole(0, 100, load_default=5)
    delay = Number(0.0, _DAY_S, load_default=10.0, metadata={"description": "seconds"})
    factor = Number(1.0, 10.0, load_default=2.0)


@dataclass(frozen=True, slots=True)
class Posted:
    """A job as it was posted, or as it becomes by a change."""

    spec: JobSpec
    enabled: bool
    ad_hoc: bool


class JobFields(ma.Schema):
    """What a run of a job takes over."""

    name = Name(high=200, required=True)
    description = Text(high=2000, raw=True, load_default="")
    tags = Texts(Text(low=1, high=64), 32, load_default=list)
    type = Choice(get_args(JobType), load_default="push")
    source_agent_id = Whole(1, MAX_ID, required=True)
    source_path = Text(low=1, high=MAX_PATH_BYTES, raw=True, required=True)
    destination_agent_id = Whole(1, MAX_ID, required=True)
    destination_path = Text(low=1, high=MAX_PATH_BYTES, raw=True, required=True)
    include = Texts(Text(low=1, high=_RULE_BYTES, raw=True), MAX_RULES, load_default=list)
    # ``Schema.exclude`` means something else in marshmallow.
    excluded = Texts(
        Text(low=1, high=_RULE_BYTES, raw=True),
        MAX_RULES,
        load_default=list,
        data_key="exclude",
        attribute="exclude",
    )
    recursive = Flag(load_default=True)
    compression = Choice(get_args(Compression), load_default="auto")
    chunk_size = Whole(
        MIN_CHUNK_SIZE, MAX_CHUNK_SIZE, load_default=DEFAULT_CHUNK_SIZE, metadata={"description": "bytes"}
    )
    verify = Choice(get_args(Verify), load_default="chunks")
    hub_check = Choice(get_args(HubCheck), load_default="sample")
    conflict = Choice(get_args(Conflict), load_default="overwrite")
    on_change = Choice(get_args(OnChange), load_default="retry")
    preserve = Texts(Choice(get_args(Preserve)), 2, load_default=lambda: list(get_args(Preserve)))
    retry = fields.Nested(RetrySchema, load_default=lambda: RetrySchema().load({}))
    deadline = Number(1.0, 366 * _DAY_S, load_default=7 * _DAY_S, metadata={"description": "seconds"})
    parallel = Whole(1, 64, load_default=8)


class JobIn(JobFields):
    """A new job. Loads to a Posted."""

    enabled = Flag(load_default=True)
    ad_hoc = Flag(load_default=False, metadata={"description": "made for one run: left out of the list of jobs"})

    @ma.pre_load
    def one_destination(self, data: Any, **_: Any) -> Any:
        if isinstance(data, Mapping):
            lists = [name for name in _DESTINATIONS if isinstance(data.get(name), list)]
            if lists:
                text = "One destination per job for now: make one job for each destination."
                raise ma.ValidationError({name: [text] for name in lists})
        return data

    @ma.validates_schema
    def rules_compile(self, data: Mapping[str, Any], **_: Any) -> None:
        for name in ("include", "exclude"):
            try:
                compile_rules(**{"include": (), "exclude": (), name: tuple(data.get(name, ()))})
            except FluxError as error:
                raise ma.ValidationError({name: [error.message]}) from None

    @ma.validates_schema
    def goes_elsewhere(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["source_agent_id"] == data["destination_agent_id"] and _is_same_place(
            data["source_path"], data["destination_path"]
        ):
            raise ma.ValidationError({"destination_path": ["This is the source itself: choose another destination."]})

    @ma.post_load
    def to_posted(self, data: dict[str, Any], **_: Any) -> Posted:
        enabled, ad_hoc = data.pop("enabled"), data.pop("ad_hoc")
        retry = data.pop("retry")
        deadline = data.pop("deadline")
        for name in ("tags", "include", "exclude", "preserve"):
            data[name] = tuple(dict.fromkeys(data[name]))
        spec = JobSpec(
            **data,
            retry_attempts=retry["attempts"],
            retry_delay_s=retry["delay"],
            retry_factor=retry["factor"],
            deadline_s=deadline,
        )
        return Posted(spec, enabled, ad_hoc)


def _optional(schema: type[ma.Schema], name: str, **replaced: fields.Field[Any]) -> type[ma.Schema]:
    """The same fields, none of which has to be there or has a default."""
    changed: dict[str, fields.Field[Any]] = {}
    for field_name, declared in schema._declared_fields.items():  # noqa: SLF001  # the only way to a class's fields
        changed[field_name] = copy.copy(declared)
        changed[field_name].required = False
        changed[field_name].load_default = ma.missing
    return ma.Schema.from_dict({**changed, **replaced}, name=name)


RetryPatch = _optional(RetrySchema, "RetryPatch")
JobPatch = _optional(JobIn, "JobPatch", retry=fields.Nested(RetryPatch))
"""The fields of a job that change; what is left out stays, in ``retry`` too. Load what ``changed`` makes of it."""


class JobQuery(ListQuery):
    sort = SortBy(JOBS)
    name = TextFilter(200, metadata={"description": "the whole name"})
    tag = TextFilter(64)
    agent_id = IdFilter(metadata={"description": "at either end"})
    enabled = FlagFilter()
    ad_hoc = FlagFilter(load_default=False)


class JobOut(JobIn):
    """A job as it is shown."""

    id = fields.Integer()
    version = fields.Integer()
    created_by = fields.String()
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()


class JobPage(ma.Schema):
    items = fields.List(fields.Nested(JobOut))
    next_cursor = fields.String(allow_none=True)


class JobVersionOut(ma.Schema):
    """A job as it was from ``changed_at`` on."""

    version = fields.Integer()
    changed_by = fields.String()
    changed_at = fields.AwareDateTime()
    enabled = fields.Boolean()
    job = fields.Nested(JobFields)


class JobVersionPage(ma.Schema):
    items = fields.List(fields.Nested(JobVersionOut))
    next_cursor = fields.String(allow_none=True)


def _is_same_place(one: str, other: str) -> bool:
    """By spelling, for absolute paths of either kind of system; what only the agent can see it refuses itself."""
    return any(kind(one).is_absolute() and kind(one) == kind(other) for kind in (PurePosixPath, PureWindowsPath))


def changed(before: Posted, change: Mapping[str, Any]) -> Posted:
    """The job with these fields of JobPatch. Raises InvalidFieldsError for what is no job as a whole."""
    whole = {**job_fields(before.spec), "enabled": before.enabled, "ad_hoc": before.ad_hoc}
    whole |= {**change, "retry": whole["retry"] | change.get("retry", {})}
    try:
        after: Posted = JobIn().load(whole)
    except ma.ValidationError as error:
        raise InvalidFieldsError(dict(flatten(error.messages))) from None
    return after


def job_fields(spec: JobSpec) -> dict[str, Any]:
    """The fields of a spec under the names of the API; the inverse of loading JobIn."""
    shown = spec.to_json()
    shown["retry"] = {
        "attempts": shown.pop("retry_attempts"),
        "delay": shown.pop("retry_delay_s"),
        "factor": shown.pop("retry_factor"),
    }
    shown["deadline"] = shown.pop("deadline_s")
    return shown
