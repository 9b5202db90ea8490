"""``fileflux agents``."""

from __future__ import annotations

import json

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub


def test_a_name_comes_before_a_number(command: Command, hub: StubHub) -> None:
    assert json.loads(command("agents", "show", "7", "--json")[1])["id"] == 2
    assert json.loads(command("agents", "show", "#1", "--json")[1])["name"] == "web-1"
    assert json.loads(command("agents", "show", "1", "--json")[1])["name"] == "web-1"
    assert command("agents", "show", "nobody")[0] == ExitCode.NOT_FOUND


def test_agents_are_made_and_revoked(command: Command, hub: StubHub) -> None:
    assert command("agents", "create", "new", "--tag", "a", "--tag", "b")[0] == ExitCode.OK
    assert hub.requests[-1][3] == {"name": "new", "description": "", "tags": ["a", "b"]}
    assert command("agents", "revoke", "web-1")[0] == ExitCode.OK
    assert hub.lines()[-1] == "DELETE /api/agents/1"


def test_people_see_the_transport_with_its_reason(command: Command, hub: StubHub) -> None:
    blocked = {"id": 5, "name": "far", "transport": "polling", "transport_reason": "upgrade refused with 403"}
    plain = {"id": 6, "name": "near", "transport": "websocket", "transport_reason": None}
    hub.routes["GET /api/agents"] = (200, {"items": [blocked, plain], "next_cursor": None})
    shown = command("agents", "show", "far")[1]
    assert "transport  polling: upgrade refused with 403\n" in shown
    assert "transport_reason" not in shown
    assert "transport  websocket\n" in command("agents", "show", "near")[1]
    assert json.loads(command("agents", "show", "far", "--json")[1]) == blocked
