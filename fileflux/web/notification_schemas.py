"""What the routes of notifications and of the mail settings take and show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import marshmallow as ma
from marshmallow import fields

from fileflux.errors import ConfigError
from fileflux.jobs.notice_text import is_address
from fileflux.jobs.webhook import PATTERNS
from fileflux.jobs.webhook_url import URL_MAX, parse_url
from fileflux.storage.notifications import Kind, Security
from fileflux.web.fields import Choice, Flag, Name, Text, Texts, Whole
from fileflux.web.paging import PageQuery, TextFilter
from fileflux.web.resource import MAX_ID

NAME_MAX: Final = 100
ADDRESSES_MAX: Final = 20
_JOBS_MAX: Final = 1000
_TAGS_MAX: Final = 32
_OVERLAP_MAX_H: Final = 168


class Url(Text):
    """Where a webhook leads. Whether its name leads inside is seen when it is connected to, each time."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=1, high=URL_MAX, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            parse_url(text)
        except ConfigError as error:
            raise ma.ValidationError(f"{error.message[0].upper()}{error.message[1:]}.") from None
        return text


class MailAddress(Text):
    """One address, as in ops@example.org."""

    def __init__(self, *, low: int = 3, **kwargs: Any) -> None:
        super().__init__(low=low, high=254, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text and not is_address(text):
            raise ma.ValidationError("Not an e-mail address, as in ops@example.org.")
        return text


class _Wanted(ma.Schema):
    @ma.validates("events")
    def _not_empty(self, value: list[str], **_: Any) -> None:
        if not value:
            raise ma.ValidationError("Name at least one, or * for all.")

    @ma.validates("addresses")
    def _some(self, value: list[str] | None, **_: Any) -> None:
        if value is not None and len(set(value)) != len(value):
            raise ma.ValidationError("An address is there twice.")


class NotificationIn(_Wanted):
    name = Name(high=NAME_MAX, required=True)
    kind = Choice(get_args(Kind), required=True)
    url = Url(load_default=None, allow_none=True, metadata={"description": "of a webhook"})
    addresses = Texts(MailAddress(), ADDRESSES_MAX, load_default=list, metadata={"description": "of mails"})
    events = Texts(
        Choice(PATTERNS), len(PATTERNS), required=True, metadata={"description": "what is told: run.failed, run.* or *"}
    )
    job_ids = Texts(
        Whole(1, MAX_ID), _JOBS_MAX, load_default=list, metadata={"description": "only of these jobs; empty: of all"}
    )
    tags = Texts(
        Text(low=1, high=64),
        _TAGS_MAX,
        load_default=list,
        metadata={"description": "only of jobs, and of agents, that have one of these tags; empty: of all"},
    )
    enabled = Flag(load_default=True)

    @ma.validates_schema
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        wrong: dict[str, list[str]] = {}
        if data["kind"] == "webhook":
            if data["url"] is None:
                wrong["url"] = ["A webhook needs it."]
            if data["addresses"]:
                wrong["addresses"] = ["Only for kind email."]
        else:
            if not data["addresses"]:
                wrong["addresses"] = ["Name at least one."]
            if data["url"] is not None:
                wrong["url"] = ["Only for kind webhook."]
        if wrong:
            raise ma.ValidationError(wrong)


class NotificationChange(_Wanted):
    """What is left out stays as it is."""

    name = Name(high=NAME_MAX)
    url = Url()
    addresses = Texts(MailAddress(), ADDRESSES_MAX)
    events = Texts(Choice(PATTERNS), len(PATTERNS))
    job_ids = Texts(Whole(1, MAX_ID), _JOBS_MAX)
    tags = Texts(Text(low=1, high=64), _TAGS_MAX)
    enabled = Flag()


class NotificationQuery(PageQuery):
    name = TextFilter(NAME_MAX)


class NotificationOut(ma.Schema):
    id = fields.Integer()
    name = fields.String()
    kind = fields.String(metadata={"enum": list(get_args(Kind))})
    url = fields.String(
        allow_none=True, metadata={"description": "path and query may be secret: only administrators see them"}
    )
    addresses = fields.List(fields.String())
    events = fields.List(fields.String())
    job_ids = fields.List(fields.Integer())
    tags = fields.List(fields.String())
    enabled = fields.Boolean()
    disabled_reason = fields.String(metadata={"description": "why the hub disabled it"})
    old_secret_ends = fields.AwareDateTime(
        allow_none=True, metadata={"description": "until then the secret before the present one signs too"}
    )
    failures = fields.Integer(metadata={"description": "attempts in a row that failed"})
    hold_until = fields.AwareDateTime(allow_none=True, metadata={"description": "nothing is tried before"})
    full_up = fields.Boolean(metadata={"description": "too much waits: until it is less, nothing is added"})
    created_by = fields.String()
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()


class NotificationMade(ma.Schema):
    notification = fields.Nested(NotificationOut)
    value = fields.String(allow_none=True, metadata={"description": "a webhook's secret (whsec_…), shown this once"})


class NotificationPage(ma.Schema):
    items = fields.List(fields.Nested(NotificationOut))
    next_cursor = fields.String(allow_none=True)


class RotateSecretIn(ma.Schema):
    overlap_hours = Whole(
        0, _OVERLAP_MAX_H, load_default=24, metadata={"description": "how long the present secret signs too"}
    )


class DeliveryOut(ma.Schema):
    """One event on its way to one target, or the log of that."""

    id = fields.Integer()
    event_id = fields.String(metadata={"description": "webhook-id, the same at every attempt"})
    type = fields.String()
    at = fields.AwareDateTime(metadata={"description": "when it happened"})
    data = fields.Dict()
    status = fields.String(metadata={"enum": ["pending", "delivered", "failed"]})
    attempts = fields.Integer()
    next_attempt_at = fields.AwareDateTime(allow_none=True)
    last_attempt_at = fields.AwareDateTime(allow_none=True)
    http_status = fields.Integer(allow_none=True)
    answer = fields.String(metadata={"description": "how the last answer began; control characters as escapes"})
    error = fields.String(metadata={"description": "why the last attempt failed"})
    created_at = fields.AwareDateTime()
    ended_at = fields.AwareDateTime(allow_none=True)


class DeliveryPage(ma.Schema):
    items = fields.List(fields.Nested(DeliveryOut))
    next_cursor = fields.String(allow_none=True)


class MailChange(ma.Schema):
    """What is left out stays as it is."""

    host = Text(high=253, metadata={"description": "of the relay; empty: no mails"})
    port = Whole(1, 65_535)
    security = Choice(get_args(Security), metadata={"description": "none: only without user and password"})
    user = Text(high=254)
    password = Text(high=1024, metadata={"description": "never shown"})
    sender = MailAddress(low=0)
    hub_url = Text(
        high=URL_MAX, metadata={"description": "what links in mails begin with, as in https://hub.example.com"}
    )


class MailOut(ma.Schema):
    host = fields.String()
    port = fields.Integer()
    security = fields.String(metadata={"enum": list(get_args(Security))})
    user = fields.String()
    password_set = fields.Boolean()
    sender = fields.String()
    hub_url = fields.String()
