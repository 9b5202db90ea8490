from __future__ import annotations

import json

import pytest

from flux_agent.doctor_report import Check, Report, as_json, as_text

pytestmark = pytest.mark.unit

REPORT = Report(
    [
        Check("configuration", "ok", "hub https://h:443"),
        Check("dns", "warn", "slow", "ask your administrator"),
        Check("token", "fail", "unknown\x1b[2J\nok      all", exit_code=4),
        Check("root", "fail", "gone", exit_code=2),
        Check("clock", "skipped", "token failed"),
    ]
)


def test_a_line_for_each_layer_and_nothing_else_moves_the_cursor():
    assert as_text(REPORT).split("\n") == [
        "ok      configuration  hub https://h:443",
        "warn    dns            slow (ask your administrator)",
        "fail    token          unknown?[2J?ok      all",
        "fail    root           gone",
        "skipped clock          token failed",
    ]


def test_for_programs():
    shown = json.loads(as_json(REPORT))
    assert (shown["works"], shown["exit_code"]) == (False, 4)
    assert shown["checks"][1] == {"name": "dns", "status": "warn", "found": "slow", "advice": "ask your administrator"}
    assert [check["name"] for check in shown["checks"]] == ["configuration", "dns", "token", "root", "clock"]


@pytest.mark.parametrize(("statuses", "code"), [([], 0), (["ok", "warn", "skipped"], 0), (["ok", "fail"], 5)])
def test_the_first_that_failed_decides(statuses, code):
    assert Report([Check("x", status, "") for status in statuses]).exit_code == code
