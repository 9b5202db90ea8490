"""Targets of notifications: who is told of what, and with which secret.

Signing needs the secret itself, so it stands here as it is (docs/security.md, Backups); it is shown once and no row that is listed has it.
"""

# ruff: noqa: S608  # SQL is put together from names in this module only; every value is a parameter
from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, Literal

from fileflux.errors import ConflictError, NotFoundError
from fileflux.jobs.webhook import SECRET_BYTES, new_secret
from fileflux.storage import settings
from fileflux.storage.pool import Transaction
from fileflux.storage.rows import columns, make, page_size
from fileflux.storage.values import exact_json, exact_text, safe_text

Kind = Literal["webhook", "email"]
Security = Literal["starttls", "tls", "none"]

MAX_TARGETS: Final = 200
"""Every event is compared with each."""
_MAIL: Final = "mail"
_CHANGEABLE: Final = ("name", "url", "addresses", "events", "job_ids", "tags", "enabled")


@dataclass(frozen=True, slots=True)
class TargetRow:
    id: int
    name: str
    kind: Kind
    url: str | None
    addresses: list[str]
    events: list[str]
    job_ids: list[int]
    tags: list[str]
    enabled: bool
    disabled_reason: str
    old_secret_ends: datetime | None
    failures: int
    hold_until: datetime | None
    full_up: bool
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How mails leave; without a host none does. ``hub_url`` is what links in mails begin with."""

    host: str = ""
    port: int = 587
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    hub_url: str = ""


COLUMNS = columns(TargetRow)


def create(tx: Transaction, values: Mapping[str, Any], created_by: str) -> tuple[TargetRow, str | None]:
    """A target of checked ``values`` and, of a webhook, its secret, which is not shown again.

    Raises ConflictError when the name is taken or there are MAX_TARGETS.
    """
    # Those who make one at the same moment wait here for each other.
    tx.execute("LOCK TABLE notification_targets IN SHARE ROW EXCLUSIVE MODE")
    count = tx.one("SELECT count(*) FROM notification_targets WHERE deleted_at IS NULL")
    if count is not None and count[0] >= MAX_TARGETS:
        raise ConflictError(f"there are {MAX_TARGETS} notifications already; delete some first", code="too_many")
    secret = _fresh() if values["kind"] == "webhook" else None
    row = tx.one(
        "INSERT INTO notification_targets (name, kind, url, addresses, events, job_ids, tags, enabled, secret, created_by)"
        " VALUES (%s, %s, %s, %s, %s, %s::bigint[], %s, %s, %s, %s)"
        f" ON CONFLICT (name) WHERE deleted_at IS NULL DO NOTHING RETURNING {COLUMNS}",
        (
            exact_text(values["name"], "the name"),
            values["kind"],
            values["url"],
            values["addresses"],
            values["events"],
            values["job_ids"],
            values["tags"],
            values["enabled"],
            secret,
            exact_text(created_by, "the user"),
        ),
    )
    if row is None:
        raise ConflictError(f"a notification named {values['name']} exists already")
    return TargetRow(*row), secret


def get(tx: Transaction, target_id: int) -> TargetRow:
    """Raises NotFoundError for one that does not exist or was deleted."""
    return _found(target_id, tx.one(f"SELECT {COLUMNS} FROM notification_targets WHERE {_THIS}", (target_id,)))


def list_page(tx: Transaction, limit: int, cursor: int | None = None, name: str | None = None) -> list[TargetRow]:
    """By id, those behind ``cursor``."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM notification_targets WHERE deleted_at IS NULL AND id > %(cursor)s"
        " AND (%(name)s::text IS NULL OR name = %(name)s) ORDER BY id LIMIT %(limit)s",
        {"cursor": cursor or 0, "name": name, "limit": page_size(limit)},
    )
    return [TargetRow(*row) for row in rows]


