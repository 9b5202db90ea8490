"""``fileflux schedules``, on answers that are given; the examples run against the real API."""

from __future__ import annotations

import json

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub

PREVIEW = {
    "cron": "30 2 * * *",
    "timezone": "Europe/Paris",
    "words": "At 02:30 every day",
    "dst_rule": "A time that comes twice fires once.",
    "items": [{"utc": "2026-01-01T01:30:00+00:00", "job_time": "2026-01-01T02:30:00+01:00", "viewer_time": "x"}],
}


def test_preview(command: Command, hub: StubHub) -> None:
    hub.routes["GET /api/schedules/preview"] = (200, PREVIEW)
    code, out, err = command("schedules", "preview", "30 2 * * *", "--tz", "Europe/Paris", "-n", "1")
    assert (code, err) == (ExitCode.OK, "At 02:30 every day. A time that comes twice fires once.\n")
    assert "02:30:00" in out
    assert json.loads(command("schedules", "preview", "30 2 * * *", "--json")[1]) == PREVIEW


def test_list_has_those_with_a_schedule_soonest_first(command: Command, hub: StubHub) -> None:
    jobs = [
        {"id": number, "name": name, "schedule": schedule, "next_run": following}
        for number, (name, schedule, following) in enumerate(
            [
                ("off", "@daily", None),
                ("late", "@daily", "2026-01-03T00:00:00+00:00"),
                ("hand", None, None),
                ("soon", "@daily", "2026-01-02T00:00:00+00:00"),
            ]
        )
    ]
    hub.routes["GET /api/jobs"] = (200, {"items": jobs, "next_cursor": None})
    found = json.loads(command("schedules", "list", "--json")[1])
    assert [job["name"] for job in found] == ["soon", "late", "off"]
    assert len(json.loads(command("schedules", "list", "--limit", "2", "--json")[1])) == 2
