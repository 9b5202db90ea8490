"""The refresh token of a browser, and the pages that may use it."""

from __future__ import annotations

import itertools
from http.cookies import SimpleCookie

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fileflux.storage import users
from tests.web.conftest import PASSWORD, ScriptedHub

OWN = "https://hub.example:8040"
BODY = {"email": "ann@example.org", "password": PASSWORD}
FOREIGN = [
    None,
    "null",
    "https://evil.example",
    "http://hub.example:8040",
    "https://hub.example",
    "https://hub.example:8041",
    "https://hub.example:8040.evil.example",
    "https://evil.hub.example:8040",
    f"{OWN}/",
    f"{OWN}, {OWN}",
    "",
]


@pytest.fixture
def browser(app: Flask, hub: ScriptedHub) -> FlaskClient:
    with hub.database.transaction() as tx:
        users.create(tx, BODY["email"], hub.hash(PASSWORD), "viewer")
    return app.test_client()


def post(
    client: FlaskClient, path: str, body: dict, origin: str | None = OWN, base: str = OWN, **headers: str
) -> TestResponse:
    sent = headers if origin is None else headers | {"Origin": origin}
    return client.post(path, json=body, base_url=base, headers=sent)


def cookie_of(answer: TestResponse) -> SimpleCookie:
    return SimpleCookie(answer.headers.get("Set-Cookie", ""))


def test_it_is_where_no_script_and_no_other_page_gets_at_it(browser: FlaskClient) -> None:
    answer = post(browser, "/api/auth/login", BODY | {"cookie": True})
    assert answer.status_code == 200
    assert answer.json["refresh_token"] is None
    morsel = cookie_of(answer)["fileflux_refresh"]
    assert morsel.value.startswith("ffr_")
    assert (morsel["path"], morsel["samesite"], morsel["max-age"]) == ("/api/auth", "Strict", str(7 * 24 * 3600))
    assert morsel["httponly"]
    assert morsel["secure"]
    assert not morsel["domain"]
    plain = post(browser, "/api/auth/login", BODY | {"cookie": True}, "http://localhost", "http://localhost")
    assert not cookie_of(plain)["fileflux_refresh"]["secure"]


def test_it_is_replaced_with_each_renewal_and_removed_by_logout(browser: FlaskClient) -> None:
    post(browser, "/api/auth/login", BODY | {"cookie": True})
    values = []
    for _ in range(3):
        answer = post(browser, "/api/auth/refresh", {})
        assert (answer.status_code, answer.json["refresh_token"]) == (200, None)
        values.append(cookie_of(answer)["fileflux_refresh"].value)
    assert len(set(values)) == 3
    out = post(browser, "/api/auth/logout", {}, Authorization=f"Bearer {answer.json['token']}")
    assert out.status_code == 204
    morsel = cookie_of(out)["fileflux_refresh"]
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("", "0", "/api/auth")
    assert post(browser, "/api/auth/refresh", {}).status_code == 401


def test_an_old_one_ends_the_session_and_is_removed(browser: FlaskClient, app: Flask) -> None:
    stolen = cookie_of(post(browser, "/api/auth/login", BODY | {"cookie": True}))["fileflux_refresh"].value
    assert post(browser, "/api/auth/refresh", {}).status_code == 200
    thief = app.test_client()
    thief.set_cookie("fileflux_refresh", stolen, domain="hub.example", path="/api/auth", secure=True)
    answer = post(thief, "/api/auth/refresh", {})
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_reused")
    assert cookie_of(answer)["fileflux_refresh"].value == ""
    assert post(browser, "/api/auth/refresh", {}).status_code == 401


def test_no_other_page_may_use_it(browser: FlaskClient, hub: ScriptedHub) -> None:
    token = post(browser, "/api/auth/login", BODY | {"cookie": True}).json["token"]
    checked = len(hub.passwords_checked)
    password = {"current_password": PASSWORD, "password": "another horse", "cookie": True}
    requests = (
        ("/api/auth/login", BODY | {"cookie": True}),
        ("/api/auth/refresh", {}),
        ("/api/auth/refresh", {"refresh_token": None}),
        ("/api/auth/password", password),
    )
    for origin, (path, body) in itertools.product(FOREIGN, requests):
        answer = post(browser, path, body, origin, Authorization=f"Bearer {token}")
        assert (answer.status_code, answer.json["code"]) == (403, "bad_origin"), (origin, path)
        assert "Set-Cookie" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert len(hub.passwords_checked) == checked
    assert post(browser, "/api/auth/refresh", {}).status_code == 200, "nothing was used up"


def test_a_form_cannot_send_it(browser: FlaskClient) -> None:
    post(browser, "/api/auth/login", BODY | {"cookie": True})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = browser.post("/api/auth/refresh", data="{}", content_type=kind, base_url=OWN, headers={"Origin": OWN})
        assert answer.status_code == 415


def test_a_token_in_the_body_comes_first_and_asks_for_no_origin(browser: FlaskClient) -> None:
    post(browser, "/api/auth/login", BODY | {"cookie": True})
    given = post(browser, "/api/auth/login", BODY, None).json["refresh_token"]
    answer = post(browser, "/api/auth/refresh", {"refresh_token": given}, None)
    assert answer.status_code == 200
    assert answer.json["refresh_token"].startswith("ffr_")
    assert "Set-Cookie" not in answer.headers
    assert post(browser, "/api/auth/refresh", {}).status_code == 200


def test_without_either_there_is_nothing_to_renew(browser: FlaskClient) -> None:
    assert post(browser, "/api/auth/refresh", {}).json["code"] == "unauthenticated"


def test_it_opens_no_route_by_itself(browser: FlaskClient) -> None:
    post(browser, "/api/auth/login", BODY | {"cookie": True})
    for method, path in (("GET", "/api/auth/user"), ("POST", "/api/auth/logout"), ("POST", "/api/auth/password")):
        answer = browser.open(path, method=method, json={}, base_url=OWN, headers={"Origin": OWN})
        assert answer.status_code == 401


def test_behind_a_proxy_the_origin_is_the_one_it_tells_of(browser: FlaskClient) -> None:
    default_port = post(
        browser, "/api/auth/login", BODY | {"cookie": True}, "https://hub.example", "https://hub.example:443"
    )
    assert default_port.status_code == 200
    upper = post(browser, "/api/auth/login", BODY | {"cookie": True}, "https://Hub.Example", "https://hub.example")
    assert upper.status_code == 200
