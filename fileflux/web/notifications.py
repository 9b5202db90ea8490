"""Who is told of what happens, by webhook or mail, what was delivered to them, and how mails leave."""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

from fileflux.errors import ConfigError, UnavailableError
from fileflux.jobs import webhook_url
from fileflux.storage import deliveries as log_rows
from fileflux.storage import notifications as rows
from fileflux.storage import settings as hub_settings
from fileflux.storage.pool import Transaction
from fileflux.web import context
from fileflux.web import notification_schemas as schemas
from fileflux.web.context import Role, deps, principal
from fileflux.web.deps import Notifications
from fileflux.web.paging import PageQuery, page
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource

notifications = Resource("notifications", "Who is told of what happens, by webhook or mail.")

_ONE: Final = "/api/notifications/<id:target_id>"


@notifications.route("GET", "/api/notifications", query=schemas.NotificationQuery, returns=schemas.NotificationPage)
def list_notifications(query: dict[str, Any]) -> dict[str, Any]:
    """All of them, by id, without their secrets."""
    with deps().database.transaction() as tx:
        found = rows.list_page(tx, query["limit"] + 1, query["cursor"], query["name"])
    return page(found, query["limit"], _fields)


@notifications.route(
    "POST", "/api/notifications", body=schemas.NotificationIn, returns=schemas.NotificationMade, status=201
)
def create_notification(body: dict[str, Any]) -> dict[str, Any]:
    """Have events told. A webhook's secret is in this answer and can never be seen again; deliveries are signed with it."""
    with deps().database.transaction() as tx:
        _check(tx, body)
        row, value = rows.create(tx, body, principal().email)
        context.audited(tx, "notification.created", f"notification:{row.id}", **_audit(body))
    return {"notification": _fields(row), "value": value}


@notifications.route("GET", _ONE, returns=schemas.NotificationOut)
def show_notification(target_id: int) -> dict[str, Any]:
    """One of them, without its secret."""
    with deps().database.transaction() as tx:
        return _fields(rows.get(tx, target_id))


@notifications.route("PATCH", _ONE, body=schemas.NotificationChange, returns=schemas.NotificationOut)
def change_notification(body: dict[str, Any], target_id: int) -> dict[str, Any]:
    """Change it. Enabling it, or changing where it leads, has what waits tried at once."""
    with deps().database.transaction() as tx:
        kind = rows.get(tx, target_id).kind
        for name, of in (("url", "webhook"), ("addresses", "email")):
            if name in body and kind != of:
                raise InvalidFieldsError({name: [f"Only for kind {of}."]})
        if body.get("addresses") == []:
            raise InvalidFieldsError({"addresses": ["Name at least one."]})
        _check(tx, body)
        row = rows.change(tx, target_id, body)
        context.audited(tx, "notification.changed", f"notification:{target_id}", **_audit(body))
    _wake()
    return _fields(row)


@notifications.route("DELETE", _ONE, status=204)
def delete_notification(target_id: int) -> None:
    """Tell it nothing more; what waits for it is dropped."""
    with deps().database.transaction() as tx:
        row = rows.delete(tx, target_id)
        context.audited(tx, "notification.deleted", f"notification:{target_id}", name=row.name)


@notifications.route(
    "POST", f"{_ONE}/rotate", body=schemas.RotateSecretIn, returns=schemas.NotificationMade, status=201
)
def rotate_notification(body: dict[str, Any], target_id: int) -> dict[str, Any]:
    """Make a new secret, which is in this answer only. Until the overlap is over deliveries have both signatures."""
    with deps().database.transaction() as tx:
        row, value = rows.rotate(tx, target_id, body["overlap_hours"] * 3600.0)
        context.audited(tx, "notification.rotated", f"notification:{target_id}", overlap_hours=body["overlap_hours"])
    return {"notification": _fields(row), "value": value}


@notifications.route("POST", f"{_ONE}/test", returns=schemas.DeliveryOut)
def test_notification(target_id: int) -> dict[str, Any]:
    """Send a test event now and answer with how that ended; it is not tried again. Works for a disabled one too."""
    with deps().database.transaction() as tx:
        rows.get(tx, target_id)
        context.audited(tx, "notification.tested", f"notification:{target_id}")
    return _delivery(_sending().test(target_id, principal().email))


