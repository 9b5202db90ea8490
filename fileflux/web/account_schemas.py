"""What the routes of logins, users, keys, settings and the audit log take and show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields, validate

from fileflux.audit import log as audit
from fileflux.errors import ConfigError
from fileflux.jobs.webhook_url import ALLOW_MAX, parse_allowed
from fileflux.storage import users
from fileflux.web.access import SCOPES, SHORTCUTS
from fileflux.web.context import Role
from fileflux.web.fields import Choice, Flag, Text, Texts, Whole
from fileflux.web.limit_schemas import timetable_field
from fileflux.web.paging import (
    FlagFilter,
    IdFilter,
    ListQuery,
    PageQuery,
    SearchFilter,
    Several,
    SortBy,
    TextFilter,
    TimeFilter,
)
from fileflux.web.password_rules import MAX_BYTES

MAX_DAYS: Final = 3650
"""Of a key or token: ten years is nobody's plan."""
DEFAULT_KEY_DAYS: Final = 90
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_ROLES: Final = tuple(Role)


class Email(Text):
    """An address of a user: something, an @, something. Loads in lower case, as it is compared."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=3, high=254, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs).strip().lower()
        if _EMAIL.fullmatch(text) is None or len(text) > 254:
            raise ma.ValidationError("Not an e-mail address.")
        return text


class WebhookAllowed(Text):
    """An entry of ``webhook_allow`` (``jobs/webhook_url.py``)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=1, high=300, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs).strip()
        try:
            parse_allowed(text)
        except ConfigError as error:
            raise ma.ValidationError(f"{error.message}.") from None
        return text


