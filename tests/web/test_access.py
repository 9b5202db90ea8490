"""Every route of the app with everyone who should not get in; generated from the router, so that a new route cannot be forgotten."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest
from flask import Flask

from fileflux.clock import FakeClock
from fileflux.errors import ForbiddenError
from fileflux.storage import keys, sessions, users
from fileflux.storage.users import UserRow
from fileflux.web import access
from fileflux.web.access import AGENT_ROUTES, PUBLIC, RULES, SCOPES, Route
from fileflux.web.context import Principal, Role
from fileflux.web.identity import Claims, Signer
from tests.web.conftest import SECRET, Api, ScriptedHub

AGENT_TOKEN = "ffx_" + "A" * 43
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}


def routes_of(app: Flask) -> set[Route]:
    return {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}}


def protected(app: Flask) -> list[Route]:
    # What ends the caller's own session comes last.
    return sorted(routes_of(app) - PUBLIC - AGENT_ROUTES, key=lambda route: (route[1].endswith("/logout"), route))


def path_of(rule: str) -> str:
    return re.sub(r"<id:[a-z_]+>", "424242", rule)


def ask(api: Api, route: Route) -> int:
    """The status of a request that says nothing but who asks."""
    method, rule = route
    answer = api.call(method, path_of(rule), **(UPGRADE if rule == access.PROTOCOL_ROUTE else {}))
    answer.close()  # The feed's answer does not end by itself.
    return answer.status_code


def user_of(hub: ScriptedHub, role: str = "admin") -> UserRow:
    with hub.database.transaction() as tx:
        user = users.by_email(tx, f"{role}@example.org")
    assert user is not None
    return user


def key_for(hub: ScriptedHub, clock: FakeClock, user: UserRow, scopes: Iterable[str], life: float = 3600.0) -> str:
    now = clock.utc_now()
    with hub.database.transaction() as tx:
        return keys.create(tx, user.id, "test", list(scopes), now, now + timedelta(seconds=life))[1]


def test_every_route_has_its_line_and_every_line_its_route(app: Flask) -> None:
    declared = PUBLIC | RULES.keys() | AGENT_ROUTES
    routes = routes_of(app)
    assert routes <= declared
    # The agents' routes are added by the server.
    assert declared - routes <= AGENT_ROUTES
    assert not PUBLIC & RULES.keys()
    assert not (PUBLIC | RULES.keys()) & AGENT_ROUTES


def test_only_these_are_public() -> None:
    assert {
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
    } == PUBLIC


def test_only_these_check_an_agents_token() -> None:
    assert {
        ("GET", "/ws/agent"),
        ("POST", "/api/agent/connect"),
        ("GET", "/api/agent/poll"),
        ("POST", "/api/agent/messages"),
        ("GET", "/api/agent/check"),
        ("GET", "/ws/agent/check"),
    } == AGENT_ROUTES


def test_a_route_without_a_line_answers_nobody(app: Flask, as_role, hub: ScriptedHub, clock: FakeClock) -> None:
    app.add_url_rule("/api/forgotten", view_func=lambda: "secret")
    for role in Role:
        assert as_role(role.value).get("/api/forgotten").status_code == 403
    key = key_for(hub, clock, user_of(hub), ["all"])
    assert Api(app.test_client(), key).get("/api/forgotten").status_code == 403
    assert app.test_client().get("/api/forgotten").status_code == 401


@pytest.fixture
def bad_tokens(app: Flask, as_role, hub: ScriptedHub, clock: FakeClock) -> dict[str, str | None]:
    """What stands in Authorization, by what is wrong with it."""
    good = as_role("admin").token
    user = user_of(hub)
    claims = Signer(SECRET, clock).read(good)
    past = FakeClock(wall=clock.utc_now() - timedelta(days=1))

    def token(change: Callable[[Claims], Claims], secret: bytes = SECRET, at: FakeClock = clock) -> str:
        return Signer(secret, at).issue(change(claims))[0]

    def key(role: str, life: float = 3600.0) -> str:
        as_role(role)
        return key_for(hub, clock, user_of(hub, role), ["all"], life)

    def session(role: str) -> str:
        return as_role(role).token

    refresh = app.test_client().post(
        "/api/auth/login", json={"email": "admin@example.org", "password": "correct horse"}
    )
    ended = session("admin")
    assert Api(app.test_client(), ended).post("/api/auth/logout").status_code == 204
    bad: dict[str, str] = {
        "garbage": "x.y.z",
        "agent token": AGENT_TOKEN,
        "agent token with a pin": f"{AGENT_TOKEN}.{'a' * 64}",
        "expired": token(lambda c: c, at=past),
        "refresh token": refresh.json["refresh_token"],
        "other hub": token(lambda c: c, secret=SECRET[::-1]),
        "logged out": ended,
        "version before": token(lambda c: Claims(c.user_id, c.session_id, c.session_version - 1)),
        "version behind": token(lambda c: Claims(c.user_id, c.session_id, c.session_version + 1)),
        "no such session": token(lambda c: Claims(c.user_id, 424242, c.session_version)),
        "no such user": token(lambda c: Claims(424242, c.session_id, 1)),
        "session of another": token(lambda c: Claims(user_of(hub, "auditor").id, c.session_id, 1))
        if session("auditor")
        else "",
        "session of a disabled user": session("viewer"),
        "session of a deleted user": session("operator"),
        "key of a disabled user": key("viewer"),
        "key of a deleted user": key("operator"),
        "expired key": key("admin", life=0.0),
        "revoked key": key("admin"),
        "unknown key": keys.VALUE_PREFIX + "A" * 43,
        "short key": key("admin")[:-1],
        "cut short": good[:-2],
        "long": "A" * 100_000,
    }
    with hub.database.transaction() as tx:
        users.update(tx, user_of(hub, "viewer").id, {"disabled_at": clock.utc_now()})
        users.delete(tx, user_of(hub, "operator").id)
        newest = keys.list_page(tx, 100, None, user.id)
        keys.revoke(tx, newest[1].id, clock.utc_now())
    return {
        "none": None,
        "empty": "Bearer ",
        "basic": "Basic YWRtaW46YWRtaW4=",
        "no scheme": good,
        "two": f"Bearer {good} {good}",
    } | {name: f"Bearer {value}" for name, value in bad.items()}


def test_nobody_gets_in_without_a_good_token(app: Flask, bad_tokens: dict[str, str | None]) -> None:
    client = app.test_client()
    assert protected(app)
    for method, rule in protected(app):
        for name, header in bad_tokens.items():
            headers = {} if header is None else {"Authorization": header}
            answer = client.open(
                path_of(rule), method=method, headers=headers | (UPGRADE if rule == access.PROTOCOL_ROUTE else {})
            )
            code = "token_expired" if name == "expired" else "unauthenticated"
            assert (answer.status_code, answer.json["code"]) == (401, code), (method, rule, name)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_what_its_line_says_and_nothing_else(
    app: Flask, as_role, hub: ScriptedHub, clock: FakeClock, role: Role
) -> None:
    session = as_role(role.value)
    key = Api(app.test_client(), key_for(hub, clock, user_of(hub, role.value), ["all"]))
    for route in protected(app):
        line = RULES[route]
        for api, suffices in ((key, line.scope is not None), (session, True)):
            status = ask(api, route)
            assert (status == 403) == (role not in line.roles or not suffices), (route, status)
            assert status != 401, route


def test_a_key_opens_the_routes_of_its_scopes_and_no_other(
    app: Flask, as_role, hub: ScriptedHub, clock: FakeClock
) -> None:
    as_role("admin")
    routes = protected(app)
    for scope in SCOPES:
        with_it = Api(app.test_client(), key_for(hub, clock, user_of(hub), [scope]))
        without = Api(app.test_client(), key_for(hub, clock, user_of(hub), set(SCOPES) - {scope}))
        for route in routes:
            if RULES[route].scope == scope:
                assert ask(without, route) == 403, route
                assert ask(with_it, route) not in (401, 403), route
        other = next(route for route in routes if RULES[route].scope not in (scope, None))
        assert ask(with_it, other) == 403
    nothing = Api(app.test_client(), key_for(hub, clock, user_of(hub), []))
    assert {ask(nothing, route) for route in routes} == {403}


def test_read_is_every_scope_that_reads() -> None:
    assert [scope for scope in SCOPES if access.covers(["read"], scope)] == [
        scope for scope in SCOPES if scope.endswith(":read")
    ]
    assert all(access.covers(["all"], scope) for scope in SCOPES)
    assert not access.covers([], "self:read")
    assert not access.covers(["agents:readx", "agents"], "agents:read")


def test_who_may_change_things() -> None:
    own = {"/api/auth/logout", "/api/auth/password", "/api/keys", "/api/keys/<id:key_id>"}
    for (method, rule), line in RULES.items():
        if method != "GET" and rule not in own:
            assert not line.roles & {Role.VIEWER, Role.AUDITOR}, (method, rule)
            assert line.scope is not None
            assert not line.scope.endswith(":read")
        if rule in own:
            assert line.scope is None, "a key must not make itself a longer life"
        if "/tokens" in rule:
            assert Role.OPERATOR not in line.roles
        if "/users" in rule or (rule == "/api/settings" and method != "GET"):
            assert line.roles == {Role.ADMIN}


@pytest.mark.parametrize("change", ["disable", "logout", "role", "everywhere", "delete", "expire"])
def test_a_change_of_the_user_counts_at_once(
    app: Flask, as_role, hub: ScriptedHub, clock: FakeClock, change: str
) -> None:
    api, other = as_role("admin"), as_role("admin")
    user = user_of(hub)
    assert api.get("/api/tokens").status_code == 200
    with hub.database.transaction() as tx:
        if change == "disable":
            users.update(tx, user.id, {"disabled_at": clock.utc_now()})
        elif change == "role":
            users.update(tx, user.id, {"role": "viewer"})
        elif change == "delete":
            users.delete(tx, user.id)
        elif change == "expire":
            tx.execute("UPDATE user_sessions SET expires_at = %s", (clock.utc_now(),))
    if change == "logout":
        assert api.post("/api/auth/logout").status_code == 204
    elif change == "everywhere":
        assert api.post("/api/auth/logout?everywhere=true").status_code == 204
    assert api.get("/api/tokens").status_code == (403 if change == "role" else 401)
    assert (other.get("/api/auth/user").status_code == 200) == (change in ("logout", "role"))


def test_one_query_for_a_request(as_role, app: Flask, hub: ScriptedHub, clock: FakeClock, monkeypatch) -> None:
    api = as_role("viewer")
    key = Api(app.test_client(), key_for(hub, clock, user_of(hub, "viewer"), ["read"]))
    assert key.get("/api/auth/user").status_code == 200
    statements: list[str] = []
    execute = hub.database.transaction

    def counted():
        statements.append("transaction")
        return execute()

    from fileflux.storage.pool import Transaction

    run = Transaction.execute

    def noted(self, sql, params=()):
        statements.append(sql)
        return run(self, sql, params)

    monkeypatch.setattr(hub.database, "transaction", counted)
    monkeypatch.setattr(Transaction, "execute", noted)
    assert api.get("/api/auth/user").status_code == 200
    assert key.get("/api/auth/user").status_code == 200
    assert len(statements) == 4, statements


def test_a_browser_can_send_its_token_as_a_subprotocol_where_the_feed_is_and_nowhere_else(app: Flask, as_role) -> None:
    token = as_role("viewer").token
    client = app.test_client()

    def status(path: str, protocols: str) -> int:
        return client.get(path, headers=UPGRADE | {"Sec-WebSocket-Protocol": protocols}).status_code

    assert status("/api/agents", f"bearer.{token}") >= 400
    assert client.get("/api/agents", headers={"Sec-WebSocket-Protocol": f"bearer.{token}"}).status_code == 401
    with app.test_request_context(access.PROTOCOL_ROUTE, headers={"Sec-WebSocket-Protocol": f"x, bearer.{token}"}):
        assert access.bearer_token(access.PROTOCOL_ROUTE) == token
    for protocols in ("", "bearer.", f"bearer.{token}, bearer.{token}", f"Bearer {token}"):
        with (
            app.test_request_context(access.PROTOCOL_ROUTE, headers={"Sec-WebSocket-Protocol": protocols}),
            pytest.raises(access.AuthError),
        ):
            access.bearer_token(access.PROTOCOL_ROUTE)


def test_head_is_get_and_options_tells_nothing(app: Flask, admin: Api) -> None:
    assert admin.call("HEAD", "/api/agents").status_code == 200
    assert app.test_client().head("/api/agents").status_code == 401
    assert app.test_client().options("/api/agents").status_code == 401


def test_no_token_in_the_address_counts(app: Flask, admin: Api) -> None:
    for name in ("token", "access_token", "authorization"):
        assert app.test_client().get(f"/api/agents?{name}={admin.token}").status_code == 401


def test_refusals_are_audited_but_strangers_cannot_fill_the_log(
    app: Flask, as_role, audited, limits, clock: FakeClock
) -> None:
    assert as_role("viewer").post("/api/agents", {"name": "x"}).status_code == 403
    assert ("viewer@example.org", "api.refused", "POST /api/agents", "refused") in audited()
    before = len(audited())
    for _ in range(50):
        app.test_client().get("/api/runs")
    assert len(audited()) - before < limits.login_attempts
    clock.advance(limits.login_window + 1)
    app.test_client().get("/api/runs")
    assert audited()[-1] == ("anonymous", "api.refused", "GET /api/runs", "refused")


def test_the_only_decision_is_in_one_place() -> None:
    for route, line in RULES.items():
        for role in Role:
            if role not in line.roles:
                for scopes in (None, ("all",), tuple(SCOPES)):
                    with pytest.raises(ForbiddenError):
                        access.authorise(Principal(1, "a@b", role, scopes=scopes), route)


def test_a_session_found_by_its_row_alone_is_not_enough(hub: ScriptedHub, as_role, clock: FakeClock) -> None:
    claims = Signer(SECRET, clock).read(as_role("viewer").token)
    with hub.database.transaction() as tx:
        now = clock.utc_now()
        found = sessions.live_user(tx, claims.session_id, claims.user_id, claims.session_version, now)
        assert found is not None
        assert sessions.live_user(tx, claims.session_id, claims.user_id + 1, claims.session_version, now) is None