def change(tx: Transaction, target_id: int, changes: Mapping[str, Any]) -> TargetRow:
    """Set checked values. Who changes where it leads, or enables it, wants it tried at once.

    Raises NotFoundError, and ConflictError when the name is taken.
    """
    given = {name: changes[name] for name in _CHANGEABLE if name in changes}
    get(tx, target_id)
    if "name" in given:
        taken = tx.one(
            "SELECT 1 FROM notification_targets WHERE name = %s AND id <> %s AND deleted_at IS NULL",
            (given["name"], target_id),
        )
        if taken is not None:
            raise ConflictError(f"a notification named {given['name']} exists already")
    assignments = [f"{name} = %({name})s{'::bigint[]' if name == 'job_ids' else ''}" for name in given]
    if given.get("enabled") or "url" in given or "addresses" in given:
        assignments += ["failures = 0", "hold_until = NULL"]
    if given.get("enabled"):
        assignments.append("disabled_reason = ''")
    row = tx.one(
        f"UPDATE notification_targets SET {', '.join([*assignments, 'updated_at = now()'])}"
        f" WHERE id = %(id)s AND deleted_at IS NULL RETURNING {COLUMNS}",
        {**given, "id": target_id},
    )
    return _found(target_id, row)


def delete(tx: Transaction, target_id: int) -> TargetRow:
    """Gone from every list, and nothing more is sent; its log is removed a little at a time. Raises NotFoundError."""
    row = tx.one(
        "UPDATE notification_targets SET deleted_at = now(), enabled = false, secret = NULL, old_secret = NULL"
        f" WHERE {_THIS} RETURNING {COLUMNS}",
        (target_id,),
    )
    return _found(target_id, row)


def rotate(tx: Transaction, target_id: int, overlap_s: float) -> tuple[TargetRow, str]:
    """A new secret; the one before it signs as well for ``overlap_s``, so that receivers can be changed one by one.

    Raises NotFoundError, and ConflictError for a target that has none.
    """
    if get(tx, target_id).kind != "webhook":
        raise ConflictError("mails are not signed: there is no secret to rotate", code="no_secret")
    secret = _fresh()
    row = tx.one(
        "UPDATE notification_targets SET old_secret = secret, secret = %s, updated_at = now(),"
        f" old_secret_ends = now() + make_interval(secs => %s) WHERE {_THIS} RETURNING {COLUMNS}",
        (secret, overlap_s, target_id),
    )
    return _found(target_id, row), secret


def disable(tx: Transaction, target_id: int, reason: str) -> None:
    """The hub itself disables it."""
    tx.execute(
        "UPDATE notification_targets SET enabled = false, disabled_reason = %s, updated_at = now() WHERE id = %s",
        (safe_text(reason), target_id),
    )


def mail(tx: Transaction) -> MailSettings:
    """What is set, defaults for the rest."""
    stored = settings.get(tx, _MAIL) or {}
    known = {one.name for one in fields(MailSettings)}
    return MailSettings(**{name: value for name, value in stored.items() if name in known})


def change_mail(tx: Transaction, changes: Mapping[str, Any]) -> MailSettings:
    """Set some of them, whose values are checked already."""
    tx.execute("INSERT INTO settings (key, value) VALUES (%s, '{}') ON CONFLICT (key) DO NOTHING", (_MAIL,))
    tx.one("SELECT 1 FROM settings WHERE key = %s FOR UPDATE", (_MAIL,))
    changed = replace(mail(tx), **changes)
    tx.execute("UPDATE settings SET value = %s WHERE key = %s", (exact_json(asdict(changed), "a setting"), _MAIL))
    return changed


_THIS: Final = "id = %s AND deleted_at IS NULL"


def _fresh() -> str:
    return new_secret(secrets.token_bytes(SECRET_BYTES))


def _found(target_id: int, values: tuple[Any, ...] | None) -> TargetRow:
    row = make(TargetRow, values)
    if row is None:
        raise NotFoundError(f"there is no notification {target_id}")
    return row
