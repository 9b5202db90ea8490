"""The published description: valid, complete, and true to what is enforced."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from flask import Flask

from fileflux.web import access, idempotency
from fileflux.web.openapi import api_of, described_path
from fileflux.web.paging import ListQuery
from scripts.api_reference import PAGE, render
from tests.web.conftest import Api

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture
def spec(app: Flask) -> dict[str, Any]:
    return api_of(app).description()


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(m.upper(), path, item[m]) for path, item in spec["paths"].items() for m in METHODS if m in item]


def test_it_is_valid(spec: dict[str, Any], admin: Api) -> None:
    # The meta-schema of OpenAPI 3.1 as its authors publish it.
    schemathesis.openapi.from_dict(spec).validate()
    for name, schema in spec["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name
    served = admin.get("/api/openapi.json")
    assert served.json == spec
    assert admin.get("/api/openapi.json").data == served.data


def test_every_reference_leads_somewhere(spec: dict[str, Any]) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                _, *parts = node["$ref"].split("/")
                target: Any = spec
                for part in parts:
                    target = target[part]
            for below in node.values():
                walk(below)
        elif isinstance(node, list):
            for below in node:
                walk(below)

    walk(spec)
    assert "x-etag" not in str(spec)


def test_every_operation_says_who_may_call_it_and_what_goes_wrong(spec: dict[str, Any]) -> None:
    rules = {(method, described_path(path)): rule for (method, path), rule in access.RULES.items()}
    public = {(method, described_path(path)) for method, path in access.PUBLIC}
    names = [operation["operationId"] for _, _, operation in operations(spec)]
    assert len(names) == len(set(names))
    for method, path, operation in operations(spec):
        about = (method, path)
        assert operation["tags"], about
        assert operation["summary"], about
        responses = operation["responses"]
        assert responses["default"] == {"$ref": "#/components/responses/DEFAULT_ERROR"}, about
        assert any(status.startswith(("2", "3", "1")) for status in responses), about
        if about in public:
            assert operation["security"] == [], about
            continue
        rule = rules[about]
        assert all(role.value in operation["description"] for role in rule.roles), about
        assert {"token": []} in operation["security"], about
        assert ({"key": []} in operation["security"]) == (rule.scope is not None), about
        assert rule.scope is None or f"`{rule.scope}`" in operation["description"], about
    for response in spec["components"]["responses"].values():
        assert list(response.get("content", {"application/problem+json": {}})) == ["application/problem+json"]


def test_headers_stand_where_they_count(spec: dict[str, Any]) -> None:
    with_key, with_match = set(), set()
    for method, path, operation in operations(spec):
        named = {one.get("$ref", "").rsplit("/", 1)[-1] for one in operation["parameters"]}
        assert "RequestId" in named
        if "IdempotencyKey" in named:
            with_key.add((method, path))
        if "IfMatch" in named:
            with_match.add((method, path))
            assert "412" in operation["responses"]
        if "IfNoneMatch" in named:
            assert (method, path) == ("GET", "/api/jobs/{job_id}")
            assert "304" in operation["responses"]
    one = "/api/jobs/{job_id}"
    assert with_match == {("PATCH", one), ("DELETE", one), ("POST", f"{one}/enable"), ("POST", f"{one}/disable")}
    assert with_key == {(m, path) for m, path, _ in operations(spec) if idempotency.applies(m, path)}


def test_requests_refuse_what_they_do_not_know(spec: dict[str, Any]) -> None:
    schemas = spec["components"]["schemas"]
    for name in ("JobIn", "JobPatch", "RetrySchema".removesuffix("Schema"), "RetryPatch", "AgentIn", "TokenIn"):
        assert schemas[name]["additionalProperties"] is False, name
    assert schemas["JobPatch"].get("required", []) == []
    assert "default" not in str(schemas["JobPatch"])
    assert schemas["JobIn"]["properties"]["parallel"] == {"type": "integer", "default": 8, "minimum": 1, "maximum": 64}
    name = schemas["JobIn"]["properties"]["name"]
    assert (name["minLength"], name["maxLength"]) == (1, 200)
    assert re.search(name["pattern"], "a\nb") is None
    assert re.search(name["pattern"], "a b") is not None


def test_lists_name_their_orders_and_filters(spec: dict[str, Any]) -> None:
    parameters = {one["name"]: one for one in spec["paths"]["/api/runs"]["get"]["parameters"] if "name" in one}
    assert set(parameters) == {"limit", "cursor", "sort", "job_id", "status", "agent_id", "since", "until"}
    assert parameters["sort"]["schema"]["enum"] == [
        "id", "-id", "created_at", "-created_at", "started_at", "-started_at", "ended_at", "-ended_at",
    ]  # fmt: skip
    assert parameters["status"]["schema"]["items"]["enum"][0] == "queued"
    assert parameters["since"]["schema"]["format"] == "date-time"
    for field in ListQuery().fields:
        assert not parameters[field].get("required")


def test_the_reference_is_what_the_code_says(spec: dict[str, Any]) -> None:
    current = PAGE.read_text(encoding="utf-8") == render(spec)
    assert current, "docs/api.md is out of date: run .venv/bin/python scripts/api_reference.py"
