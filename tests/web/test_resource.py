"""Strict bodies and ids, on a small app of its own."""

from __future__ import annotations

import json
from typing import Any

import marshmallow as ma
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_smorest import Api

from fileflux.web import problems
from fileflux.web.fields import Text, Whole
from fileflux.web.paging import PageQuery
from fileflux.web.resource import MAX_ID, IdConverter, Resource

pytestmark = pytest.mark.unit


class Inner(ma.Schema):
    count = Whole(0, 5)


class Body(ma.Schema):
    name = Text(low=1, high=5, required=True)
    inner = ma.fields.Nested(Inner)


@pytest.fixture
def client() -> FlaskClient:
    app = Flask("test", static_folder=None)
    app.config.update(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.1.0", MAX_CONTENT_LENGTH=1024)
    app.url_map.converters["id"] = IdConverter
    things = Resource("things", "for the test")

    @things.route("POST", "/things", body=Body, status=201)
    def make(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @things.route("GET", "/things", query=PageQuery)
    def listing(query: dict[str, Any]) -> dict[str, Any]:
        return query

    @things.route("GET", "/things/<id:thing_id>")
    def show(thing_id: int) -> dict[str, Any]:
        return {"id": thing_id}

    api = Api(app)
    api.register_converter(IdConverter, lambda _: {"type": "integer"})
    api.register_blueprint(things.blueprint)
    problems.install(app)
    return app.test_client()


def test_a_good_body_and_query(client: FlaskClient) -> None:
    assert client.post("/things", json={"name": "a"}).json == {"name": "a"}
    assert client.get("/things?limit=500").json == {"limit": 200, "cursor": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name": "a", "name": "b"}',
        b'{"name": "a", "inner": {"count": 1, "count": 2}}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'\xef\xbb\xbf{"name": "a"}',
        b'{"name": "\xff"}',
        '{"name": "a"}'.encode("utf-16"),
        b"[" * 500,
        b'{"inner": {"count": ' + b"9" * 900 + b"9" * 40 + b"x}}",
    ],
)
def test_a_body_that_is_not_json_is_a_400(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/things", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=utf-7"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
def test_a_body_of_another_kind_is_a_415(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.post("/things", data=b'{"name": "a"}', headers=headers)
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_a_body_that_is_too_long_is_a_413(client: FlaskClient) -> None:
    answer = client.post("/things", data=b'"' + b"a" * 2000 + b'"', content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "a", "role": "admin"}, "role"),
        ({"name": "a", "inner": {"count": 9}}, "inner.count"),
        ({"name": "a", "inner": {"x": 1}}, "inner.x"),
        ({"name": "a", "inner": 5}, "inner"),
        ([1], "_schema"),
        ("text", "_schema"),
        (None, "_schema"),
    ],
)
def test_errors_name_the_field(client: FlaskClient, body: Any, field: str) -> None:
    answer = client.post("/things", data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]


def test_unknown_query_fields_are_refused(client: FlaskClient) -> None:
    answer = client.get("/things?limit=1&sort=name;drop")
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["sort"]


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "1%20OR%201=1", "1%00", "9" * 19, "9" * 400, str(MAX_ID + 1), "%D9%A1", "0x1"]
)
def test_what_cannot_be_an_id_is_a_404(client: FlaskClient, text: str) -> None:
    assert client.get(f"/things/{text}").status_code == 404


def test_the_largest_id_is_one(client: FlaskClient) -> None:
    assert client.get(f"/things/{MAX_ID}").json == {"id": MAX_ID}


def test_a_method_override_header_changes_nothing(client: FlaskClient) -> None:
    answer = client.get("/things", headers={"X-HTTP-Method-Override": "POST"})
    assert answer.status_code == 200
