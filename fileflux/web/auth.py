"""Login of people: passwords for a pair of tokens, and new tokens for old ones."""

from __future__ import annotations

import ipaddress
import secrets
from typing import Any, Final

from flask import current_app

from fileflux.errors import AuthError, FluxError
from fileflux.storage import users
from fileflux.web import access, context, schemas
from fileflux.web.context import Principal, Role, deps, principal, services
from fileflux.web.identity import Claims
from fileflux.web.problems import ThrottledError
from fileflux.web.resource import Resource

auth = Resource("auth", "Login of users.")
_DECOY: Final = "fileflux.decoy"


@auth.route("POST", "/api/auth/login", body=schemas.LoginIn, returns=schemas.LoginOut)
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Log in with e-mail and password."""
    email = body["email"].strip().lower()
    throttled_by = [f"account:{email}", f"address:{_network(context.peer())}"]
    wait = services().logins.take(throttled_by, deps().clock.monotonic())
    if wait is not None:
        services().refusals.record(context.peer(), email, "login", "user", "throttled")
        raise ThrottledError(f"too many failed logins; try again in {round(wait) + 1} seconds", wait)
    try:
        user = _user_with_password(email, body["password"])
    except FluxError:
        services().logins.give_back(throttled_by)
        raise
    if user is None:
        services().refusals.record(context.peer(), email, "login", "user", "wrong_credentials")
        raise AuthError("e-mail or password is wrong", code="wrong_credentials")
    services().logins.give_back(throttled_by)
    with deps().database.transaction() as tx:
        context.audited(tx, "login", f"user:{user.id}", actor=user.email, address=context.peer())
    return _tokens(Principal(user.id, user.email, Role(user.role)), user.session_version)


@auth.route("POST", "/api/auth/refresh", body=schemas.RefreshIn, returns=schemas.LoginOut)
def refresh(body: dict[str, Any]) -> dict[str, Any]:
    """Get new tokens for a refresh token, without the password."""
    try:
        claims = services().signer.read(body["refresh_token"], "refresh")
        who = access.authenticate(claims)
    except AuthError as error:
        services().refusals.record(context.peer(), "anonymous", "login.refresh", "user", error.code)
        raise
    return _tokens(who, claims.session_version)


@auth.route("POST", "/api/auth/logout", status=204)
def logout() -> None:
    """End every session of this user: all tokens given out so far stop working."""
    with deps().database.transaction() as tx:
        users.end_sessions(tx, principal().user_id)
        context.audited(tx, "logout", f"user:{principal().user_id}")


@auth.route("GET", "/api/auth/user", returns=schemas.UserOut)
def who_am_i() -> dict[str, Any]:
    """The user that the token belongs to."""
    return _user_fields(principal())


def _user_with_password(email: str, password: str) -> users.UserRow | None:
    # An unknown account costs one argon2 check too, so that the answer's time does not tell which accounts exist.
    decoy = _decoy_hash()
    with deps().database.transaction() as tx:
        user = users.by_email(tx, email)
    known = user is not None and user.disabled_at is None
    right = deps().passwords.check(password, user.password_hash if user is not None and known else decoy)
    return user if known and right else None


def _decoy_hash() -> str:
    # Made at the first login: the workers that hash are not there yet when the app is made. Two at once make two, and one stays.
    decoy: str | None = current_app.extensions.get(_DECOY)
    if decoy is None:
        decoy = deps().passwords.hash(secrets.token_hex())
        current_app.extensions[_DECOY] = decoy
    return decoy


def _tokens(who: Principal, session_version: int) -> dict[str, Any]:
    claims = Claims(who.user_id, session_version)
    token, expires_at = services().signer.issue(claims, "access")
    refresh_token, _ = services().signer.issue(claims, "refresh")
    return {"token": token, "refresh_token": refresh_token, "expires_at": expires_at, "user": _user_fields(who)}


def _user_fields(who: Principal) -> dict[str, Any]:
    return {"id": who.user_id, "email": who.email, "role": who.role.value}


def _network(address: str) -> str:
    """One guesser's addresses: a whole /64 of IPv6 belongs to one customer."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
