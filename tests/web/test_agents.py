from __future__ import annotations

import os
import time

import pytest

from fileflux.protocol import messages as m
from fileflux.storage import agents as rows
from fileflux.storage.pages import Ask
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
    assert hub.cuts == [(agent["id"], "the agent was revoked", None)]
    actions = [entry[1:3] for entry in audited()]
    assert ("agent.created", f"agent:{agent['id']}") in actions
    assert ("agent.revoked", f"agent:{agent['id']}") in actions


def test_live_facts_lie_over_the_row(admin: Api, hub: ScriptedHub, clock) -> None:
    agent_id = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    with hub.database.transaction() as tx:
        rows.connected(tx, agent_id)
    assert admin.get(f"/api/agents/{agent_id}").json["status"] == "offline"
    hub.live_agents[agent_id] = LiveAgent(True, "websocket", "", clock.utc_now(), "s1", 0.25)
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
    assert admin.post(f"/api/agents/{agent_id}/test").json == {"round_trip_ms": 12.5, "transport": "websocket"}


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
    "name", ["'; DROP TABLE agents; --", '"><img src=x onerror=alert(1)>', "{{7*7}}", "%_", "=cmd|x", "é", "🙂"]
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


def test_a_change_is_what_was_given_and_nothing_else(admin: Api, as_role, audited) -> None:
    agent = admin.post("/api/agents", {"name": "web-1", "description": "d", "tags": ["a"]}).json
    path = f"/api/agents/{agent['id']}"
    assert admin.patch(path, {"tags": ["b", "c"]}).json == agent | {"tags": ["b", "c"]}
    assert admin.patch(path, {"name": "web-2", "description": ""}).json["name"] == "web-2"
    assert admin.patch(path, {}).json == admin.get(path).json == agent | {
        "name": "web-2", "description": "", "tags": ["b", "c"]
    }  # fmt: skip
    admin.post("/api/agents", {"name": "taken"})
    assert admin.patch(path, {"name": "taken"}).status_code == 409
    assert admin.patch(path, {"name": "web-2"}).status_code == 200
    assert admin.patch("/api/agents/424242", {"name": "x"}).status_code == 404
    for bad in ({"name": ""}, {"name": None}, {"status": "online"}, {"temporary": True}, {"tags": ["x" * 65]}):
        assert admin.patch(path, bad).status_code == 422
    assert as_role("operator").patch(path, {"name": "mine"}).status_code == 403
    assert [entry[1] for entry in audited()].count("agent.changed") == 4


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json["items"]]


@pytest.fixture
def many(admin: Api, hub: ScriptedHub, clock) -> dict[str, int]:
    """An agent of each status, and a second one online; ids by name."""
    made = {name: admin.post("/api/agents", {"name": name, "tags": ["t", name]}).json["id"]
            for name in ("online-2", "new", "revoked", "offline", "online-1")}  # fmt: skip
    with hub.database.transaction() as tx:
        for name in ("online-1", "online-2", "offline", "revoked"):
            rows.connected(tx, made[name])
        rows.revoke(tx, made["revoked"])
    for name in ("online-1", "online-2", "revoked"):
        hub.live_agents[made[name]] = LiveAgent(True, "websocket", "", clock.utc_now(), "s1")
    hub.live_agents[made["offline"]] = LiveAgent(False, "", "", clock.utc_now(), "s1")
    return made


LISTS = {
    "": ["online-2", "new", "revoked", "offline", "online-1"],
    "status=online": ["online-2", "online-1"],
    "status=offline": ["offline"],
    "status=new": ["new"],
    "status=revoked": ["revoked"],
    "status=pending": [],
    "status=online&status=new&sort=name": ["new", "online-1", "online-2"],
    "sort=name": ["new", "offline", "online-1", "online-2", "revoked"],
    "sort=-name": ["revoked", "online-2", "online-1", "offline", "new"],
    "sort=-id": ["online-1", "offline", "revoked", "new", "online-2"],
    "name=new": ["new"],
    "name=ne": [],
    "tag=t&status=online": ["online-2", "online-1"],
    "tag=offline": ["offline"],
    "temporary=true": [],
}


def test_filters_and_orders(admin: Api, many: dict[str, int]) -> None:
    for query, expected in LISTS.items():
        assert names(admin.get(f"/api/agents?{query}")) == expected, query
        paged: list[str] = []
        cursor = ""
        while True:
            answer = admin.get(f"/api/agents?{query}&limit=1{cursor}")
            paged += names(answer)
            if answer.json["next_cursor"] is None:
                break
            cursor = f"&cursor={answer.json['next_cursor']}"
        assert paged == expected, query


def test_by_last_seen_those_never_seen_come_last(admin: Api, many: dict[str, int]) -> None:
    found = names(admin.get("/api/agents?sort=last_seen&limit=2"))
    assert "new" not in found
    assert names(admin.get("/api/agents?sort=last_seen"))[-1] == "new"


def test_bad_queries(admin: Api) -> None:
    for query in ("status=gone", "sort=epoch", "temporary=1", "tag=", "color=red"):
        assert admin.get(f"/api/agents?{query}").status_code == 422, query