class Password(Text):
    """Any text without NUL; whether it is good enough is said by ``password_rules``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=1, high=MAX_BYTES, raw=True, **kwargs)


class _Cookie(ma.Schema):
    cookie = Flag(
        load_default=False,
        metadata={"description": "put the refresh token into a cookie that scripts cannot read; for pages of this hub"},
    )


class LoginIn(_Cookie):
    email = Text(low=1, high=254, required=True)
    password = Password(required=True)


class RefreshIn(ma.Schema):
    refresh_token = Text(
        low=1, high=256, load_default=None, allow_none=True, metadata={"description": "without it the cookie counts"}
    )


class PasswordIn(_Cookie):
    current_password = Password(required=True)
    password = Password(required=True, metadata={"description": "8 to 1024 bytes"})


class LogoutQuery(ma.Schema):
    everywhere = FlagFilter(load_default=False, metadata={"description": "end every session of this user"})


class Me(ma.Schema):
    id = fields.Integer()
    email = fields.String()
    name = fields.String()
    role = fields.String(metadata={"enum": list(_ROLES)})


class WhoAmI(Me):
    via = fields.String(metadata={"enum": ["session", "key"]})
    scopes = fields.List(
        fields.String(), allow_none=True, metadata={"description": "of the API key; null with a login"}
    )


class LoginOut(ma.Schema):
    token = fields.String(metadata={"description": "for Authorization: Bearer"})
    refresh_token = fields.String(
        allow_none=True, metadata={"description": "good once, for the next token; null when it is in the cookie"}
    )
    expires_at = fields.AwareDateTime(metadata={"description": "of token"})
    user = fields.Nested(Me)


class UserQuery(ListQuery):
    sort = SortBy(users.LIST)
    role = Several(_ROLES)
    email = SearchFilter(254, metadata={"description": "part of it"})


class UserIn(ma.Schema):
    email = Email(required=True)
    password = Password(required=True, metadata={"description": "8 to 1024 bytes"})
    role = Choice(_ROLES, required=True)
    name = Text(high=200, load_default="")


class UserChange(ma.Schema):
    """What is left out stays as it is."""

    email = Email()
    name = Text(high=200)
    role = Choice(_ROLES)
    disabled = Flag()
    password = Password(metadata={"description": "8 to 1024 bytes"})


class UserOut(Me):
    disabled = fields.Boolean()
    created_at = fields.AwareDateTime()
    last_login_at = fields.AwareDateTime(allow_none=True)


class UserPage(ma.Schema):
    items = fields.List(fields.Nested(UserOut))
    next_cursor = fields.String(allow_none=True)


class KeyQuery(PageQuery):
    user_id = IdFilter(metadata={"description": "keys of this user, for administrators; your own unless given"})


class KeyIn(ma.Schema):
    name = Text(low=1, high=100, required=True)
    scopes = Texts(
        Choice((*SHORTCUTS, *SCOPES)),
        len(SHORTCUTS) + len(SCOPES),
        required=True,
        metadata={"description": "what the key is for; never more than its user's role"},
    )
    expires_in_days = Whole(
        1, MAX_DAYS, load_default=None, allow_none=True, metadata={"description": f"{DEFAULT_KEY_DAYS} unless given"}
    )

    @ma.validates("scopes")
    def _not_empty(self, value: list[str], **_: Any) -> None:
        if not value:
            raise ma.ValidationError("Name at least one.")


class KeyOut(ma.Schema):
    """An API key without its value."""

    id = fields.Integer()
    user_id = fields.Integer()
    name = fields.String()
    prefix = fields.String(metadata={"description": "how the value begins, to tell keys apart"})
    scopes = fields.List(fields.String())
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    last_used_at = fields.AwareDateTime(allow_none=True)
    revoked_at = fields.AwareDateTime(allow_none=True)


class KeyMade(ma.Schema):
    key = fields.Nested(KeyOut)
    value = fields.String(allow_none=True, metadata={"description": "shown this once; only its hash is kept"})


class KeyPage(ma.Schema):
    items = fields.List(fields.Nested(KeyOut))
    next_cursor = fields.String(allow_none=True)


class SettingsChange(ma.Schema):
    """What is left out stays as it is."""

    site_name = Text(low=1, high=100)
    default_token_days = Whole(1, MAX_DAYS, allow_none=True)
    max_key_days = Whole(1, MAX_DAYS)
    history_days = Whole(0, MAX_DAYS)
    history_failed_days = Whole(0, MAX_DAYS)
    bandwidth_timetable = timetable_field()
    webhook_allow = Texts(
        WebhookAllowed(),
        ALLOW_MAX,
        metadata={
            "description": "inside targets that webhooks may have: 10.0.0.0/8, hooks.internal, each also with :PORT or :*"
        },
    )


class SettingsOut(ma.Schema):
    site_name = fields.String()
    default_token_days = fields.Integer(
        allow_none=True, metadata={"description": "life of an agent's token unless told; null: for ever"}
    )
    max_key_days = fields.Integer(metadata={"description": "the longest life of an API key"})
    history_days = fields.Integer(metadata={"description": "ended runs and their files are kept so long; 0: for ever"})
    history_failed_days = fields.Integer(
        metadata={"description": "those that failed in part or as a whole; 0: for ever"}
    )
    webhook_allow = fields.List(fields.String(), metadata={"description": "inside targets that webhooks may have"})
    bandwidth_timetable = timetable_field()
    version = fields.String()
    database = fields.String(metadata={"enum": ["embedded", "external"]})
    tls = fields.Boolean(metadata={"description": "whether this request came over TLS"})


class AuditQuery(ListQuery):
    sort = SortBy(audit.LIST)
    actor = TextFilter(512)
    action = TextFilter(100)
    object = TextFilter(512)
    outcome = fields.String(load_default=None, validate=validate.OneOf(audit.OUTCOMES))
    since = TimeFilter()
    until = TimeFilter(metadata={"description": "before this time"})


class AuditOut(ma.Schema):
    id = fields.Integer()
    at = fields.AwareDateTime()
    actor = fields.String()
    action = fields.String()
    object = fields.String()
    outcome = fields.String(metadata={"enum": list(audit.OUTCOMES)})
    detail = fields.Dict()


class AuditPage(ma.Schema):
    items = fields.List(fields.Nested(AuditOut))
    next_cursor = fields.String(allow_none=True)
