"""``fileflux jobs``."""

from __future__ import annotations

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub


def test_a_job_is_made_of_two_places(command: Command, hub: StubHub) -> None:
    code, _, _ = command(
        "jobs", "create", "j", "web-1:/srv/a:b", "7:C:\\data", "--verify", "full", "--include", "*.csv"
    )
    assert code == ExitCode.OK
    assert hub.requests[-1][3] == {
        "name": "j", "source_agent_id": 1, "source_path": "/srv/a:b", "destination_agent_id": 2, "destination_path": "C:\\data",
        "verify": "full", "include": ["*.csv"],
    }  # fmt: skip
    for place in ("/srv", ":/srv", "web-1:", "nobody:/x"):
        assert command("jobs", "create", "j", place, "7:/x")[0] in (ExitCode.USAGE, ExitCode.NOT_FOUND)


def test_people_see_places(command: Command) -> None:
    out = command("jobs", "list")[1]
    assert out.splitlines()[1] == "3   nightly  web-1:/a  #99:/b       yes"
