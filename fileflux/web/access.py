"""Who may call which route. Default deny: a route that has no line here answers nobody.

``install`` puts one check before every request; there is no other place where access to a route is decided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from flask import Flask, g, request

from fileflux.errors import AuthError, ForbiddenError
from fileflux.storage import keys, sessions
from fileflux.web import context
from fileflux.web.context import Principal, Role

Route = tuple[str, str]
"""Method and rule, as in ``("GET", "/api/runs/<id:run_id>")``."""

PUBLIC: Final[frozenset[Route]] = frozenset(
    {
        ("GET", "/"),
        ("GET", "/favicon.svg"),
        ("GET", "/assets/<name>"),
        ("GET", "/api/docs"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
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

PROTOCOL_ROUTE: Final = "/api/events/ws"
"""The only route where the token may also come as the WebSocket subprotocol ``bearer.TOKEN``: a browser can send no header there."""
_PROTOCOL_PREFIX: Final = "bearer."


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a route: users of these roles; an API key of theirs only with ``scope``, and with None no key at all."""

    roles: frozenset[Role]
    scope: str | None


_ADMINS: Final = frozenset({Role.ADMIN})
_OPERATORS: Final = frozenset({Role.ADMIN, Role.OPERATOR})
_OVERSEERS: Final = frozenset({Role.ADMIN, Role.AUDITOR})
_EVERYBODY: Final = frozenset(Role)

