"""``fileflux tokens``."""

from __future__ import annotations

import json

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub


def test_a_tokens_value_alone_is_on_stdout(command: Command, hub: StubHub) -> None:
    code, out, err = command("tokens", "create", "web-1", "--expires-in-days", "30")
    assert (code, out) == (ExitCode.OK, "ffx_value\n")
    assert "ffx_value" not in err
    assert hub.requests[-1][3] == {"agent_id": 1, "name": "", "expires_in_days": 30}
    assert json.loads(command("tokens", "create", "web-1", "--json")[1])["value"] == "ffx_value"
    assert command("tokens", "revoke", "4")[0] == ExitCode.OK
