from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask

from fileflux.actors import housekeeping
from fileflux.storage import agents as rows
from fileflux.storage import tokens, users
from fileflux.storage.pages import Ask
from fileflux.web import temporary_agents
from tests.web.conftest import PASSWORD, Api, ScriptedHub


@pytest.fixture
def operator(as_role) -> Api:
    return as_role("operator")


def test_it_is_made_for_a_day_and_taken_away(operator: Api, hub: ScriptedHub, clock, audited) -> None:
    made = operator.post("/api/temporary-agents", {"name": "laptop"})
    assert made.status_code == 201
    agent, value = made.json["agent"], made.json["value"]
    assert re.fullmatch(r"operator@laptop-[0-9a-f]{4}", agent["name"])
    assert (agent["temporary"], agent["created_by"], agent["status"]) == (True, "operator@example.org", "new")
    with hub.database.transaction() as tx:
        # The token's day is the app's clock's, which is behind the database's here.
        token = tokens.LIST.page(tx, Ask(10, filters={"agent_id": agent["id"]})).rows[0]
    assert token.expires_at == clock.utc_now() + timedelta(hours=24)
    assert value.startswith(token.prefix)
    assert operator.get("/api/agents").json["items"] == []
    assert operator.get("/api/agents?temporary=true").json["items"] == [agent]
    assert operator.delete(f"/api/temporary-agents/{agent['id']}").status_code == 204
    assert operator.get(f"/api/agents/{agent['id']}").json["status"] == "revoked"
    assert hub.cuts == [(agent["id"], "the agent was revoked", None)]
    assert [entry[1] for entry in audited()][-2:] == ["agent.created", "agent.revoked"]
    assert value not in str(audited())


@pytest.mark.parametrize("name", ["a:b", "a/b", "#3", " a"])
def test_its_name_can_stand_before_a_colon(operator: Api, name: str) -> None:
    assert operator.post("/api/temporary-agents", {"name": name}).status_code == 422


def test_so_can_its_users(app: Flask, hub: ScriptedHub) -> None:
    with hub.database.transaction() as tx:
        users.create(tx, "#a/b:c@example.org", hub.hash(PASSWORD), "operator")
    login = {"email": "#a/b:c@example.org", "password": PASSWORD}
    token = app.test_client().post("/api/auth/login", json=login).json["token"]
    name = Api(app.test_client(), token).post("/api/temporary-agents", {}).json["agent"]["name"]
    assert re.fullmatch(r"_a_b_c@send-[0-9a-f]{4}", name)


def test_only_ones_own_and_only_temporary_ones(operator: Api, as_role, admin: Api) -> None:
    real = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    others = admin.post("/api/temporary-agents", {}).json["agent"]["id"]
    own = operator.post("/api/temporary-agents", {}).json["agent"]["id"]
    for agent_id in (real, others, 424242):
        assert operator.delete(f"/api/temporary-agents/{agent_id}").status_code == 404
    assert operator.delete(f"/api/agents/{own}").status_code == 403
    assert admin.delete(f"/api/temporary-agents/{own}").status_code == 204
    assert admin.delete(f"/api/temporary-agents/{real}").status_code == 404
    for role in ("viewer", "auditor"):
        assert as_role(role).post("/api/temporary-agents", {}).status_code == 403


def test_one_user_has_a_few(operator: Api, admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_agents, "EACH_MAX", 2)
    made = [operator.post("/api/temporary-agents", {}).json["agent"]["id"] for _ in range(2)]
    full = operator.post("/api/temporary-agents", {})
    assert (full.status_code, full.json["code"]) == (409, "too_many_temporary_agents")
    assert admin.post("/api/temporary-agents", {}).status_code == 201
    operator.delete(f"/api/temporary-agents/{made[0]}")
    assert operator.post("/api/temporary-agents", {}).status_code == 201


def test_a_name_that_is_taken_gets_another_ending(operator: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_agents.secrets, "token_hex", lambda size: "ab" * size)
    names = [operator.post("/api/temporary-agents", {"name": "x"}).json["agent"]["name"] for _ in range(2)]
    assert names == ["operator@x-abab", "operator@x-ababab"]


def test_bad_bodies(operator: Api) -> None:
    for body in ({"name": ""}, {"name": "a\n"}, {"name": "x" * 61}, {"tags": []}):
        assert operator.post("/api/temporary-agents", body).status_code == 422, body


@pytest.mark.parametrize("left_over", [True, False])
def test_what_was_left_over_is_revoked(hub: ScriptedHub, audited, left_over: bool) -> None:
    cases = {
        True: [("25 hours", None, "23 hours"), ("3 days", "61 minutes", "-61 minutes")],
        False: [
            ("23 hours", None, "1 hour"),
            ("3 days", "61 minutes", "-59 minutes"),
            ("3 days", "59 minutes", "-61 minutes"),
            ("3 days", "2 days", None),
        ],
    }[left_over]
    ids = []
    with hub.database.transaction() as tx:
        for number, (age, seen, expires) in enumerate(cases):
            row = rows.create(tx, f"a{number}", temporary=True, created_by="x@example.org")
            tokens.create(tx, row.id, "")
            times = "created_at = now() - %s::interval, last_seen = now() - %s::interval, status = 'known'"
            tx.execute(f"UPDATE agents SET {times} WHERE id = %s", (age, seen, row.id))
            tx.execute(
                "UPDATE agent_tokens SET expires_at = now() + %s::interval WHERE agent_id = %s", (expires, row.id)
            )
            ids.append(row.id)
        real = rows.create(tx, "real")
        tx.execute("UPDATE agents SET created_at = now() - interval '1 year' WHERE id = %s", (real.id,))
    revoked = housekeeping.tidy(hub.database)
    assert [(one.id, one.status) for one in revoked] == [(one, "revoked") for one in ids if left_over]
    assert audited() == [("hub", "agent.revoked", f"agent:{one}", "ok") for one in ids if left_over]
    assert housekeeping.tidy(hub.database) == []