RULES: Final[Mapping[Route, Rule]] = {
    ("GET", "/api/openapi.json"): Rule(_EVERYBODY, "docs:read"),
    ("GET", "/metrics"): Rule(_EVERYBODY, "metrics:read"),
    # A key must not make itself a longer life: what changes credentials needs a login.
    ("GET", "/api/auth/user"): Rule(_EVERYBODY, "self:read"),
    ("POST", "/api/auth/logout"): Rule(_EVERYBODY, None),
    ("POST", "/api/auth/password"): Rule(_EVERYBODY, None),
    ("GET", "/api/keys"): Rule(_EVERYBODY, None),
    ("POST", "/api/keys"): Rule(_EVERYBODY, None),
    ("DELETE", "/api/keys/<id:key_id>"): Rule(_EVERYBODY, None),
    ("GET", "/api/users"): Rule(_ADMINS, "users:read"),
    ("POST", "/api/users"): Rule(_ADMINS, "users:write"),
    ("GET", "/api/users/<id:user_id>"): Rule(_ADMINS, "users:read"),
    ("PATCH", "/api/users/<id:user_id>"): Rule(_ADMINS, "users:write"),
    ("DELETE", "/api/users/<id:user_id>"): Rule(_ADMINS, "users:write"),
    ("GET", "/api/agents"): Rule(_EVERYBODY, "agents:read"),
    ("POST", "/api/agents"): Rule(_ADMINS, "agents:write"),
    ("GET", "/api/agents/<id:agent_id>"): Rule(_EVERYBODY, "agents:read"),
    ("PATCH", "/api/agents/<id:agent_id>"): Rule(_ADMINS, "agents:write"),
    ("DELETE", "/api/agents/<id:agent_id>"): Rule(_ADMINS, "agents:write"),
    ("POST", "/api/agents/<id:agent_id>/test"): Rule(_OPERATORS, "agents:use"),
    ("GET", "/api/agents/<id:agent_id>/browse"): Rule(_OPERATORS, "agents:use"),
    ("POST", "/api/agents/<id:agent_id>/doctor"): Rule(_OPERATORS, "agents:use"),
    ("POST", "/api/temporary-agents"): Rule(_OPERATORS, "agents:use"),
    ("DELETE", "/api/temporary-agents/<id:agent_id>"): Rule(_OPERATORS, "agents:use"),
    ("GET", "/api/tokens"): Rule(_OVERSEERS, "tokens:read"),
    ("POST", "/api/tokens"): Rule(_ADMINS, "tokens:write"),
    ("POST", "/api/tokens/<id:token_id>/rotate"): Rule(_ADMINS, "tokens:write"),
    ("DELETE", "/api/tokens/<id:token_id>"): Rule(_ADMINS, "tokens:write"),
    ("GET", "/api/jobs"): Rule(_EVERYBODY, "jobs:read"),
    ("POST", "/api/jobs"): Rule(_OPERATORS, "jobs:write"),
    ("POST", "/api/jobs/import"): Rule(_OPERATORS, "jobs:write"),
    ("GET", "/api/jobs/export"): Rule(_EVERYBODY, "jobs:read"),
    ("POST", "/api/jobs/match"): Rule(_OPERATORS, "agents:use"),
    ("GET", "/api/jobs/<id:job_id>"): Rule(_EVERYBODY, "jobs:read"),
    ("PATCH", "/api/jobs/<id:job_id>"): Rule(_OPERATORS, "jobs:write"),
    ("DELETE", "/api/jobs/<id:job_id>"): Rule(_OPERATORS, "jobs:write"),
    ("GET", "/api/jobs/<id:job_id>/versions"): Rule(_EVERYBODY, "jobs:read"),
    ("GET", "/api/jobs/<id:job_id>/watch"): Rule(_EVERYBODY, "jobs:read"),
    ("POST", "/api/jobs/<id:job_id>/enable"): Rule(_OPERATORS, "jobs:write"),
    ("POST", "/api/jobs/<id:job_id>/disable"): Rule(_OPERATORS, "jobs:write"),
    ("POST", "/api/jobs/<id:job_id>/run"): Rule(_OPERATORS, "jobs:run"),
    ("GET", "/api/schedules/preview"): Rule(_EVERYBODY, "jobs:read"),
    ("GET", "/api/schedules/upcoming"): Rule(_EVERYBODY, "jobs:read"),
    ("POST", "/api/jobs/<id:job_id>/plan"): Rule(_OPERATORS, "jobs:run"),
    ("GET", "/api/jobs/<id:job_id>/plans"): Rule(_EVERYBODY, "jobs:read"),
    ("GET", "/api/plans/<id:plan_id>"): Rule(_EVERYBODY, "jobs:read"),
    ("GET", "/api/plans/<id:plan_id>/entries"): Rule(_EVERYBODY, "jobs:read"),
    ("POST", "/api/plans/<id:plan_id>/cancel"): Rule(_OPERATORS, "jobs:run"),
    ("DELETE", "/api/plans/<id:plan_id>"): Rule(_OPERATORS, "jobs:run"),
    ("POST", "/api/plans/<id:plan_id>/run"): Rule(_OPERATORS, "jobs:run"),
    ("GET", "/api/runs/<id:run_id>/drift"): Rule(_EVERYBODY, "runs:read"),
    ("GET", "/api/runs"): Rule(_EVERYBODY, "runs:read"),
    ("GET", "/api/runs/<id:run_id>"): Rule(_EVERYBODY, "runs:read"),
    ("GET", "/api/runs/<id:run_id>/codes"): Rule(_EVERYBODY, "runs:read"),
    ("GET", "/api/runs/<id:run_id>/explain"): Rule(_EVERYBODY, "runs:read"),
    ("GET", "/api/runs/<id:run_id>/report"): Rule(_EVERYBODY, "runs:read"),
    ("POST", "/api/runs/<id:run_id>/cancel"): Rule(_OPERATORS, "runs:control"),
    ("POST", "/api/runs/<id:run_id>/retry"): Rule(_OPERATORS, "runs:control"),
    ("POST", "/api/runs/<id:run_id>/pause"): Rule(_OPERATORS, "runs:control"),
    ("POST", "/api/runs/<id:run_id>/resume"): Rule(_OPERATORS, "runs:control"),
    ("GET", "/api/transfers"): Rule(_EVERYBODY, "transfers:read"),
    ("GET", "/api/transfers/<id:transfer_id>"): Rule(_EVERYBODY, "transfers:read"),
    ("GET", "/api/transfers/<id:transfer_id>/chunks"): Rule(_EVERYBODY, "transfers:read"),
    ("POST", "/api/transfers/<id:transfer_id>/cancel"): Rule(_OPERATORS, "transfers:control"),
    ("POST", "/api/transfers/<id:transfer_id>/resume"): Rule(_OPERATORS, "transfers:control"),
    ("GET", "/api/events"): Rule(_EVERYBODY, "events:read"),
    ("GET", "/api/events/ws"): Rule(_EVERYBODY, "events:read"),
    ("GET", "/api/dashboard"): Rule(_EVERYBODY, "dashboard:read"),
    ("GET", "/api/alerts"): Rule(_EVERYBODY, "dashboard:read"),
    ("POST", "/api/alerts/<id:alert_id>/dismiss"): Rule(_OPERATORS, "alerts:write"),
    ("GET", "/api/settings"): Rule(_EVERYBODY, "settings:read"),
    ("PATCH", "/api/settings"): Rule(_ADMINS, "settings:write"),
    ("GET", "/api/settings/mail"): Rule(_ADMINS, "settings:read"),
    ("PATCH", "/api/settings/mail"): Rule(_ADMINS, "settings:write"),
    ("GET", "/api/notifications"): Rule(_EVERYBODY, "notifications:read"),
    ("POST", "/api/notifications"): Rule(_ADMINS, "notifications:write"),
    ("GET", "/api/notifications/<id:target_id>"): Rule(_EVERYBODY, "notifications:read"),
    ("PATCH", "/api/notifications/<id:target_id>"): Rule(_ADMINS, "notifications:write"),
    ("DELETE", "/api/notifications/<id:target_id>"): Rule(_ADMINS, "notifications:write"),
    ("POST", "/api/notifications/<id:target_id>/rotate"): Rule(_ADMINS, "notifications:write"),
    ("POST", "/api/notifications/<id:target_id>/test"): Rule(_ADMINS, "notifications:write"),
    ("GET", "/api/notifications/<id:target_id>/deliveries"): Rule(_EVERYBODY, "notifications:read"),
    ("POST", "/api/notifications/<id:target_id>/deliveries/<id:delivery_id>/redeliver"): Rule(
        _ADMINS, "notifications:write"
    ),
    ("GET", "/api/audit"): Rule(_OVERSEERS, "audit:read"),
}

