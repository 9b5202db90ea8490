"""Users of the hub, for its administrators."""

from __future__ import annotations

from typing import Any, Final

from fileflux.errors import ConflictError, NotFoundError
from fileflux.storage import sessions
from fileflux.storage import users as rows
from fileflux.storage.pages import Ask
from fileflux.storage.pool import Transaction
from fileflux.web import account_schemas as schemas
from fileflux.web import context, password_rules
from fileflux.web.context import Role, deps
from fileflux.web.paging import listed
from fileflux.web.problems import InvalidFieldsError
from fileflux.web.resource import Resource

users = Resource("users", "Who may use the hub.")
_ENDS_SESSIONS: Final = frozenset({"role", "disabled_at", "password_hash"})


@users.route("GET", "/api/users", query=schemas.UserQuery, returns=schemas.UserPage)
def list_users(query: Ask) -> dict[str, Any]:
    """All users, disabled ones too."""
    with deps().database.transaction() as tx:
        found = rows.LIST.page(tx, query)
    return listed(query, found, _fields)


@users.route("POST", "/api/users", body=schemas.UserIn, returns=schemas.UserOut, status=201)
def create_user(body: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Add a user. Give them the password by another way; they change it with `POST /api/auth/password`."""
    _check_password(body["password"], body["email"])
    digest = deps().passwords.hash(body["password"])
    with deps().database.transaction() as tx:
        row = rows.create(tx, body["email"], digest, body["role"], body["name"])
        context.audited(tx, "user.created", f"user:{row.id}", email=row.email, role=row.role)
    return _fields(row), 201, {"Location": f"/api/users/{row.id}"}


@users.route("GET", "/api/users/<id:user_id>", returns=schemas.UserOut)
def show_user(user_id: int) -> dict[str, Any]:
    """One user."""
    return _fields(_get(user_id))


@users.route("PATCH", "/api/users/<id:user_id>", body=schemas.UserChange, returns=schemas.UserOut)
def change_user(body: dict[str, Any], user_id: int) -> dict[str, Any]:
    """Change a user. Another role, another password and `disabled` end all sessions of the user.

    API keys of a disabled user are worthless until the user is enabled again; with another role they can do what that role can.
    """
    user = _get(user_id)
    digest = None
    if "password" in body:
        _check_password(body["password"], body.get("email", user.email))
        digest = deps().passwords.hash(body["password"])
    with deps().database.transaction() as tx:
        if body.get("role", Role.ADMIN) != Role.ADMIN or body.get("disabled"):
            _keep_an_admin(tx, user_id)
        user = rows.locked(tx, user_id)
        changes = _changes(user, body)
        if digest is not None:
            changes["password_hash"] = digest
        row = rows.update(tx, user_id, changes)
        ended = sessions.end_all(tx, user_id) if changes.keys() & _ENDS_SESSIONS else 0
        context.audited(
            tx,
            "user.changed",
            f"user:{user_id}",
            fields=sorted(body.keys()),
            before=_told(user, changes),
            after=_told(row, changes),
            sessions_ended=ended,
        )
    return _fields(row)


@users.route("DELETE", "/api/users/<id:user_id>", status=204)
def delete_user(user_id: int) -> None:
    """Remove a user with all sessions and API keys. What the user did stays in the audit log."""
    with deps().database.transaction() as tx:
        _keep_an_admin(tx, user_id)
        user = rows.locked(tx, user_id)
        rows.delete(tx, user_id)
        context.audited(tx, "user.deleted", f"user:{user_id}", email=user.email, role=user.role)


def _get(user_id: int) -> rows.UserRow:
    with deps().database.transaction() as tx:
        user = rows.get(tx, user_id)
    if user is None:
        raise NotFoundError(f"there is no user {user_id}")
    return user


def _keep_an_admin(tx: Transaction, user_id: int) -> None:
    """Raises ConflictError when nobody could administer the hub without this user. Holds until the end of the transaction."""
    if rows.lock_admins(tx) == {user_id}:
        raise ConflictError("this is the last administrator who can log in; make another one first", code="last_admin")


def _check_password(password: str, email: str) -> None:
    fault = password_rules.fault_of(password, email)
    if fault is not None:
        raise InvalidFieldsError({"password": [fault]})


def _changes(user: rows.UserRow, body: dict[str, Any]) -> dict[str, Any]:
    """Columns that get another value; the password aside."""
    changes: dict[str, Any] = {
        name: body[name] for name in ("email", "name", "role") if name in body and body[name] != getattr(user, name)
    }
    if "disabled" in body and body["disabled"] != (user.disabled_at is not None):
        changes["disabled_at"] = deps().clock.utc_now() if body["disabled"] else None
    return changes


def _told(user: rows.UserRow, changes: dict[str, Any]) -> dict[str, Any]:
    """What the audit log says of the columns that changed."""
    told = {name: getattr(user, name) for name in changes if name not in ("password_hash", "disabled_at")}
    return told | ({"disabled": user.disabled_at is not None} if "disabled_at" in changes else {})


def _fields(user: rows.UserRow) -> dict[str, Any]:
    shown = ("id", "email", "name", "role", "created_at", "last_login_at")
    return {name: getattr(user, name) for name in shown} | {"disabled": user.disabled_at is not None}
