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
