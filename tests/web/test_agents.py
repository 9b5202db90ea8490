from __future__ import annotations

import pytest

from fileflux.storage import agents as rows
from fileflux.web.deps import LiveAgent
from tests.web.conftest import Api, ScriptedHub


def test_an_agent_is_made_listed_shown_and_revoked(admin: Api, hub: ScriptedHub, audited) -> None:
    made = admin.post("/api/agents", {"name": "web-1", "description": "line\nbreak", "tags": ["a", "b"]})
    assert made.status_code == 201
    agent = made.json
    assert made.headers["Location"] == f"/api/agents/{agent['id']}"
    assert (agent["name"], agent["status"], agent["tags"], agent["last_seen"]) == ("web-1", "new", ["a", "b"], None)
    assert admin.get("/api/agents").json == {"items": [agent], "next_cursor": None}
    assert admin.get(f"/api/agents/{agent['id']}").json == agent
    assert admin.delete(f"/api/agents/{agent['id']}").status_code == 204
    assert admin.get(f"/api/agents/{agent['id']}").json["status"] == "revoked"
    assert hub.cuts == [(agent["id"], "the agent was revoked")]
    actions = [entry[1:3] for entry in audited()]
    assert ("agent.created", f"agent:{agent['id']}") in actions
    assert ("agent.revoked", f"agent:{agent['id']}") in actions


def test_live_facts_lie_over_the_row(admin: Api, hub: ScriptedHub, clock) -> None:
    agent_id = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    with hub.database.transaction() as tx:
        rows.connected(tx, agent_id)
    assert admin.get(f"/api/agents/{agent_id}").json["status"] == "offline"
    hub.live_agents[agent_id] = LiveAgent(True, "websocket", "", clock.utc_now(), "s1")
    shown = admin.get(f"/api/agents/{agent_id}").json
    assert (shown["status"], shown["transport"], shown["connected_since"]) == (
        "online",
        "websocket",
        "2026-01-01T00:00:00+00:00",
    )
    assert shown["transport_reason"] is None
    hub.live_agents[agent_id] = LiveAgent(True, "polling", "upgrade refused with 403", clock.utc_now(), "s1")
    shown = admin.get(f"/api/agents/{agent_id}").json
    assert (shown["transport"], shown["transport_reason"]) == ("polling", "upgrade refused with 403")
    hub.live_agents[agent_id] = LiveAgent(False, "polling", "gone", clock.utc_now(), "s1")
    shown = admin.get(f"/api/agents/{agent_id}").json
    assert (shown["status"], shown["transport"], shown["transport_reason"], shown["connected_since"]) == (
        "offline",
        None,
        None,
        None,
    )
    hub.live_agents[agent_id] = LiveAgent(True, "websocket", "", clock.utc_now(), "s1")
    admin.delete(f"/api/agents/{agent_id}")
    assert admin.get(f"/api/agents/{agent_id}").json["status"] == "revoked"


def test_a_name_is_given_once(admin: Api) -> None:
    assert admin.post("/api/agents", {"name": "web-1"}).status_code == 201
    again = admin.post("/api/agents", {"name": "web-1"})
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert len(admin.get("/api/agents").json["items"]) == 1


def test_a_test_is_a_round_trip(admin: Api, hub: ScriptedHub, clock) -> None:
    agent_id = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    away = admin.post(f"/api/agents/{agent_id}/test")
    assert (away.status_code, away.json["code"]) == (503, "unavailable")
    hub.live_agents[agent_id] = LiveAgent(True, "websocket", "", clock.utc_now(), "s1")
    assert admin.post(f"/api/agents/{agent_id}/test").json == {"round_trip_ms": 12.5}


@pytest.mark.parametrize("agent_id", [424242, 2**63 - 1])
def test_agents_that_do_not_exist(admin: Api, agent_id: int) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test")):
        assert admin.call(method, f"/api/agents/{agent_id}{path}").status_code == 404


def test_pages_hold_all_rows_once(admin: Api) -> None:
    made = {admin.post("/api/agents", {"name": f"a{number}"}).json["id"] for number in range(7)}
    seen: list[int] = []
    cursor = ""
    while True:
        answer = admin.get(f"/api/agents?limit=3{cursor}").json
        assert len(answer["items"]) <= 3
        seen += [item["id"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert len(seen) == len(set(seen)) == 7
    assert set(seen) == made


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE agents; --", '"><img src=x onerror=alert(1)>', "{{7*7}}", "%_\\", "=cmd|x", "é", "🙂"]
)
def test_any_readable_name_is_kept_literally(admin: Api, name: str) -> None:
    assert admin.post("/api/agents", {"name": name}).json["name"] == name
    answer = admin.get("/api/agents")
    assert answer.json["items"][0]["name"] == name
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "a\nb"}, {"name": "a\0"}, {"name": 5}, {"name": "a", "status": "online"},
                                  {"name": "a", "epoch": 7}, {"name": "x" * 101}, {"name": "a", "tags": "b"}])  # fmt: skip
def test_bad_bodies(admin: Api, body: dict) -> None:
    answer = admin.post("/api/agents", body)
    assert answer.status_code == 422
    assert answer.json["errors"]