SCOPES: Final = tuple(sorted({rule.scope for rule in RULES.values() if rule.scope is not None}))
SHORTCUTS: Final = ("all", "read")
"""``all`` is every scope, ``read`` every one that ends in ``:read``. A key never has more than its user's role."""


def install(app: Flask) -> None:
    """Check every request of ``app`` before its view runs."""
    app.before_request(_check_request)


def authorise(who: Principal, route: Route) -> None:
    """Raises ForbiddenError unless ``who`` may call ``route``: the user's role must, and a key of theirs needs the scope as well."""
    rule = RULES.get(route)
    if rule is None or who.role not in rule.roles:
        raise ForbiddenError(f"a user with the role {who.role.value} may not do this; ask an administrator of the hub")
    if who.scopes is None:
        return
    if rule.scope is None:
        raise ForbiddenError("this is not for API keys; log in with e-mail and password")
    if not covers(who.scopes, rule.scope):
        raise ForbiddenError(f"this API key is not for that; it needs the scope {rule.scope}")


def covers(scopes: Collection[str], wanted: str) -> bool:
    """Whether a key with these scopes, shortcuts among them, has ``wanted``."""
    return wanted in scopes or "all" in scopes or ("read" in scopes and wanted.endswith(":read"))


def authenticate(token: str) -> Principal:
    """The user behind an access token or an API key, with one query.

    What lives longer than a request (a feed) asks again now and then. Raises AuthError when the token is none, has expired or was
    revoked, when its session has ended, and when its user is gone or disabled.
    """
    if token.startswith(keys.VALUE_PREFIX):
        return _with_key(token)
    claims = context.services().signer.read(token)
    with context.deps().database.transaction() as tx:
        user = sessions.live_user(
            tx, claims.session_id, claims.user_id, claims.session_version, context.deps().clock.utc_now()
        )
    if user is None:
        raise AuthError("this token is not valid any more; log in again")
    return Principal(user.id, user.email, Role(user.role), user.name, session_id=claims.session_id)


def _with_key(value: str) -> Principal:
    with context.deps().database.transaction() as tx:
        found = keys.find_live(tx, value, context.deps().clock.utc_now())
    if found is None:
        raise AuthError("this API key is unknown, expired or revoked; make another with `fileflux keys create`")
    key, user = found
    return Principal(user.id, user.email, Role(user.role), user.name, key_id=key.id, scopes=tuple(key.scopes))


def _check_request() -> None:
    rule = request.url_rule
    if rule is None:
        return  # No such route or method: Flask answers 404 or 405 next, and no view runs.
    route = ("GET" if request.method == "HEAD" else request.method, rule.rule)
    if route in PUBLIC or route in AGENT_ROUTES:
        return
    actor = "anonymous"
    try:
        who = authenticate(bearer_token(rule.rule))
        actor = who.email
        authorise(who, route)
    except (AuthError, ForbiddenError) as error:
        action = f"{request.method} {request.path}"
        context.services().refusals.record(context.peer(), actor, "api.refused", action, error.code)
        raise
    g.principal = who


def bearer_token(path: str) -> str:
    """The request's token as it was sent, for the route ``path``. Raises AuthError when there is none."""
    given = request.headers.get("Authorization", "")
    if not given and path == PROTOCOL_ROUTE:
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        tokens = [name.removeprefix(_PROTOCOL_PREFIX) for name in offered if name.startswith(_PROTOCOL_PREFIX)]
        given = f"Bearer {tokens[0]}" if len(tokens) == 1 else ""
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthError("this needs a token: send Authorization: Bearer …, or log in with `fileflux login`")
    return token
