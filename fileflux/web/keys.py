"""API keys: what a user's scripts prove themselves with. The value is shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fileflux.errors import ForbiddenError, NotFoundError
from fileflux.storage import keys as rows
from fileflux.storage import settings
from fileflux.web import account_schemas as schemas
from fileflux.web import context
from fileflux.web.context import Role, deps, principal
from fileflux.web.paging import page
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource

keys = Resource("keys", "What scripts prove themselves with.")


@keys.route("GET", "/api/keys", query=schemas.KeyQuery, returns=schemas.KeyPage)
def list_keys(query: dict[str, Any]) -> dict[str, Any]:
    """Your own keys, without their values; an administrator can ask for another user's."""
    who = principal()
    user_id = query["user_id"] or who.user_id
    if user_id != who.user_id and who.role != Role.ADMIN:
        raise ForbiddenError("only an administrator may see the keys of another user")
    with deps().database.transaction() as tx:
        found = rows.list_page(tx, query["limit"] + 1, query["cursor"], user_id)
    return page(found, query["limit"], _fields)


@keys.route("POST", "/api/keys", body=schemas.KeyIn, returns=schemas.KeyMade, status=201)
def create_key(body: dict[str, Any]) -> dict[str, Any]:
    """Make a key for yourself. Its value is in this answer and can never be seen again.

    It may do what its scopes say as far as your role may, now and later; nothing with keys, passwords or sessions.
    """
    now, who = deps().clock.utc_now(), principal()
    scopes = list(dict.fromkeys(body["scopes"]))
    with deps().database.transaction() as tx:
        most = settings.hub(tx).max_key_days
        days = body["expires_in_days"] or min(schemas.DEFAULT_KEY_DAYS, most)
        if days > most:
            raise InvalidFieldsError({"expires_in_days": [f"Must be at most {most}, as set for this hub."]})
        row, value = rows.create(tx, who.user_id, body["name"], scopes, now, now + timedelta(days=days))
        context.audited(tx, "key.created", f"key:{row.id}", prefix=row.prefix, scopes=scopes, days=days)
    return {"key": _fields(row), "value": value}


@keys.route("DELETE", "/api/keys/<id:key_id>", status=204)
def revoke_key(key_id: int) -> None:
    """Make a key worthless; again is fine. Your own, or as an administrator anybody's."""
    who = principal()
    with deps().database.transaction() as tx:
        row = rows.get(tx, key_id)
        if row is None or (row.user_id != who.user_id and who.role != Role.ADMIN):
            raise NotFoundError(f"there is no key {key_id}")
        rows.revoke(tx, key_id, deps().clock.utc_now())
        context.audited(tx, "key.revoked", f"key:{key_id}", user=row.user_id)


def _fields(row: rows.KeyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in schemas.KeyOut().fields}
