"""Every route of the app with everyone who should not get in; generated from the router, so that a new route cannot be forgotten."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask

from fileflux.clock import FakeClock
from fileflux.storage import users
from fileflux.web import access
from fileflux.web.access import AGENT_ROUTES, PUBLIC, ROLES
from fileflux.web.context import Role
from fileflux.web.identity import Claims, Signer
from tests.web.conftest import SECRET, Api, ScriptedHub

AGENT_TOKEN = "ffx_" + "A" * 43


def routes_of(app: Flask) -> set[tuple[str, str]]:
    return {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}}


def path_of(rule: str) -> str:
    return re.sub(r"<id:[a-z_]+>", "424242", rule)


def test_every_route_has_its_line_and_every_line_its_route(app: Flask) -> None:
    declared = PUBLIC | ROLES.keys() | AGENT_ROUTES
    routes = routes_of(app)
    assert routes <= declared
    # The agents' routes are added by the server.
    assert declared - routes <= AGENT_ROUTES
    assert not PUBLIC & ROLES.keys()


def test_only_these_are_public() -> None:
    assert {
        ("GET", "/"),
        ("GET", "/healthz"),
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


def test_a_route_without_a_line_answers_nobody(app: Flask, as_role) -> None:
    app.add_url_rule("/api/forgotten", view_func=lambda: "secret")
    for role in Role:
        assert as_role(role.value).get("/api/forgotten").status_code == 403
    assert app.test_client().get("/api/forgotten").status_code == 401


def test_nobody_gets_in_without_a_good_token(app: Flask, as_role, hub: ScriptedHub, clock: FakeClock) -> None:
    good = as_role("admin").token
    with hub.database.transaction() as tx:
        user = users.by_email(tx, "admin@example.org")
    claims = Claims(user.id, user.session_version)
    expired_clock = FakeClock(wall=clock.utc_now() - timedelta(days=1))
    bad = {
        "none": None,
        "empty": "Bearer ",
        "garbage": "Bearer x.y.z",
        "basic": "Basic YWRtaW46YWRtaW4=",
        "no scheme": good,
        "two": f"Bearer {good} {good}",
        "agent token": f"Bearer {AGENT_TOKEN}",
        "expired": f"Bearer {Signer(SECRET, expired_clock).issue(claims, 'access')[0]}",
        "refresh": f"Bearer {Signer(SECRET, clock).issue(claims, 'refresh')[0]}",
        "other hub": f"Bearer {Signer(SECRET[::-1], clock).issue(claims, 'access')[0]}",
        "other session": f"Bearer {Signer(SECRET, clock).issue(Claims(user.id, user.session_version + 1), 'access')[0]}",
        "nobody": f"Bearer {Signer(SECRET, clock).issue(Claims(424242, 1), 'access')[0]}",
        "cut short": f"Bearer {good[:-2]}",
        "long": "Bearer " + "A" * 100_000,
    }
    client = app.test_client()
    protected = sorted(routes_of(app) - PUBLIC - AGENT_ROUTES)
    assert protected
    for method, rule in protected:
        for name, header in bad.items():
            headers = {} if header is None else {"Authorization": header}
            answer = client.open(path_of(rule), method=method, headers=headers)
            assert (answer.status_code, answer.json["code"] in ("unauthenticated", "token_expired")) == (401, True), (
                method,
                rule,
                name,
            )
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_what_its_line_says_and_nothing_else(app: Flask, as_role, role: Role) -> None:
    api = as_role(role.value)
    # Last, because it ends the session.
    for method, rule in sorted(routes_of(app) - PUBLIC, key=lambda route: route[1].endswith("/logout")):
        answer = api.call(method, path_of(rule))
        allowed = role in ROLES[method, rule]
        assert (answer.status_code == 403) == (not allowed), (method, rule, answer.status_code)
        assert answer.status_code != 401, (method, rule)


def test_who_may_change_things() -> None:
    for (method, rule), roles in ROLES.items():
        if method != "GET" and rule != "/api/auth/logout":
            assert not roles & {Role.VIEWER, Role.AUDITOR}, (method, rule)
        if "/tokens" in rule:
            assert Role.OPERATOR not in roles


@pytest.mark.parametrize("change", ["disable", "logout", "role"])
def test_a_change_of_the_user_counts_at_once(as_role, hub: ScriptedHub, change: str) -> None:
    api = as_role("admin")
    assert api.get("/api/tokens").status_code == 200
    if change == "logout":
        assert api.post("/api/auth/logout").status_code == 204
    else:
        columns = {"disable": "disabled_at = now()", "role": "role = 'viewer'"}[change]
        with hub.database.transaction() as tx:
            tx.execute(f"UPDATE users SET {columns} WHERE email = %s", ("admin@example.org",))
    assert api.get("/api/tokens").status_code == (403 if change == "role" else 401)


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
    for route in ROLES:
        for role in Role:
            if role not in ROLES[route]:
                with pytest.raises(access.ForbiddenError):
                    access.authorise(role, route)
