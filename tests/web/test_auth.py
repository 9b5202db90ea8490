"""Login, renewal, logout."""

from __future__ import annotations

import pytest
from flask import Flask

from fileflux.clock import FakeClock
from fileflux.storage import users
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
    assert Api(app.test_client(), answer.json["token"]).get("/api/auth/user").json == answer.json["user"]
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
def test_a_refresh_token_gives_new_tokens_until_logout(app: Flask, anonymous: Api, clock: FakeClock) -> None:
    first = log_in(app).json
    clock.advance(3600)
    assert Api(app.test_client(), first["token"]).get("/api/auth/user").json["code"] == "token_expired"
    second = anonymous.post("/api/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    api = Api(app.test_client(), second.json["token"])
    assert api.get("/api/auth/user").status_code == 200
    assert anonymous.post("/api/auth/refresh", {"refresh_token": first["token"]}).status_code == 401
    assert api.post("/api/auth/logout").status_code == 204
    assert api.get("/api/auth/user").status_code == 401
    assert anonymous.post("/api/auth/refresh", {"refresh_token": second.json["refresh_token"]}).status_code == 401
    assert log_in(app).status_code == 200
