"""Login of people: passwords for a session, its tokens for newer ones, and its end."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from typing import Any, Final

import structlog
from flask import current_app, request

from fileflux.audit import log as audit
from fileflux.bus.events import AlertRaised
from fileflux.errors import AuthError, FluxError
from fileflux.storage import alerts, sessions, users
from fileflux.storage.pool import Transaction
from fileflux.web import account_schemas as schemas
from fileflux.web import context, password_rules, refresh_cookie
from fileflux.web.context import deps, principal, services
from fileflux.web.identity import Claims
from fileflux.web.problems import InvalidFieldsError, ThrottledError
from fileflux.web.resource import Resource

auth = Resource("auth", "Login of users.")
_DECOY: Final = "fileflux.decoy"
log = structlog.get_logger(__name__)


@auth.route("POST", "/api/auth/login", body=schemas.LoginIn, returns=schemas.LoginOut)
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Log in with e-mail and password."""
    if body["cookie"]:
        refresh_cookie.check_origin()
    email = body["email"].strip().lower()
    attempt = _admit(email, "login")
    try:
        user = _user_with_password(email, body["password"])
    except FluxError:
        services().logins.give_back(attempt)
        raise
    session = None if user is None else _begin_session(user)
    if session is None:
        services().refusals.record(context.peer(), email, "login", "user", "wrong_credentials")
        raise AuthError("e-mail or password is wrong", code="wrong_credentials")
    services().logins.give_back(attempt)
    return _answer(session, cookie=body["cookie"])


@auth.route("POST", "/api/auth/refresh", body=schemas.RefreshIn, returns=schemas.LoginOut)
def refresh(body: dict[str, Any]) -> dict[str, Any]:
    """Get new tokens for a refresh token, without the password. Each is good once; one that comes again ends its session."""
    given = body["refresh_token"]
    by_cookie = given is None
    if by_cookie:
        refresh_cookie.check_origin()
        given = refresh_cookie.value()
        if not given:
            raise AuthError("there is no refresh token; log in")
    with deps().database.transaction() as tx:
        outcome = sessions.refresh(tx, given, deps().clock.utc_now())
        alert = _report_reuse(tx, outcome) if isinstance(outcome, sessions.Reused) else None
    if isinstance(outcome, sessions.Session):
        return _answer(outcome, cookie=by_cookie)
    if by_cookie:
        refresh_cookie.clear()
    if alert is not None:
        deps().bus.publish(AlertRaised(alert.id, alert.kind, alert.message))
        raise AuthError(
            "this refresh token was used before, so somebody else may have it; its session has ended: log in again",
            code="refresh_reused",
        )
    services().refusals.record(context.peer(), "anonymous", "login.refresh", "user", AuthError.code)
    raise AuthError("this refresh token is not valid any more; log in again")


@auth.route("POST", "/api/auth/logout", query=schemas.LogoutQuery, status=204)
def logout(query: dict[str, Any]) -> None:
    """End this session, or with `everywhere` all of this user: their tokens stop working at once. API keys go on."""
    who = principal()
    refresh_cookie.clear()
    with deps().database.transaction() as tx:
        if query["everywhere"]:
            sessions.end_all(tx, who.user_id)
        elif who.session_id is not None:
            sessions.end(tx, who.session_id)
        context.audited(tx, "logout", f"user:{who.user_id}", everywhere=query["everywhere"])


@auth.route("GET", "/api/auth/user", returns=schemas.WhoAmI)
def who_am_i() -> dict[str, Any]:
    """The user that the token belongs to, and what the token is."""
    who = principal()
    scopes = None if who.scopes is None else list(who.scopes)
    return {"id": who.user_id, "email": who.email, "name": who.name, "role": who.role.value} | {
        "via": who.via,
        "scopes": scopes,
    }


@auth.route("POST", "/api/auth/password", body=schemas.PasswordIn, returns=schemas.LoginOut)
def change_password(body: dict[str, Any]) -> dict[str, Any]:
    """Change your own password. Every session of this user ends, and the answer begins a new one. API keys go on."""
    if body["cookie"]:
        refresh_cookie.check_origin()
    who = principal()
    fault = password_rules.fault_of(body["password"], who.email)
    if fault is not None:
        raise InvalidFieldsError({"password": [fault]})
    attempt = _admit(who.email.lower(), "password.changed")
    with deps().database.transaction() as tx:
        user = users.get(tx, who.user_id)
    try:
        right = user is not None and deps().passwords.check(body["current_password"], user.password_hash)
        digest = deps().passwords.hash(body["password"]) if right else ""
    except FluxError:
        services().logins.give_back(attempt)
        raise
    if user is None or not right:
        services().refusals.record(
            context.peer(), who.email, "password.changed", f"user:{who.user_id}", "wrong_credentials"
        )
        raise InvalidFieldsError({"current_password": ["It is not the present password."]})
    services().logins.give_back(attempt)
    with deps().database.transaction() as tx:
        # What was checked a moment ago must still be the password when it is replaced.
        if users.locked(tx, user.id).session_version != user.session_version:
            raise AuthError("this session has ended; log in again")
        users.update(tx, user.id, {"password_hash": digest})
        sessions.end_all(tx, user.id)
        session = _new_session(tx, users.locked(tx, user.id))
        if session is None:
            raise AuthError("this session has ended; log in again")
        context.audited(tx, "password.changed", f"user:{user.id}", address=context.peer())
    return _answer(session, cookie=body["cookie"])


