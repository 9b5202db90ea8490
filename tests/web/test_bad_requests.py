"""What scanners and clumsy scripts send, on every route there is: generated from the router and from the published description."""

from __future__ import annotations

import gzip
import io
import json
import re
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from fileflux.storage.pool import Database
from fileflux.web.access import AGENT_ROUTES
from fileflux.web.openapi import api_of
from tests.web.conftest import Api

STREAMS = {"/api/events", "/api/events/ws"}
NOT_AN_ID = (
    *("0", "-1", "1.5", "1e3", "0x1", "+1", "1%20OR%201=1", "1%00", "1%0a", "1;", "%2e%2e", "9" * 19, "9" * 400, "true", "null"),
    *("%D9%A1", "1,2", "[1]", "00000000-0000-0000-0000-000000000000", "'", "%ff"),
)  # fmt: skip
HOSTILE = (
    *("'", "''; DROP TABLE jobs; --", '" OR 1=1 --', "%", "_", "\\", "%_\\%", "%s", "%(limit)s", "$1", ":x", "?", "{key}", "{0}"),
    *("\\'; SELECT pg_sleep(9) --", "a\u202eb", "\U0001f600", "<img src=x onerror=alert(1)>", "{{7*7}}", "=1+1", "../../etc/passwd"),
)  # fmt: skip


