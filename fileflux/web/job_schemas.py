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
from fileflux.jobs import cron
from fileflux.jobs.filters import MAX_PATTERN_CHARACTERS, MAX_RULES, compile_rules
from fileflux.jobs.models import CatchUp, HubCheck, JobSpec, JobType, Names, Overlap, Preserve, Symlinks, WatchRule
from fileflux.protocol.limits import DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_PATH_BYTES, MIN_CHUNK_SIZE
from fileflux.protocol.messages import Compression, Conflict, OnChange, OnSuccess, Verify
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


class WatchSchema(ma.Schema):
    """When files that arrive at the source start a run: they have not changed for `settle` seconds, and their marker is there."""

    settle = Number(0.0, _DAY_S, load_default=5.0, metadata={"description": "seconds"})
    marker = Text(
        high=64,
        load_default="",
        metadata={"description": "suffix of the file that says that one is complete, as in .done"},
    )
    poll = Number(
        0.5,
        _DAY_S,
        load_default=None,
        allow_none=True,
        metadata={"description": "look every so many seconds; null: by the system's events where it has them"},
    )


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
    pattern = Text(
        high=_RULE_BYTES, raw=True, load_default="", metadata={"description": "one more include pattern; empty: none"}
    )
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
    schedule = Text(
        low=1,
        high=200,
        load_default=None,
        allow_none=True,
        metadata={"description": "cron: 5 fields, 6 with seconds, or @daily and its like; null: by hand"},
    )
    timezone = Text(low=1, high=64, load_default="UTC", metadata={"description": "of schedule and expected_by"})
    overlap = Choice(get_args(Overlap), load_default="skip")
    catch_up = Choice(get_args(CatchUp), load_default="once")
    jitter_s = Number(0.0, _DAY_S, load_default=0.0, metadata={"description": "seconds"})
    watch = fields.Nested(WatchSchema, load_default=None, allow_none=True)
    compression = Choice(get_args(Compression), load_default="auto")
    chunk_size = Whole(
        MIN_CHUNK_SIZE, MAX_CHUNK_SIZE, load_default=DEFAULT_CHUNK_SIZE, metadata={"description": "bytes"}
    )
    verify = Choice(get_args(Verify), load_default="chunks")
    hub_check = Choice(get_args(HubCheck), load_default="sample")
    conflict = Choice(get_args(Conflict), load_default="overwrite")
    delete_extra = Flag(
        load_default=False, metadata={"description": "remove at the destination what the source has not"}
    )
    on_success = Choice(get_args(OnSuccess), load_default="keep")
    archive_path = Text(
        high=MAX_PATH_BYTES,
        raw=True,
        load_default="",
        metadata={"description": "with on_success archive: where; below the source's folder unless it is absolute"},
    )
    on_change = Choice(get_args(OnChange), load_default="retry")
    preserve = Texts(Choice(get_args(Preserve)), 2, load_default=lambda: list(get_args(Preserve)))
    symlinks = Choice(get_args(Symlinks), load_default="skip")
    names = Choice(get_args(Names), load_default="reject")
    retry = fields.Nested(RetrySchema, load_default=lambda: RetrySchema().load({}))
    deadline = Number(1.0, 366 * _DAY_S, load_default=7 * _DAY_S, metadata={"description": "seconds"})
    expected_by = Text(
        low=1,
        high=200,
        load_default=None,
        allow_none=True,
        metadata={"description": "HH:MM or cron: by then a run must have succeeded"},
    )
    min_age = Number(
        0.0, 366 * _DAY_S, load_default=0.0, metadata={"description": "seconds; younger files wait for the next run"}
    )
    keep_versions = Whole(0, 1000, load_default=0)
    bandwidth_limit = Whole(
        1024, 2**40, load_default=None, allow_none=True, metadata={"description": "bytes per second"}
    )
    priority = Whole(1, 9, load_default=5, metadata={"description": "9 is first"})
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
        pattern = data.get("pattern")
        for name, rules in (
            ("pattern", (pattern,) if pattern else ()),
            ("include", data.get("include", ())),
            ("exclude", data.get("exclude", ())),
        ):
            direction = "exclude" if name == "exclude" else "include"
            try:
                compile_rules(**{"include": (), "exclude": (), direction: tuple(rules)})
            except FluxError as error:
                raise ma.ValidationError({name: [error.message]}) from None

    @ma.validates_schema
    def times_are_known(self, data: Mapping[str, Any], **_: Any) -> None:
        for name, check in (("timezone", cron.zone), ("schedule", cron.parse), ("expected_by", cron.parse_expected)):
            if data.get(name) is not None:
                try:
                    check(data[name])
                except FluxError as error:
                    raise ma.ValidationError({name: [f"{error.message}."]}) from None

    @ma.validates_schema
    def goes_elsewhere(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["source_agent_id"] == data["destination_agent_id"] and _is_same_place(
            data["source_path"], data["destination_path"]
        ):
            raise ma.ValidationError({"destination_path": ["This is the source itself: choose another destination."]})

    @ma.validates_schema
    def removes_nothing_of_its_own(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["delete_extra"] and data["conflict"] == "rename":
            text = "With conflict rename the next run would remove what this one renamed: choose another conflict."
            raise ma.ValidationError({"delete_extra": [text]})

    @ma.post_load
    def to_posted(self, data: dict[str, Any], **_: Any) -> Posted:
        enabled, ad_hoc = data.pop("enabled"), data.pop("ad_hoc")
        retry = data.pop("retry")
        deadline, min_age, watch = data.pop("deadline"), data.pop("min_age"), data.pop("watch")
        for name in ("tags", "include", "exclude", "preserve"):
            data[name] = tuple(dict.fromkeys(data[name]))
        spec = JobSpec(
            **data,
            retry_attempts=retry["attempts"],
            retry_delay_s=retry["delay"],
            retry_factor=retry["factor"],
            deadline_s=deadline,
            min_age_s=min_age,
            watch=None if watch is None else WatchRule(watch["settle"], watch["marker"], watch["poll"]),
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
    next_run = fields.AwareDateTime(allow_none=True, metadata={"description": "when its schedule starts it next"})
    last_run = fields.AwareDateTime(allow_none=True, metadata={"description": "when its last run was made"})
    last_run_id = fields.Integer(allow_none=True)


class JobPage(ma.Schema):
    items = fields.List(fields.Nested(JobOut))
    next_cursor = fields.String(allow_none=True)


class JobVersionOut(ma.Schema):
    """A job as it was from ``changed_at`` on."""

    version = fields.Integer()
    changed_by = fields.String()
    changed_at = fields.AwareDateTime()
    changes = fields.Dict(metadata={"description": "field: [before, after]; none in the first version"})
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
    shown["min_age"] = shown.pop("min_age_s")
    watch = spec.watch
    shown["watch"] = watch and {"settle": watch.settle_s, "marker": watch.marker, "poll": watch.poll_s}
    return shown