def _admit(email: str, action: str) -> Sequence[str]:
    """Count an attempt to prove a password; give it back when the outcome is good. Raises ThrottledError.

    Each account has so many failures within the window, wherever they come from, so that many addresses do not help to guess one. An
    address where the account has a session has a count of its own: strangers who keep an account throttled do not lock its owner out.
    """
    now, where = deps().clock.monotonic(), network(context.peer())
    account, address = f"account:{email}", f"address:{where}"
    logins = services().logins
    wait = logins.take([account, address], now)
    if wait is None:
        return [account, address]
    if not logins.blocked(address, now):
        with deps().database.transaction() as tx:
            known = sessions.knows_address(tx, email, where, deps().clock.utc_now())
        own = [f"{account} at {where}", address]
        if known and (wait := logins.take(own, now)) is None:
            return own
    services().refusals.record(context.peer(), email, action, "user", "throttled")
    wait = wait or 0.0
    raise ThrottledError(f"too many failed logins; try again in {round(wait) + 1} seconds", wait)


def _user_with_password(email: str, password: str) -> users.UserRow | None:
    # An unknown account costs one argon2 check too, so that the answer's time does not tell which accounts exist.
    decoy = _decoy_hash()
    with deps().database.transaction() as tx:
        user = users.by_email(tx, email)
    known = user is not None and user.disabled_at is None
    right = deps().passwords.check(password, user.password_hash if user is not None and known else decoy)
    if user is None or not known or not right:
        return None
    _rehash(user, password)
    return user


def _rehash(user: users.UserRow, password: str) -> None:
    """Bring the stored hash up to today's parameters: the password is known at no other time."""
    if not deps().passwords.outdated(user.password_hash):
        return
    try:
        digest = deps().passwords.hash(password)
        with deps().database.transaction() as tx:
            users.rehash(tx, user, digest)
    except FluxError as error:
        log.warning("a password could not be hashed anew; the next login tries again", reason=str(error))


def _decoy_hash() -> str:
    # Made at the first login: the workers that hash are not there yet when the app is made. Two at once make two, and one stays.
    decoy: str | None = current_app.extensions.get(_DECOY)
    if decoy is None:
        decoy = deps().passwords.hash(secrets.token_hex())
        current_app.extensions[_DECOY] = decoy
    return decoy


def _begin_session(user: users.UserRow) -> sessions.Session | None:
    with deps().database.transaction() as tx:
        session = _new_session(tx, user)
        if session is not None:
            context.audited(tx, "login", f"user:{user.id}", actor=user.email, address=context.peer())
    return session


def _new_session(tx: Transaction, user: users.UserRow) -> sessions.Session | None:
    client = request.headers.get("User-Agent", "")
    return sessions.create(tx, user, deps().clock.utc_now(), network(context.peer()), client)


def _report_reuse(tx: Transaction, old: sessions.Reused) -> alerts.AlertRow:
    detail = {"address": context.peer(), "reason": "refresh_reused", "session": old.session_id}
    audit.append(tx, old.email, "login.refresh", f"user:{old.user_id}", "refused", detail)
    return alerts.raise_alert(
        tx,
        "refresh_reused",
        f"user:{old.user_id}",
        f"A refresh token of {old.email} was used twice, the second time from {context.peer()}, so two have it; that session has ended."
        " If it was not a command that was cut off, change the password and end all sessions.",
    )


def _answer(session: sessions.Session, *, cookie: bool) -> dict[str, Any]:
    user = session.user
    token, expires_at = services().signer.issue(Claims(user.id, session.id, user.session_version))
    if cookie:
        refresh_cookie.put(session.value)
    return {
        "token": token,
        "refresh_token": None if cookie else session.value,
        "expires_at": expires_at,
        "user": {"id": user.id, "email": user.email, "name": user.name, "role": user.role},
    }


def network(address: str) -> str:
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