class Untouched(io.RawIOBase):
    """A body that nobody may read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")

    readinto = read

    def tell(self) -> int:
        return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0


def lists_of(app: Flask) -> list[tuple[str, dict[str, Any]]]:
    """Path and query parameters of every route that takes some."""
    found = []
    for path, item in api_of(app).description()["paths"].items():
        named = {
            one["name"]: one["schema"] for one in item.get("get", {}).get("parameters", ()) if one.get("in") == "query"
        }
        if named and path not in STREAMS:
            found.append(
                (path.replace("{agent_id}", "1").replace("{job_id}", "1").replace("{transfer_id}", "1"), named)
            )
    return found


def ask(api: Api, path: str, /, **query: str) -> TestResponse:
    return api.client.get(path, query_string=query, headers={"Authorization": f"Bearer {api.token}"})


def contents(database: Database) -> dict[str, str]:
    """A digest of every table."""
    with database.transaction() as tx:
        names = [row[0] for row in tx.all("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return {
            name: str(tx.one(f"SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {name} t"))
            for name in names
        }


def test_what_is_no_id_is_a_404_on_every_route(app: Flask, admin: Api) -> None:
    with_ids = [rule for rule in app.url_map.iter_rules() if "<id:" in rule.rule]
    assert len(with_ids) > 20
    for rule in with_ids:
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            for text in NOT_AN_ID:
                path = re.sub(r"<id:\w+>", lambda _: text, rule.rule)  # noqa: B023  # called at once
                answer = admin.call(method, path)
                assert (answer.status_code, answer.json["code"]) == (404, "not_found"), (method, path)
            missing = admin.call(
                method, re.sub(r"<id:\w+>", "424242", rule.rule), {} if method in ("POST", "PATCH") else None
            )
            assert missing.status_code in (404, 422), (method, rule.rule)


def test_a_parameter_that_comes_twice_is_refused(app: Flask, admin: Api) -> None:
    for path, parameters in lists_of(app):
        for name, schema in parameters.items():
            if schema.get("type") == "array":
                continue
            answer = admin.get(f"{path}?{name}=1&{name}=2")
            assert answer.status_code in (404, 422), (path, name)
            if answer.status_code == 422:
                assert name in answer.json["errors"], (path, name)


def test_no_text_of_a_query_is_code(app: Flask, admin: Api, job_body: dict[str, Any], database: Database) -> None:
    assert admin.post("/api/jobs", job_body).status_code == 201
    before = contents(database)
    for path, parameters in lists_of(app):
        for name, schema in parameters.items():
            bounded = (
                name in ("sort", "limit", "cursor") or "enum" in schema or schema.get("type") in ("integer", "boolean")
            )
            for text in HOSTILE[:3] if bounded else HOSTILE:
                answer = ask(admin, path, **{name: text}, **({"run_id": "1"} if name == "filename" else {}))
                assert answer.status_code in (200, 404, 422, 503), (path, name, text)
                if bounded:
                    assert answer.status_code in (404, 422, 503), (path, name, text)
                elif answer.status_code == 200 and "items" in answer.json and name != "path":
                    # A wildcard is a character like any other.
                    assert answer.json["items"] == [], (path, name, text)
    assert contents(database) == before


def test_texts_of_bodies_are_kept_as_they_are(admin: Api, job_body: dict[str, Any]) -> None:
    for number, text in enumerate(HOSTILE):
        chosen = {"name": f"{number} {text}", "description": text, "source_path": f"/srv/{text}", "tags": [text]}
        made = admin.post("/api/jobs", job_body | chosen)
        assert made.status_code == 201, made.text
        assert admin.get(f"/api/jobs/{made.json['id']}").json.items() >= chosen.items()
        found = ask(admin, "/api/jobs", tag=text).json["items"]
        assert [item["id"] for item in found] == [made.json["id"]], text
        unknown = admin.post("/api/jobs", job_body | {text: 1})
        assert (unknown.status_code, list(unknown.json["errors"])) == (422, [text])


def test_no_header_is_made_of_what_others_wrote(app: Flask, admin: Api, job_body: dict[str, Any]) -> None:
    injected = "a\r\nSet-Cookie: x=1"
    for body in ({"name": injected}, {"name": 'é"; filename=x\u2028', "description": injected}):
        assert admin.post("/api/agents", body).status_code == 422
    made = admin.post("/api/jobs", job_body | {"description": injected, "source_path": f"/srv/{injected}"})
    assert made.status_code == 201
    answers = [
        made,
        admin.get("/api/jobs"),
        admin.get(f"/api/jobs/{made.json['id']}"),
        admin.post(f"/api/jobs/{made.json['id']}/run"),
    ]
    disable = f"/api/jobs/{made.json['id']}/disable"
    answers += [
        admin.call("POST", disable, **{where: "a\u00e9; Set-Cookie=x"})
        for where in ("X-Request-ID", "Idempotency-Key", "If-Match", "Origin", "X-Forwarded-Host")
    ]
    for answer in answers:
        assert "Set-Cookie" not in answer.headers
        for name, value in answer.headers:
            assert value.isascii(), name
            assert "x=1" not in value, name
            assert "Set-Cookie" not in value, name


def test_nothing_changes_by_being_read(app: Flask, admin: Api, database: Database, job_body: dict[str, Any]) -> None:
    made = admin.post("/api/jobs", job_body).json
    admin.post(f"/api/jobs/{made['id']}/run")
    before = contents(database)
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and rule.rule not in STREAMS]
    for rule in rules:
        if ("GET", rule.rule) in AGENT_ROUTES:
            continue
        path = re.sub(r"<id:\w+>", "1", re.sub(r"<(wheel_)?name>", "x", rule.rule))
        for headers in (
            {},
            {"X-HTTP-Method-Override": "DELETE"},
            {"X-HTTP-Method": "POST", "X-Method-Override": "PATCH"},
        ):
            assert admin.call("GET", f"{path}?_method=DELETE" if headers else path, **headers).status_code < 504, path
    assert contents(database) == before


def test_a_cookie_opens_nothing(app: Flask, as_role, anonymous: Api) -> None:
    as_role("admin")
    login = {"email": "admin@example.org", "password": "correct horse", "cookie": True}
    client = app.test_client()
    assert client.post("/api/auth/login", json=login, headers={"Origin": "http://localhost"}).status_code == 200
    assert client.get_cookie("fileflux_refresh", path="/api/auth") is not None
    for method, path in (
        ("GET", "/api/auth/user"),
        ("POST", "/api/agents"),
        ("DELETE", "/api/agents/1"),
        ("POST", "/api/auth/logout"),
    ):
        assert client.open(path, method=method, json={"name": "x"}).status_code == 401, path
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = client.post(
            "/api/auth/refresh", data=b"{}", content_type=content_type, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code in (403, 415), content_type


ORIGINS = (
    *("null", "https://evil.example", "https://localhost.evil.example", "http://localhost:81", "http://localhost"),
)
UNREAD = (
    ({"Content-Type": "application/json"}, 2**30, 413),
    ({"Content-Type": "application/json"}, 2**70, 413),
    ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 5000, 415),
    ({"Content-Type": "multipart/form-data; boundary=x"}, 2**20 - 1, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 2**20 - 1, 415),
    ({"Content-Type": "text/plain"}, 100, 415),
    ({"Content-Type": "application/json; charset=utf-7"}, 100, 415),
    ({"Content-Type": "application/json; charset=utf-16"}, 100, 415),
)
NO_REQUESTS = (
    gzip.compress(b"[" + b"0," * 10**6),
    b"--x\r\n\r\n\r\n" * 1000,
    b'{"name": "a", "name": "b"}',
    b'\xef\xbb\xbf{"name": "a"}',
    '{"name": "a"}'.encode("utf-16"),
    b'{"name": "a"',
    b'{"name": 1e999}',
    b'{"name": "\\ud800"}',
    b'{"name": "a\\u0000"}',
    b'{"name": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    json.dumps({f"k{number}": 1 for number in range(10_000)}).encode(),
    b"null",
    b"",
)


def test_no_origin_is_let_in_anywhere(app: Flask, admin: Api) -> None:
    for rule in app.url_map.iter_rules():
        if rule.rule in STREAMS or any(route == rule.rule for _, route in AGENT_ROUTES):
            continue
        path = re.sub(r"<id:\w+>", "424242", re.sub(r"<(wheel_)?name>", "x", rule.rule))
        for origin in ORIGINS:
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            for answer in (admin.call("OPTIONS", path, **asked), admin.call("HEAD", path, Origin=origin)):
                assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")], path
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_bad_body_is_refused_before_it_is_read(app: Flask, admin: Api) -> None:
    for headers, length, expected in UNREAD:
        for path in ("/api/agents", "/api/auth/login", "/api/jobs"):
            sent = {"Authorization": f"Bearer {admin.token}", **headers}
            claimed = {"CONTENT_LENGTH": str(length)}
            answer = app.test_client().post(path, input_stream=Untouched(), headers=sent, environ_overrides=claimed)
            assert answer.status_code == expected, (path, headers, length)


def test_a_body_that_is_no_request_is_a_4xx(app: Flask, admin: Api) -> None:
    sent = {"Authorization": f"Bearer {admin.token}"}
    for body in NO_REQUESTS:
        for path in ("/api/agents", "/api/auth/login", "/api/jobs", "/api/tokens"):
            answer = app.test_client().post(path, data=body, content_type="application/json", headers=sent)
            assert answer.status_code in (400, 422), (path, body[:40])
            assert len(answer.data) < 20_000
    assert admin.get("/api/agents").json["items"] == []
