"""Users and their administrators."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask

from fileflux.storage import users as rows
from tests.web.conftest import PASSWORD, Api, ScriptedHub

NEW = {"email": "Bob@Example.org", "password": "a good long one", "role": "operator", "name": "Bob"}
SHOWN = {"id", "email", "name", "role", "disabled", "created_at", "last_login_at"}


@pytest.fixture
def bob(admin: Api) -> dict[str, Any]:
    answer = admin.post("/api/users", NEW)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json
    return made


def log_in(app: Flask, email: str = "bob@example.org", password: str = str(NEW["password"])):
    return app.test_client().post("/api/auth/login", json={"email": email, "password": password})


@pytest.fixture
def as_bob(app: Flask, bob: dict[str, Any]) -> Api:
    return Api(app.test_client(), log_in(app).json["token"])


def change(api: Api, user: dict[str, Any], **body: Any):
    return api.call("PATCH", f"/api/users/{user['id']}", body)


def test_a_user_from_first_to_last(app: Flask, admin: Api, bob: dict[str, Any], audited) -> None:
    assert set(bob) == SHOWN
    assert (bob["email"], bob["name"], bob["role"], bob["disabled"]) == ("bob@example.org", "Bob", "operator", False)
    assert bob["last_login_at"] is None
    assert admin.get(f"/api/users/{bob['id']}").json == bob
    assert admin.post("/api/users", NEW | {"email": "BOB@example.org"}).status_code == 409
    assert log_in(app).status_code == 200
    assert admin.get(f"/api/users/{bob['id']}").json["last_login_at"] is not None
    changed = change(admin, bob, name="Robert", email="rob@example.org").json
    assert (changed["name"], changed["email"], changed["role"]) == ("Robert", "rob@example.org", "operator")
    assert log_in(app, "rob@example.org").status_code == 200
    assert admin.delete(f"/api/users/{bob['id']}").status_code == 204
    assert admin.get(f"/api/users/{bob['id']}").status_code == 404
    assert admin.delete(f"/api/users/{bob['id']}").status_code == 404
    assert log_in(app, "rob@example.org").status_code == 401
    target = f"user:{bob['id']}"
    assert [entry[1] for entry in audited() if entry[2] == target] == [
        "user.created", "login", "user.changed", "login", "user.deleted",
    ]  # fmt: skip
    assert str(NEW["password"]) not in str(audited())


CHANGES: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"role": "viewer"}, False),
    ({"disabled": True}, False),
    ({"password": "another good one"}, False),
    ({"role": "operator"}, True),
    ({"disabled": False}, True),
    ({"name": "Robert", "email": "rob@example.org"}, True),
    ({}, True),
)


def test_what_ends_the_sessions_of_a_user(app: Flask, admin: Api) -> None:
    for number, (body, lives) in enumerate(CHANGES):
        email = f"bob{number}@example.org"
        bob = admin.post("/api/users", NEW | {"email": email}).json
        tokens = log_in(app, email).json
        assert change(admin, bob, **body).status_code == 200
        assert (Api(app.test_client(), tokens["token"]).get("/api/auth/user").status_code == 200) == lives, body
        renewed = app.test_client().post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert (renewed.status_code == 200) == lives, body
    assert admin.get("/api/users").status_code == 200


def test_a_user_who_was_disabled_comes_back_with_the_old_keys_and_no_session(
    app: Flask, admin: Api, as_bob: Api, bob: dict[str, Any]
) -> None:
    value = as_bob.post("/api/keys", {"name": "k", "scopes": ["read"]}).json["value"]
    key = Api(app.test_client(), value)
    assert key.get("/api/auth/user").status_code == 200
    assert change(admin, bob, disabled=True).json["disabled"] is True
    assert (key.get("/api/auth/user").status_code, log_in(app).status_code) == (401, 401)
    assert change(admin, bob, disabled=False).json["disabled"] is False
    assert (key.get("/api/auth/user").status_code, log_in(app).status_code) == (200, 200)
    assert as_bob.get("/api/auth/user").status_code == 401
    assert admin.delete(f"/api/users/{bob['id']}").status_code == 204
    assert key.get("/api/auth/user").status_code == 401


def test_the_last_admin_stays(app: Flask, admin: Api, bob: dict[str, Any]) -> None:
    me = {"id": admin.get("/api/auth/user").json["id"]}
    for body in ({"role": "viewer"}, {"disabled": True}, {"role": "operator", "name": "x"}):
        answer = change(admin, me, **body)
        assert (answer.status_code, answer.json["code"]) == (409, "last_admin")
    answer = admin.delete(f"/api/users/{me['id']}")
    assert (answer.status_code, answer.json["code"]) == (409, "last_admin")
    assert change(admin, me, name="Me", role="admin", disabled=False).status_code == 200
    assert change(admin, bob, role="admin", disabled=True).status_code == 200
    assert change(admin, me, role="viewer").json["code"] == "last_admin", "a disabled one does not count"
    assert change(admin, bob, disabled=False).status_code == 200
    assert change(admin, me, role="viewer").status_code == 200
    assert admin.get("/api/users").status_code == 401
    other = Api(app.test_client(), log_in(app).json["token"])
    assert other.delete(f"/api/users/{bob['id']}").json["code"] == "last_admin"
    assert other.delete(f"/api/users/{me['id']}").status_code == 204


def test_two_admins_cannot_remove_each_other_at_once(app: Flask, admin: Api, hub: ScriptedHub) -> None:
    me = admin.get("/api/auth/user").json["id"]
    for number in range(4):
        other = admin.post("/api/users", NEW | {"email": f"o{number}@example.org", "role": "admin"}).json["id"]
        acts = ((me, {"disabled": True}), (other, {"role": "viewer"}))
        answers: list[int] = []
        gate = threading.Barrier(2)

        def run(api: Api, target: int, body: dict[str, Any], gate: threading.Barrier, answers: list[int]) -> None:
            gate.wait()
            answers.append(change(api, {"id": target}, **body).status_code)

        threads = [
            threading.Thread(target=run, args=(Api(app.test_client(), admin.token), *act, gate, answers))
            for act in acts
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        with hub.database.transaction() as tx:
            assert rows.count_admins(tx) == 1, answers
            tx.execute("DELETE FROM users WHERE id <> %s", (me,))
            tx.execute("UPDATE users SET disabled_at = NULL, role = 'admin'")
        admin = Api(app.test_client(), log_in(app, "admin@example.org", PASSWORD).json["token"])


NO_USERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"email": "nobody"}, "email"),
    ({"email": "a b@c"}, "email"),
    ({"email": "@c"}, "email"),
    ({"email": "a@b@c"}, "email"),
    ({"email": "a\r\n@b"}, "email"),
    ({"email": "a" * 250 + "@b.cd"}, "email"),
    ({"email": None}, "email"),
    ({"password": "short"}, "password"),
    ({"password": "bob@example.org"}, "password"),
    ({"password": "changeme"}, "password"),
    ({"role": "root"}, "role"),
    ({"role": "ADMIN"}, "role"),
    ({"role": ["admin"]}, "role"),
    ({"name": "x" * 201}, "name"),
    ({"name": "a\0"}, "name"),
    ({"id": 1}, "id"),
    ({"session_version": 9}, "session_version"),
    ({"password_hash": "x"}, "password_hash"),
    ({"disabled_at": None}, "disabled_at"),
)


def test_what_is_no_user(admin: Api, bob: dict[str, Any]) -> None:
    for body, field in NO_USERS:
        for answer in (admin.post("/api/users", NEW | body), change(admin, bob, **body)):
            assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_a_role_in_another_body_makes_nobody_an_admin(as_role) -> None:
    api = as_role("viewer")
    for path in ("/api/auth/password", "/api/keys", "/api/agents", "/api/auth/login"):
        assert api.post(path, {"role": "admin", "name": "x", "scopes": ["all"]}).status_code in (403, 422)
    assert api.get("/api/auth/user").json["role"] == "viewer"


def test_the_list_is_filtered_and_sorted(admin: Api) -> None:
    for number, role in enumerate(("viewer", "operator", "viewer", "auditor")):
        body = NEW | {"email": f"u{9 - number}_{role}@example.org", "role": role}
        assert admin.post("/api/users", body).status_code == 201

    def emails(query: str) -> list[str]:
        answer = admin.get(f"/api/users?{query}")
        assert answer.status_code == 200, answer.text
        return [item["email"].partition("@")[0] for item in answer.json["items"]]

    assert emails("") == ["admin", "u9_viewer", "u8_operator", "u7_viewer", "u6_auditor"]
    assert emails("role=viewer") == ["u9_viewer", "u7_viewer"]
    assert emails("role=viewer&role=auditor&sort=email") == ["u6_auditor", "u7_viewer", "u9_viewer"]
    assert emails("email=_VIEWER") == ["u9_viewer", "u7_viewer"]
    assert emails("email=%25") == []
    assert emails("sort=-last_login_at")[-1] == "admin"
    walked: list[str] = []
    cursor = ""
    while True:
        page = admin.get(f"/api/users?sort=email&limit=2{cursor}").json
        walked += [item["email"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert walked == sorted(walked)
    assert len(walked) == 5
    for bad in ("sort=password_hash", "role=root", "role=", "limit=x", "cursor=junk", "disabled=true"):
        assert admin.get(f"/api/users?{bad}").status_code == 422, bad


def test_a_password_is_hashed_by_a_worker_or_not_at_all(admin: Api, hub: ScriptedHub, monkeypatch) -> None:
    from fileflux.errors import OverloadedError

    def busy(password: str) -> str:
        raise OverloadedError("no worker")

    monkeypatch.setattr(hub, "hash", busy)
    assert admin.post("/api/users", NEW).status_code == 503
    assert len(admin.get("/api/users").json["items"]) == 1
