"""Errors become problem documents, and nothing of the inside gets out."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fileflux import errors as e
from fileflux.web import problems
from fileflux.web.problems import InvalidFieldsError, ThrottledError

pytestmark = pytest.mark.unit

RAISED: dict[str, Exception] = {}


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("test", static_folder=None)
    problems.install(app)

    @app.get("/raise")
    def view() -> str:
        raise RAISED["error"]

    return app.test_client()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (e.NotFoundError("no job 5"), 404, "not_found"),
        (e.ConflictError("taken"), 409, "conflict"),
        (e.AuthError("who?"), 401, "unauthenticated"),
        (e.ForbiddenError("no"), 403, "forbidden"),
        (e.RefusedPathError("bad"), 422, "refused_path"),
        (e.UnavailableError("away"), 503, "unavailable"),
        (e.WorkerDiedError("gone"), 503, "worker_died"),
        (e.OverloadedError("full"), 503, "overloaded"),
        (ThrottledError("slow down", 61.2), 429, "too_many_requests"),
        (InvalidFieldsError({"a": ["b"]}), 422, "invalid"),
    ],
)
def test_each_error_has_its_status_and_stable_code(
    client: FlaskClient, error: Exception, status: int, code: str
) -> None:
    RAISED["error"] = error
    answer = client.get("/raise")
    assert answer.content_type == "application/problem+json"
    assert (answer.status_code, answer.json["status"], answer.json["code"]) == (status, status, code)
    assert answer.json["detail"] == str(error)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert ("Retry-After" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    "error", [ValueError("secret detail"), e.LocalProtocolError("secret detail"), e.FluxError("secret detail")]
)
def test_what_went_wrong_inside_is_not_shown(client: FlaskClient, error: Exception) -> None:
    RAISED["error"] = error
    answer = client.get("/raise")
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_routes_and_methods_that_do_not_exist(client: FlaskClient) -> None:
    assert client.get("/nothing").json["code"] == "not_found"
    answer = client.post("/raise")
    assert answer.json["code"] == "method_not_allowed"
    assert "GET" in answer.headers["Allow"]
