"""Login, renewal, logout."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from fileflux.bus.events import AlertRaised
from fileflux.clock import FakeClock
from fileflux.storage import alerts, sessions, users
from fileflux.web.context import services_of
from tests.web.conftest import PASSWORD, Api, ScriptedHub

EMAIL = "admin@example.org"


def log_in(app: Flask, email: str = EMAIL, password: str = PASSWORD, address: str = "127.0.0.1"):
    return app.test_client().post(
        "/api/auth/login", json={"email": email, "password": password}, environ_base={"REMOTE_ADDR": address}
    )


@pytest.fixture
def user(hub: ScriptedHub) -> int:
    with hub.database.transaction() as tx:
        return users.create(tx, EMAIL, hub.hash(PASSWORD), "admin").id


@pytest.mark.usefixtures("user")
def test_login_answers_tokens_and_the_user(app: Flask, audited) -> None:
    answer = log_in(app)
    assert answer.status_code == 200
    assert set(answer.json) == {"token", "refresh_token", "expires_at", "user"}
    assert answer.json["user"]["email"] == EMAIL
    assert answer.json["expires_at"].endswith("+00:00")
    assert answer.headers["Cache-Control"] == "no-store"
    who = Api(app.test_client(), answer.json["token"]).get("/api/auth/user").json
    assert who == answer.json["user"] | {"via": "session", "scopes": None}
    assert audited()[-1][:2] == (EMAIL, "login")
    assert PASSWORD not in str(audited())


@pytest.mark.usefixtures("user")
def test_the_account_is_found_whatever_the_case(app: Flask) -> None:
    assert log_in(app, "  Admin@Example.ORG ").status_code == 200


@pytest.mark.usefixtures("user")
def test_wrong_user_and_wrong_password_look_and_cost_the_same(app: Flask, hub: ScriptedHub, audited) -> None:
    wrong_password, wrong_user = log_in(app, password="x"), log_in(app, "nobody@example.org", "x")
    assert (wrong_password.status_code, wrong_user.status_code) == (401, 401)
    assert wrong_password.json | {"request_id": ""} == wrong_user.json | {"request_id": ""}
    assert hub.passwords_checked == ["x", "x"]
    assert [entry[1:] for entry in audited()[-2:]] == [("login", "user", "refused")] * 2


@pytest.mark.usefixtures("user")
def test_a_disabled_user_cannot_log_in(app: Flask, hub: ScriptedHub) -> None:
    with hub.database.transaction() as tx:
        tx.execute("UPDATE users SET disabled_at = now()")
    assert log_in(app).status_code == 401


@pytest.mark.usefixtures("user")
def test_guessing_one_account_is_throttled_from_everywhere(
    app: Flask, hub: ScriptedHub, limits, clock: FakeClock
) -> None:
    for number in range(limits.login_attempts):
        assert log_in(app, password="x", address=f"10.0.0.{number}").status_code == 401
    refused = log_in(app, address="10.0.9.9")
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= limits.login_window
    assert len(hub.passwords_checked) == limits.login_attempts
    clock.advance(limits.login_window + 1)
    assert log_in(app).status_code == 200


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["2001:db8::1", "2001:db8::2", "2001:db8::ffff"], ["127.0.0.1", "::ffff:127.0.0.1"]]
)
def test_guessing_from_one_network_is_throttled_for_all_accounts(app: Flask, limits, addresses: list[str]) -> None:
    for number in range(limits.login_attempts):
        assert log_in(app, f"user{number}@x", "x", addresses[number % len(addresses)]).status_code == 401
    assert log_in(app, address=addresses[-1]).status_code == 429
    assert log_in(app, address="192.0.2.1").status_code == 200


@pytest.mark.usefixtures("user")
def test_good_logins_and_broken_workers_use_up_nothing(app: Flask, hub: ScriptedHub, limits) -> None:
    for _ in range(limits.login_attempts + 2):
        assert log_in(app).status_code == 200
    hub.workers_away = True
    for _ in range(limits.login_attempts + 2):
        assert log_in(app).status_code == 503
    hub.workers_away = False
    assert log_in(app).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": EMAIL},
        {"email": EMAIL, "password": ""},
        {"email": EMAIL, "password": "x" * 1025},
        {"email": EMAIL, "password": "\0"},
        {"email": EMAIL, "password": ["x"]},
        {"email": EMAIL, "password": "x", "role": "admin"},
        {"email": "a" * 300, "password": "x"},
    ],
)
def test_what_is_no_login_costs_no_hashing(anonymous: Api, hub: ScriptedHub, body: dict) -> None:
    assert anonymous.post("/api/auth/login", body).status_code == 422
    assert hub.passwords_checked == []


@pytest.mark.usefixtures("user")
def test_strangers_who_guess_do_not_lock_the_owner_out(app: Flask, hub: ScriptedHub, limits, clock: FakeClock) -> None:
    assert log_in(app, address="192.0.2.7").status_code == 200
    for number in range(limits.login_attempts):
        assert log_in(app, password="x", address=f"10.0.0.{number}").status_code == 401
    assert log_in(app, address="10.0.9.9").status_code == 429
    for _ in range(limits.login_attempts + 1):
        assert log_in(app, address="192.0.2.7").status_code == 200
    # A guesser at the owner's own address has the address's attempts and no more.
    for _ in range(limits.login_attempts):
        assert log_in(app, password="x", address="192.0.2.7").status_code == 401
    checked = len(hub.passwords_checked)
    assert log_in(app, address="192.0.2.7").status_code == 429
    assert len(hub.passwords_checked) == checked


def test_an_account_that_is_none_is_throttled_like_one_that_is(app: Flask, limits) -> None:
    statuses = [
        log_in(app, "nobody@example.org", "x", f"10.0.0.{n}").status_code for n in range(limits.login_attempts + 1)
    ]
    assert statuses == [401] * limits.login_attempts + [429]


def test_ten_thousand_tries_cost_no_more_hashing_than_allowed(app: Flask, hub: ScriptedHub, limits) -> None:
    client = app.test_client()
    for number in range(300):
        client.post("/api/auth/login", json={"email": f"user{number}@example.org", "password": "x"})
    assert len(hub.passwords_checked) == limits.login_attempts


def test_passwords_are_what_they_are(app: Flask, hub: ScriptedHub) -> None:
    for number, password in enumerate(("pässwörter", "密码密码密码", "line\nbreak", " spaces ", "\x7f\x1b[2J quiet")):
        email = f"user{number}@example.org"
        with hub.database.transaction() as tx:
            users.create(tx, email, hub.hash(password), "viewer")
        assert log_in(app, email, password).status_code == 200
        assert log_in(app, email, password.strip() + "x", f"192.0.2.{number}").status_code == 401


@pytest.mark.usefixtures("user")
def test_a_password_is_hashed_anew_when_parameters_change(app: Flask, hub: ScriptedHub) -> None:
    with hub.database.transaction() as tx:
        tx.execute("UPDATE users SET password_hash = %s", (f"old hash of {PASSWORD}",))
    first = log_in(app)
    assert first.status_code == 200
    with hub.database.transaction() as tx:
        user = users.by_email(tx, EMAIL)
    assert user is not None
    assert user.password_hash == hub.hash(PASSWORD)
    assert user.last_login_at is not None
    assert Api(app.test_client(), first.json["token"]).get("/api/auth/user").status_code == 200


@pytest.mark.usefixtures("user")
def test_refresh_tokens_follow_one_another_until_logout(app: Flask, anonymous: Api, clock: FakeClock) -> None:
    first = log_in(app).json
    clock.advance(3600)
    assert Api(app.test_client(), first["token"]).get("/api/auth/user").json["code"] == "token_expired"
    assert anonymous.post("/api/auth/refresh", {"refresh_token": first["token"]}).status_code == 401
    second = anonymous.post("/api/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    assert set(second.json) == {"token", "refresh_token", "expires_at", "user"}
    assert second.json["refresh_token"] != first["refresh_token"]
    assert "Set-Cookie" not in second.headers
    api = Api(app.test_client(), second.json["token"])
    assert api.get("/api/auth/user").status_code == 200
    assert api.post("/api/auth/logout").status_code == 204
    assert api.get("/api/auth/user").status_code == 401
    assert anonymous.post("/api/auth/refresh", {"refresh_token": second.json["refresh_token"]}).status_code == 401
    assert log_in(app).status_code == 200


@pytest.mark.usefixtures("user")
def test_an_old_refresh_token_ends_the_session_and_raises_an_alert(
    app: Flask, anonymous: Api, hub: ScriptedHub, audited
) -> None:
    first, other = log_in(app).json, log_in(app).json
    second = anonymous.post("/api/auth/refresh", {"refresh_token": first["refresh_token"]}).json
    heard = services_of(app).deps.bus.subscribe([AlertRaised], 10)
    again = anonymous.post("/api/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert (again.status_code, again.json["code"]) == (401, "refresh_reused")
    assert audited()[-1] == (EMAIL, "login.refresh", f"user:{first['user']['id']}", "refused")
    with hub.database.transaction() as tx:
        (alert,) = alerts.list_page(tx, 10)
    assert (alert.kind, alert.object, alert.count) == ("refresh_reused", f"user:{first['user']['id']}", 1)
    assert heard.get(0) == AlertRaised(alert.id, alert.kind, alert.message)
    for token, status in ((second["token"], 401), (other["token"], 200)):
        assert Api(app.test_client(), token).get("/api/auth/user").status_code == status
    after = anonymous.post("/api/auth/refresh", {"refresh_token": second["refresh_token"]})
    assert (after.status_code, after.json["code"]) == (401, "unauthenticated")
    assert not any(str(value) in str(audited()) for value in (first["refresh_token"], second["refresh_token"]))


@pytest.mark.usefixtures("user")
def test_logout_ends_this_session_or_all(app: Flask, audited) -> None:
    one, two, three = (Api(app.test_client(), log_in(app).json["token"]) for _ in range(3))
    assert one.post("/api/auth/logout").status_code == 204
    assert [api.get("/api/auth/user").status_code for api in (one, two, three)] == [401, 200, 200]
    assert two.post("/api/auth/logout?everywhere=true").status_code == 204
    assert [api.get("/api/auth/user").status_code for api in (one, two, three)] == [401, 401, 401]
    assert [entry[1] for entry in audited()].count("logout") == 2
    assert Api(app.test_client(), log_in(app).json["token"]).post("/api/auth/logout?everywhere=1").status_code == 422


@pytest.fixture
def session(app: Flask, user: int) -> Api:
    return Api(app.test_client(), log_in(app).json["token"])


def change(api: Api, current: str = PASSWORD, password: str = "another horse", **more: object):
    return api.post("/api/auth/password", {"current_password": current, "password": password} | more)


def test_a_new_password_ends_every_session_but_the_one_it_answers(
    app: Flask, session: Api, anonymous: Api, audited
) -> None:
    other = log_in(app).json
    answer = change(session)
    assert answer.status_code == 200
    assert set(answer.json) == {"token", "refresh_token", "expires_at", "user"}
    assert Api(app.test_client(), answer.json["token"]).get("/api/auth/user").status_code == 200
    assert session.get("/api/auth/user").status_code == 401
    assert Api(app.test_client(), other["token"]).get("/api/auth/user").status_code == 401
    for gone, status in ((other["refresh_token"], 401), (answer.json["refresh_token"], 200)):
        assert anonymous.post("/api/auth/refresh", {"refresh_token": gone}).status_code == status
    assert log_in(app).status_code == 401
    assert log_in(app, password="another horse").status_code == 200
    assert (EMAIL, "password.changed", f"user:{answer.json['user']['id']}", "ok") in audited()
    assert "horse" not in str(audited())


NO_PASSWORDS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("wrong", "another horse", {}, "current_password"),
    (PASSWORD, "short", {}, "password"),
    (PASSWORD, EMAIL.upper(), {}, "password"),
    (PASSWORD, "changeme", {}, "password"),
    (PASSWORD, "x" * 1025, {}, "password"),
    (PASSWORD, "nul\0in it", {}, "password"),
    (PASSWORD, "another horse", {"role": "admin"}, "role"),
    (PASSWORD, "another horse", {"user_id": 1}, "user_id"),
)


def test_what_is_no_new_password(session: Api) -> None:
    for current, password, more, field in NO_PASSWORDS:
        answer = change(session, current, password, **more)
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])
    assert session.get("/api/auth/user").status_code == 200


def test_a_stolen_token_does_not_help_to_guess_the_password(session: Api, hub: ScriptedHub, limits) -> None:
    before = len(hub.passwords_checked)
    statuses = [change(session, f"guess {n}").status_code for n in range(2 * limits.login_attempts + 2)]
    assert set(statuses) == {422, 429}
    assert statuses[-1] == 429
    assert len(hub.passwords_checked) - before <= limits.login_attempts


def test_a_password_changed_meanwhile_wins(
    app: Flask, session: Api, user: int, hub: ScriptedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = hub.check

    def slow(password: str, password_hash: str) -> bool:
        right = check(password, password_hash)
        with hub.database.transaction() as tx:
            sessions.end_all(tx, user)
        return right

    monkeypatch.setattr(hub, "check", slow)
    assert log_in(app).json["code"] == "wrong_credentials"
    monkeypatch.undo()
    fresh = Api(app.test_client(), log_in(app).json["token"])
    monkeypatch.setattr(hub, "check", slow)
    assert change(fresh).status_code == 401
    monkeypatch.undo()
    assert log_in(app).status_code == 200
