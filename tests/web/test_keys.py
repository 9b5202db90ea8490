"""API keys: what they open is tested in test_access.py, here their life."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import Flask

from fileflux.clock import FakeClock
from tests.web.conftest import Api

SHOWN = {
    "id", "user_id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at",
}  # fmt: skip


def make(api: Api, **more: object):
    return api.post("/api/keys", {"name": "nightly", "scopes": ["runs:read", "self:read"]} | more)


def test_the_value_is_shown_once(app: Flask, as_role, clock: FakeClock, audited) -> None:
    api = as_role("operator")
    answer = make(api)
    assert answer.status_code == 201
    key, value = answer.json["key"], answer.json["value"]
    assert set(key) == SHOWN
    assert value.startswith("ffk_")
    assert value.startswith(key["prefix"])
    assert key["scopes"] == ["runs:read", "self:read"]
    assert datetime.fromisoformat(key["expires_at"]) == clock.utc_now() + timedelta(days=90)
    listed = api.get("/api/keys")
    assert listed.json["items"] == [key]
    assert value not in listed.text + str(audited())
    assert ("operator@example.org", "key.created", f"key:{key['id']}", "ok") in audited()
    script = Api(app.test_client(), value)
    who = script.get("/api/auth/user").json
    assert (who["via"], who["scopes"], who["role"]) == ("key", ["runs:read", "self:read"], "operator")
    assert api.get("/api/keys").json["items"][0]["last_used_at"] is not None


def test_what_is_done_with_a_key_says_so_in_the_audit_log(app: Flask, admin: Api, audited) -> None:
    made = make(admin, scopes=["agents:write"]).json
    assert Api(app.test_client(), made["value"]).post("/api/agents", {"name": "web-1"}).status_code == 201
    (entry,) = admin.get("/api/audit?action=agent.created").json["items"]
    assert entry["actor"] == "admin@example.org"
    assert entry["detail"]["key"] == made["key"]["id"]
    assert made["value"] not in str(audited())


def test_it_ends_by_its_time_or_by_revocation(app: Flask, as_role, clock: FakeClock) -> None:
    api = as_role("viewer")
    one, two = (make(api, expires_in_days=days).json for days in (1, 2))
    first, second = (Api(app.test_client(), made["value"]) for made in (one, two))
    clock.advance(24 * 3600)
    assert (first.get("/api/auth/user").status_code, second.get("/api/auth/user").status_code) == (401, 200)
    api = as_role("viewer")
    for _ in range(2):
        assert api.delete(f"/api/keys/{two['key']['id']}").status_code == 204
    assert second.get("/api/auth/user").status_code == 401
    assert [item["revoked_at"] is None for item in api.get("/api/keys").json["items"]] == [True, False]


def test_logout_and_a_new_password_leave_it_alone(app: Flask, as_role) -> None:
    api = as_role("viewer")
    script = Api(app.test_client(), make(api).json["value"])
    assert api.post("/api/auth/logout?everywhere=true").status_code == 204
    assert script.get("/api/auth/user").status_code == 200


def test_it_belongs_to_its_user(as_role, admin: Api) -> None:
    viewer, operator = as_role("viewer"), as_role("operator")
    key = make(viewer).json["key"]
    assert operator.get("/api/keys").json["items"] == []
    assert operator.get(f"/api/keys?user_id={key['user_id']}").status_code == 403
    assert viewer.get(f"/api/keys?user_id={key['user_id']}").json["items"] == [key]
    assert operator.delete(f"/api/keys/{key['id']}").status_code == 404
    assert operator.delete("/api/keys/424242").status_code == 404
    assert admin.get("/api/keys").json["items"] == []
    assert admin.get(f"/api/keys?user_id={key['user_id']}").json["items"] == [key]
    assert admin.delete(f"/api/keys/{key['id']}").status_code == 204


NO_KEYS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"scopes": []}, "scopes"),
    ({"scopes": ["runs:delete"]}, "scopes.0"),
    ({"scopes": ["ALL"]}, "scopes.0"),
    ({"scopes": "all"}, "scopes"),
    ({"scopes": [None]}, "scopes.0"),
    ({"scopes": ["all"] * 1000}, "scopes"),
    ({"name": ""}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"expires_in_days": 0}, "expires_in_days"),
    ({"expires_in_days": 366}, "expires_in_days"),
    ({"expires_in_days": 1.5}, "expires_in_days"),
    ({"user_id": 1}, "user_id"),
    ({"role": "admin"}, "role"),
)


def test_what_is_no_key(as_role) -> None:
    api = as_role("viewer")
    for more, field in NO_KEYS:
        answer = make(api, **more)
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_the_longest_life_is_a_setting(admin: Api, clock: FakeClock) -> None:
    assert admin.call("PATCH", "/api/settings", {"max_key_days": 7}).status_code == 200
    assert make(admin, expires_in_days=8).status_code == 422
    assert make(admin, expires_in_days=7).status_code == 201
    key = make(admin).json["key"]
    assert datetime.fromisoformat(key["expires_at"]) == clock.utc_now() + timedelta(days=7)


def test_a_scope_twice_is_one(admin: Api) -> None:
    assert make(admin, scopes=["read", "runs:read", "read"]).json["key"]["scopes"] == ["read", "runs:read"]