def test_a_list_of_many_agents_by_status_is_quick(admin: Api, hub: ScriptedHub, clock) -> None:
    with hub.database.transaction() as tx:
        tx.execute(
            "INSERT INTO agents (name, status, last_seen) SELECT 'n' || i, 'known', now() FROM generate_series(1, 20000) i"
        )
        ids = [row[0] for row in tx.all("SELECT id FROM agents WHERE id % 2 = 0")]
    live = LiveAgent(True, "websocket", "", clock.utc_now(), "s1")
    hub.live_agents.update(dict.fromkeys(ids, live))
    begun = time.process_time()
    found = admin.get("/api/agents?status=offline&sort=-name&limit=200").json["items"]
    took = time.process_time() - begun
    assert len(found) == 200
    assert {item["status"] for item in found} == {"offline"}
    assert took < 0.3, "of this process, whose loop it holds"
    ask = Ask(200, "name", filters={"status": ["offline"], "online": rows.id_array(ids)})
    with hub.database.transaction() as tx:
        plan = tx.all("EXPLAIN " + rows.LIST.statement(ask, 201)[0], rows.LIST.statement(ask, 201)[1])[0][0]
    cost = float(plan.partition("..")[2].partition(" ")[0])
    assert cost < 100_000, "above it PostgreSQL compiles the query, which takes seconds"


# What an agent answers


def test_a_page_of_a_directory(admin: Api, as_role, hub: ScriptedHub) -> None:
    agent_id = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    path = f"/api/agents/{agent_id}/browse"
    away = admin.get(path)
    assert (away.status_code, away.json["code"]) == (503, "agent_offline")
    raw = os.fsdecode(b"a\xff\n")
    hub.browse_answer = m.BrowseResult(
        1, "/srv", "", (m.BrowseItem(raw, "file", 3, 1_760_000_000_123_456_789, 0o640),), following=raw
    )
    answer = as_role("operator").get(f"{path}?path=/srv&limit=1000").json
    assert answer["items"] == [
        {"name": "a\\xff\n", "exact": False, "kind": "file", "size": 3, "mtime": "2025-10-09T08:53:20.123456+00:00", "mode": 0o640,
         "read": None, "write": None},
    ]  # fmt: skip
    assert (answer["path"], answer["parent"]) == ("/srv", "")
    hub.browse_answer = m.BrowseResult(1, "", None, (m.BrowseItem("/srv", "directory", read=True, write=False),))
    answer = admin.get(f"{path}?cursor={answer['next_cursor']}").json
    assert hub.browsed[1:] == [(agent_id, "/srv", None, 200), (agent_id, "", raw, 100)]
    assert (answer["parent"], answer["next_cursor"], answer["items"][0]["exact"]) == (None, None, True)
    assert (answer["items"][0]["read"], answer["items"][0]["mtime"]) == (True, None)
    assert as_role("viewer").get(path).status_code == 403
    assert admin.get("/api/agents/424242/browse").status_code == 404


REFUSALS = {
    "not_found": (404, "not_found"),
    "outside_roots": (403, "outside_roots"),
    "refused_path": (403, "refused_path"),
    "permission": (403, "permission"),
    "not_regular": (409, "not_a_directory"),
    "too_large": (409, "too_large"),
    "overloaded": (503, "overloaded"),
    "io": (503, "agent_failed"),
    "<script>": (503, "agent_failed"),
}


def test_what_an_agent_refuses(admin: Api, hub: ScriptedHub) -> None:
    agent_id = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    for code, (status, shown) in REFUSALS.items():
        hub.browse_answer = m.BrowseResult(1, code=code, message="/x\x1b[2J is not there")
        answer = admin.get(f"/api/agents/{agent_id}/browse?path=/x")
        assert (answer.status_code, answer.json["code"], answer.json["detail"]) == (
            status, shown, "/x?[2J is not there"
        )  # fmt: skip


def test_bad_questions_are_not_passed_on(admin: Api, hub: ScriptedHub) -> None:
    agent_id = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    long = ("cursor=" + "A" * 6000, "path=" + "a" * 4097)
    for query in ("cursor=x", "cursor=AA==", "path=%00", "depth=2", "limit=x", *long):
        assert admin.get(f"/api/agents/{agent_id}/browse?{query}").status_code == 422, query
    assert not hub.browsed


def test_the_doctors_report(admin: Api, hub: ScriptedHub) -> None:
    agent_id = admin.post("/api/agents", {"name": "web-1"}).json["id"]
    path = f"/api/agents/{agent_id}/doctor"
    assert admin.post(path).json["code"] == "agent_offline"
    good, bad = m.DoctorCheck("dns", "warn", "slow", "wait"), m.DoctorCheck("tcp", "fail", "no\x1b", "")
    hub.doctor_answer = m.DoctorResult(1, (good,))
    assert admin.post(path).json == {
        "works": True,
        "checks": [{"name": "dns", "status": "warn", "found": "slow", "advice": "wait"}],
    }
    hub.doctor_answer = m.DoctorResult(1, (good, bad))
    report = admin.post(path).json
    assert not report["works"]
    assert report["checks"][1]["found"] == "no?"
    hub.doctor_answer = m.DoctorResult(1, code="busy", message="at work")
    busy = admin.post(path)
    assert (busy.status_code, busy.json["code"]) == (409, "busy")
