from __future__ import annotations

import pytest

from fileflux.actors import housekeeping
from fileflux.storage import alerts as rows
from tests.web.conftest import Api, ScriptedHub


@pytest.fixture
def raise_one(hub: ScriptedHub):
    def make(of: str, message: str = "look") -> int:
        with hub.database.transaction() as tx:
            return rows.raise_alert(tx, "token_on_two_hosts", of, message).id

    return make


def test_the_same_again_counts_up(admin: Api, raise_one) -> None:
    first = raise_one("agent:1", "at a and at b")
    assert raise_one("agent:1", "at a and at \ud800c\0") == first
    raise_one("agent:2")
    shown = admin.get("/api/alerts").json["items"]
    assert [(alert["object"], alert["count"]) for alert in shown] == [("agent:2", 1), ("agent:1", 2)]
    assert shown[1]["message"] == "at a and at \\ud800c\\x00"
    assert shown[1]["first_at"] < shown[1]["last_at"]


def test_dismissed_is_done_with_until_it_happens_again(admin: Api, as_role, raise_one, audited) -> None:
    first = raise_one("agent:1")
    path = f"/api/alerts/{first}/dismiss"
    assert as_role("viewer").post(path).status_code == 403
    done = as_role("operator").post(path)
    assert done.status_code == 200
    assert done.json["dismissed_by"] == "operator@example.org"
    assert admin.post(path).json == done.json, "again is a no-op"
    assert admin.get("/api/alerts").json["items"] == []
    assert [alert["id"] for alert in admin.get("/api/alerts?dismissed=true").json["items"]] == [first]
    again = raise_one("agent:1")
    assert again != first
    assert [alert["count"] for alert in as_role("viewer").get("/api/alerts").json["items"]] == [1]
    assert admin.post("/api/alerts/424242/dismiss").status_code == 404
    assert ("operator@example.org", "alert.dismissed", f"alert:{first}", "ok") in audited()


def test_pages(admin: Api, raise_one) -> None:
    made = [raise_one(f"agent:{number}") for number in range(3)]
    first = admin.get("/api/alerts?limit=2").json
    second = admin.get(f"/api/alerts?limit=2&cursor={first['next_cursor']}").json
    assert [alert["id"] for alert in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


def test_dismissed_ones_go_after_a_season(hub: ScriptedHub, admin: Api, raise_one) -> None:
    old, open_one = raise_one("agent:1"), raise_one("agent:2")
    with hub.database.transaction() as tx:
        rows.dismiss(tx, old, "x")
        tx.execute("UPDATE alerts SET first_at = now() - interval '100 days', last_at = now() - interval '100 days'")
    housekeeping.tidy(hub.database)
    assert len(admin.get("/api/alerts?dismissed=true").json["items"]) == 2
    with hub.database.transaction() as tx:
        tx.execute("UPDATE alerts SET dismissed_at = now() - interval '91 days' WHERE dismissed_at IS NOT NULL")
    housekeeping.tidy(hub.database)
    assert [alert["id"] for alert in admin.get("/api/alerts?dismissed=true").json["items"]] == [open_one]
