"""Who may call which route. Default deny: a route that has no line here answers nobody.

``install`` puts one check before every request; there is no other place where access to a route is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Flask, g, request

from fileflux.errors import AuthError, ForbiddenError
from fileflux.storage import users
from fileflux.web import context
from fileflux.web.context import Principal, Role
from fileflux.web.identity import Claims

Route = tuple[str, str]
"""Method and rule, as in ``("GET", "/api/runs/<id:run_id>")``."""

PUBLIC: Final[frozenset[Route]] = frozenset(
    {
        ("GET", "/"),
        ("GET", "/healthz"),
        ("GET", "/ca.pem"),
        ("GET", "/install.sh"),
        ("GET", "/install.ps1"),
        ("GET", "/install/<wheel_name>"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/refresh"),
    }
)
"""Answered without a token."""

AGENT_ROUTES: Final[frozenset[Route]] = frozenset(
    {
        ("GET", "/ws/agent"),
        ("POST", "/api/agent/connect"),
        ("GET", "/api/agent/poll"),
        ("POST", "/api/agent/messages"),
        ("GET", "/api/agent/check"),
        ("GET", "/ws/agent/check"),
    }
)
"""These check the agent's own token themselves, before anything else; a user's token is worth nothing there."""

_ADMINS: Final = frozenset({Role.ADMIN})
_OPERATORS: Final = frozenset({Role.ADMIN, Role.OPERATOR})
_OVERSEERS: Final = frozenset({Role.ADMIN, Role.AUDITOR})
_EVERYBODY: Final = frozenset(Role)

ROLES: Final[Mapping[Route, frozenset[Role]]] = {
    ("GET", "/api/openapi.json"): _EVERYBODY,
    ("GET", "/api/auth/user"): _EVERYBODY,
    ("POST", "/api/auth/logout"): _EVERYBODY,
    ("GET", "/api/agents"): _EVERYBODY,
    ("POST", "/api/agents"): _ADMINS,
    ("GET", "/api/agents/<id:agent_id>"): _EVERYBODY,
    ("DELETE", "/api/agents/<id:agent_id>"): _ADMINS,
    ("POST", "/api/agents/<id:agent_id>/test"): _OPERATORS,
    ("GET", "/api/tokens"): _OVERSEERS,
    ("POST", "/api/tokens"): _ADMINS,
    ("DELETE", "/api/tokens/<id:token_id>"): _ADMINS,
    ("GET", "/api/jobs"): _EVERYBODY,
    ("POST", "/api/jobs"): _OPERATORS,
    ("GET", "/api/jobs/<id:job_id>"): _EVERYBODY,
    ("POST", "/api/jobs/<id:job_id>/run"): _OPERATORS,
    ("GET", "/api/runs"): _EVERYBODY,
    ("GET", "/api/runs/<id:run_id>"): _EVERYBODY,
    ("POST", "/api/runs/<id:run_id>/cancel"): _OPERATORS,
    ("GET", "/api/transfers"): _EVERYBODY,
    ("GET", "/api/transfers/<id:transfer_id>"): _EVERYBODY,
}


def install(app: Flask) -> None:
    """Check every request of ``app`` before its view runs."""
    app.before_request(_check_request)


def authorise(role: Role, route: Route) -> None:
    """Raises ForbiddenError unless ``role`` may call ``route``."""
    if role not in ROLES.get(route, frozenset()):
        raise ForbiddenError(f"a user with the role {role.value} may not do this; ask an administrator of the hub")


def authenticate(claims: Claims) -> Principal:
    """The user behind a valid token. Raises AuthError when the user is gone or disabled, or has logged out since."""
    with context.deps().database.transaction() as tx:
        user = users.get(tx, claims.user_id)
    if user is None or user.disabled_at is not None or user.session_version != claims.session_version:
        raise AuthError("this token is not valid any more; log in again")
    return Principal(user.id, user.email, Role(user.role))


def _check_request() -> None:
    rule = request.url_rule
    if rule is None:
        return  # No such route or method: Flask answers 404 or 405 next, and no view runs.
    route = ("GET" if request.method == "HEAD" else request.method, rule.rule)
    if route in PUBLIC or route in AGENT_ROUTES:
        return
    actor = "anonymous"
    try:
        user = authenticate(context.services().signer.read(_bearer_token(), "access"))
        actor = user.email
        authorise(user.role, route)
    except (AuthError, ForbiddenError) as error:
        action = f"{request.method} {request.path}"
        context.services().refusals.record(context.peer(), actor, "api.refused", action, error.code)
        raise
    g.principal = user


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthError("this needs a token: send Authorization: Bearer …, or log in with `fileflux login`")
    return token