@notifications.route("GET", f"{_ONE}/deliveries", query=PageQuery, returns=schemas.DeliveryPage)
def list_deliveries(query: dict[str, Any], target_id: int) -> dict[str, Any]:
    """What was told and what waits, newest first; for 30 days."""
    with deps().database.transaction() as tx:
        rows.get(tx, target_id)
        found = log_rows.list_page(tx, target_id, query["limit"] + 1, query["cursor"])
    return page(found, query["limit"], _delivery)


@notifications.route("POST", f"{_ONE}/deliveries/<id:delivery_id>/redeliver", returns=schemas.DeliveryOut, status=202)
def redeliver(target_id: int, delivery_id: int) -> dict[str, Any]:
    """Deliver an event once more, under the same webhook-id, as a delivery of its own."""
    with deps().database.transaction() as tx:
        row = log_rows.redeliver(tx, target_id, delivery_id)
        context.audited(tx, "notification.redelivered", f"notification:{target_id}", delivery=delivery_id, new=row.id)
    _wake()
    return _delivery(row)


@notifications.route("GET", "/api/settings/mail", returns=schemas.MailOut)
def show_mail_settings() -> dict[str, Any]:
    """How mails leave; the password is never shown."""
    with deps().database.transaction() as tx:
        return _mail_fields(rows.mail(tx))


@notifications.route("PATCH", "/api/settings/mail", body=schemas.MailChange, returns=schemas.MailOut)
def change_mail_settings(body: dict[str, Any]) -> dict[str, Any]:
    """Change how mails leave. Another relay or user needs the password anew: the old one is not for it."""
    with deps().database.transaction() as tx:
        before = rows.mail(tx)
        if "password" not in body and any(
            name in body and body[name] != getattr(before, name) for name in ("host", "user")
        ):
            body["password"] = ""
        changed = rows.change_mail(tx, body)
        _check_mail(changed)
        shown = {name: value for name, value in body.items() if name != "password"}
        context.audited(tx, "settings.mail_changed", "settings", changed=shown, password_changed="password" in body)
    return _mail_fields(changed)


def _check(tx: Transaction, body: dict[str, Any]) -> None:
    """What the schema cannot know."""
    ids = body.get("job_ids") or []
    known = tx.all("SELECT id FROM jobs WHERE id = ANY(%s::bigint[]) AND deleted_at IS NULL", (ids,)) if ids else []
    missing = set(ids) - {row[0] for row in known}
    if missing:
        raise InvalidFieldsError({"job_ids": [f"There is no job {min(missing)}."]})
    if body.get("url") is None:
        return
    url = webhook_url.parse_url(body["url"])
    try:
        ipaddress.ip_address(url.host)
    except ValueError:
        return  # A name: what it leads to is looked at whenever it is connected to.
    allowed = [webhook_url.parse_allowed(text) for text in hub_settings.hub(tx).webhook_allow]
    try:
        webhook_url.check(url, [url.host], allowed)
    except ConfigError as error:
        raise InvalidFieldsError({"url": [f"{error.message[0].upper()}{error.message[1:]}."]}) from None


def _check_mail(mail: rows.MailSettings) -> None:
    wrong: dict[str, list[str]] = {}
    if mail.host and not mail.sender:
        wrong["sender"] = ["Mails need it."]
    if mail.security == "none" and (mail.user or mail.password):
        wrong["security"] = ["A password is not sent in the clear: use starttls or tls."]
    if mail.hub_url and not mail.hub_url.startswith(("http://", "https://")):
        wrong["hub_url"] = ["Begins with https://."]
    if wrong:
        raise InvalidFieldsError(wrong)


def _audit(body: dict[str, Any]) -> dict[str, Any]:
    """A URL may hold what its receiver takes for a password."""
    shown = {name: value for name, value in body.items() if name not in ("url", "name")}
    if body.get("url"):
        shown["url"] = _masked(body["url"])
    if "name" in body:
        shown["called"] = body["name"]
    return shown


def _masked(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def _fields(row: rows.TargetRow) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in schemas.NotificationOut().fields}
    if row.url is not None and principal().role != Role.ADMIN:
        shown["url"] = _masked(row.url)
    return shown


def _delivery(row: log_rows.LogRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in schemas.DeliveryOut().fields}


def _mail_fields(mail: rows.MailSettings) -> dict[str, Any]:
    shown = {name: getattr(mail, name) for name in schemas.MailOut().fields if name != "password_set"}
    return shown | {"password_set": bool(mail.password)}


def _sending() -> Notifications:
    found = deps().notifications
    if found is None:
        raise UnavailableError("this hub sends no notifications just now; try again in a moment")
    return found


def _wake() -> None:
    if deps().notifications is not None:
        _sending().wake()
