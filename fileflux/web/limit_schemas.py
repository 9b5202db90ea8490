"""Bandwidth limits as the routes take and show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields, validate

from fileflux.errors import FluxError
from fileflux.jobs import cron, timetable
from fileflux.protocol.limits import BANDWIDTH_MAX, BANDWIDTH_MIN
from fileflux.web.fields import Choice, Text, Whole

_TIME: Final = {"description": "HH:MM", "pattern": r"^[0-2]\d:[0-5]\d$"}


class TimeOfDay(Text):
    """HH:MM; ``last`` in minutes."""

    def __init__(self, *, last: int, **kwargs: Any) -> None:
        super().__init__(high=5, metadata=_TIME, **kwargs)
        self._last = last

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            timetable.minutes(text, self._last)
        except FluxError as error:
            raise ma.ValidationError(_sentence(error)) from None
        return text


class Zone(Text):
    """The name of a time zone."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            cron.zone(text)
        except FluxError as error:
            raise ma.ValidationError(_sentence(error)) from None
        return text


class TimetableEntry(ma.Schema):
    """A limit that holds on these days, from one time of the zone to another; past midnight where `to` is not later than `from`."""

    days = fields.List(Choice(timetable.DAYS), required=True, validate=validate.Length(1, 7))
    # ``from`` is a word of Python.
    begins = TimeOfDay(last=1439, required=True, data_key="from", attribute="from")
    to = TimeOfDay(last=1440, required=True)
    limit = Whole(0, BANDWIDTH_MAX, required=True, metadata={"description": "bytes per second; 0: nothing moves"})
    timezone = Zone(low=1, high=64, load_default="UTC")

    @ma.validates_schema
    def moves_or_not(self, data: Mapping[str, Any], **_: Any) -> None:
        if 0 < data["limit"] < BANDWIDTH_MIN:
            raise ma.ValidationError({"limit": [f"Must be 0, which lets nothing move, or at least {BANDWIDTH_MIN}."]})


def timetable_field() -> fields.List[Any]:
    return fields.List(
        fields.Nested(TimetableEntry),
        validate=validate.Length(max=timetable.ENTRIES_MAX),
        metadata={"description": "limits by the hour of the week; of several that hold the lowest counts"},
    )


def limit_field() -> Whole:
    return Whole(
        BANDWIDTH_MIN,
        BANDWIDTH_MAX,
        allow_none=True,
        metadata={"description": "bytes per second of all that it sends and receives; null: no limit"},
    )


def _sentence(error: FluxError) -> str:
    return f"{error.message[:1].upper()}{error.message[1:]}."
