"""``fileflux jobs``."""

from __future__ import annotations

import json

from fileflux.cli.job_shown import DEFAULTS
from fileflux.cli.options import ExitCode
from tests.cli.conftest import JOBS, Command, listing
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


def test_people_see_what_is_not_as_by_default(command: Command, hub: StubHub) -> None:
    job = {**JOBS[0], **DEFAULTS, "schedule": "@daily", "preserve": ["mode", "mtime"], "next_run": None, "version": 2}
    hub.routes["GET /api/jobs"] = listing([job])
    out = command("jobs", "show", "nightly")[1]
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [
        ["id", "3"], ["name", "nightly"], ["source", "web-1:/a"], ["destination", "#99:/b"], ["enabled", "yes"], ["schedule", "@daily"],
        ["version", "2"],
    ]  # fmt: skip
    assert json.loads(command("jobs", "show", "nightly", "--json")[1]) == job


def test_every_option_says_what_it_is_in_the_api(command: Command, hub: StubHub) -> None:
    words = (
        "--schedule @daily --timezone Europe/Berlin --overlap queue --catch-up skip --jitter 1m30s --watch --watch-settle 2s --watch-marker .done"
        " --watch-poll 1m --delete-extra --on-success archive --archive-path done --symlinks copy --names encode --expected-by 06:00 --min-age 1h30m"
        " --keep-versions 2 --bandwidth-limit 10M --priority 9 --pattern *.csv --preserve none --retry-delay 20s --no-recursive"
    )
    assert command("jobs", "create", "j", "web-1:/a", "7:/b", *words.split())[0] == ExitCode.OK
    assert hub.requests[-1][3] == {
        "name": "j", "source_agent_id": 1, "source_path": "/a", "destination_agent_id": 2, "destination_path": "/b", "schedule": "@daily",
        "timezone": "Europe/Berlin", "overlap": "queue", "catch_up": "skip", "jitter_s": 90.0, "delete_extra": True, "on_success": "archive",
        "watch": {"settle": 2.0, "marker": ".done", "poll": 60.0}, "archive_path": "done", "symlinks": "copy", "names": "encode",
        "expected_by": "06:00", "min_age": 5400.0, "keep_versions": 2, "bandwidth_limit": 10 * 2**20, "priority": 9, "pattern": "*.csv",
        "preserve": [], "retry": {"delay": 20.0}, "recursive": False,
    }  # fmt: skip


def test_a_watch_is_taken_away_and_changed_in_parts(command: Command, hub: StubHub) -> None:
    hub.routes["GET /api/jobs/3"] = (
        200,
        {**JOBS[0], "watch": {"settle": 5.0, "marker": ".ok", "poll": None}},
        {"ETag": '"2"'},
    )
    for words, watch in (
        ("--no-watch", None), ("--clear watch", None), ("--watch-settle 1m", {"settle": 60.0, "marker": ".ok", "poll": None}),
    ):  # fmt: skip
        assert command("jobs", "edit", "nightly", *words.split())[0] == ExitCode.OK
        assert hub.requests[-1][3] == {"watch": watch}
    for words in (
        "--no-watch --watch-settle 1m",
        "--jitter soon",
        "--bandwidth-limit fast",
        "--priority 10",
        "--clear name",
    ):
        assert command("jobs", "edit", "nightly", *words.split())[0] == ExitCode.USAGE
