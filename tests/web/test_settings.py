from __future__ import annotations

from flask import Flask

from fileflux.bus.bus import Bus
from fileflux.web.app import create_app
from fileflux.web.deps import Deps
from tests.web.conftest import SECRET, Api, ScriptedHub


def test_they_are_shown_to_everybody_and_changed_by_administrators(as_role, admin: Api, audited) -> None:
    viewer = as_role("viewer")
    first = viewer.get("/api/settings").json
    assert (first["site_name"], first["default_token_days"], first["max_key_days"]) == ("FileFlux", None, 365)
    assert (first["database"], first["tls"]) == ("embedded", False)
    assert set(first) == {
        *("site_name", "default_token_days", "max_key_days", "history_days", "history_failed_days"),
        *("webhook_allow", "bandwidth_timetable", "version", "database", "tls"),
    }
    assert (first["history_days"], first["history_failed_days"]) == (365, 365)
    assert "secret" not in viewer.get("/api/settings").text
    changed = admin.call("PATCH", "/api/settings", {"site_name": "Ärzte", "default_token_days": 30})
    assert changed.status_code == 200
    assert changed.json == viewer.get("/api/settings").json == first | {"site_name": "Ärzte", "default_token_days": 30}
    assert admin.call("PATCH", "/api/settings", {"default_token_days": None}).json["site_name"] == "Ärzte"
    assert audited()[-1][:3] == ("admin@example.org", "settings.changed", "settings")


NO_SETTINGS = (
    ({"site_name": ""}, "site_name"),
    ({"site_name": "a\nb"}, "site_name"),
    ({"max_key_days": 0}, "max_key_days"),
    ({"max_key_days": None}, "max_key_days"),
    ({"history_days": -1}, "history_days"),
    ({"history_failed_days": None}, "history_failed_days"),
    ({"default_token_days": "30"}, "default_token_days"),
    ({"version": "9"}, "version"),
    ({"tls": True}, "tls"),
    ({"secret.jwt": "AAAA"}, "secret.jwt"),
)


def test_what_is_no_setting(admin: Api) -> None:
    for body, field in NO_SETTINGS:
        answer = admin.call("PATCH", "/api/settings", body)
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_what_the_hub_is(app: Flask, as_role, hub: ScriptedHub, clock, limits) -> None:
    token = as_role("viewer").token
    deps = Deps(hub.database, Bus(), limits, SECRET, clock, hub, hub, hub, hub, embedded_database=False)
    answer = (
        create_app(deps)
        .test_client()
        .get("/api/settings", base_url="https://hub", headers={"Authorization": f"Bearer {token}"})
    )
    assert (answer.json["database"], answer.json["tls"]) == ("external", True)
