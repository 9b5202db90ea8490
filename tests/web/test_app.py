"""What holds for every answer, and the published description of the API."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest
import structlog
from flask import Flask
from structlog.testing import capture_logs

from fileflux.errors import ConfigError
from fileflux.web.app import MAX_BODY, create_app
from fileflux.web.context import services
from tests.web.conftest import Api


@pytest.mark.parametrize("path", ["/", "/healthz", "/install.sh", "/api/agents", "/nothing", "/api/agents/x"])
def test_headers_of_every_answer(anonymous: Api, path: str) -> None:
    answer = anonymous.get(path)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-ID"]
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_request_ids_are_echoed_when_harmless(anonymous: Api) -> None:
    assert anonymous.call("GET", "/healthz", **{"X-Request-ID": "abc-1.2_3"}).headers["X-Request-ID"] == "abc-1.2_3"
    for bad in ("a b", "<x>", "a" * 65, "é"):
        assert anonymous.call("GET", "/healthz", **{"X-Request-ID": bad}).headers["X-Request-ID"] != bad
    refused = anonymous.call("GET", "/api/agents", **{"X-Request-ID": "mine"})
    assert refused.json["request_id"] == "mine"


def test_no_origin_is_let_in(admin: Api) -> None:
    for origin in ("null", "https://evil.example"):
        answer = admin.call("GET", "/api/agents", Origin=origin)
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_bodies_are_bounded(anonymous: Api) -> None:
    big = anonymous.client.post("/api/auth/login", data=b" " * (MAX_BODY + 1), content_type="application/json")
    assert (big.status_code, big.json["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "path", ["/static/..%2f..%2fetc/passwd", "/static//etc/passwd", "/..%5c..%5cx", "/%00", "/api/docs/../../x"]
)
def test_no_files_are_served(anonymous: Api, path: str) -> None:
    assert anonymous.get(path).status_code == 404


def test_the_description_covers_every_route(app: Flask, admin: Api, anonymous: Api) -> None:
    assert anonymous.get("/api/openapi.json").status_code == 401
    spec = admin.get("/api/openapi.json").json
    assert spec["openapi"].startswith("3.1")
    assert spec["security"] == [{"token": []}]
    described = {
        (method.upper(), path) for path, item in spec["paths"].items() for method in item if method != "parameters"
    }
    routes = {
        (method, re.sub(r"<(?:id:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert described == routes - {("GET", "/api/openapi.json")}
    assert spec["paths"]["/api/runs/{run_id}"]["parameters"][0]["schema"]["type"] == "integer"
    assert "JobIn" in spec["components"]["schemas"]


@pytest.fixture
def own_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """structlog as it is before anybody has set it up: other tests of this process may have left their level."""
    before = structlog.get_config()
    structlog.reset_defaults()
    monkeypatch.setattr("fileflux.web.app.requests_log", structlog.get_logger())
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("own_log")
def test_each_request_is_noted_with_its_route_and_nothing_of_its_content(admin: Api, anonymous: Api) -> None:
    with capture_logs() as logs:
        admin.post("/api/agents", {"name": "private-name"})
        admin.get("/api/agents/424242?limit=private")
        anonymous.get("/private/path")
        anonymous.get("/healthz")
    noted = [entry for entry in logs if entry["event"] == "request"]
    assert [(one["log_level"], one["method"], one["route"], one["status"]) for one in noted] == [
        ("info", "POST", "/api/agents", 201),
        ("debug", "GET", "/api/agents/<id:agent_id>", 404),
        ("debug", "GET", "", 404),
    ]
    assert all(one["milliseconds"] >= 0 for one in noted)
    assert "private" not in str(logs)
    assert admin.token not in str(logs)


def test_a_guessable_secret_is_refused(app: Flask) -> None:
    with app.app_context():
        good = services().deps
    for secret in (b"", b"changeme"):
        with pytest.raises(ConfigError):
            create_app(dataclasses.replace(good, secret=secret))
