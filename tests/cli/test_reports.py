"""``fileflux runs report`` and ``explain``, ``jobs match`` and ``history``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub

CSV = b"path,kind,size,status\r\na.csv,file,1,completed\r\n"
CSV_END = b",end,1,succeeded\r\n"
LINES = b'{"path":"a.csv","kind":"file"}\n'
LINES_END = b'{"path":null,"kind":"end","size":1}\n'
REPORT = "GET /api/runs/5/report"


@pytest.mark.parametrize(
    ("form", "body", "end"), [("csv", CSV, CSV_END), ("ndjson", LINES, LINES_END)], ids=["csv", "ndjson"]
)
def test_a_report_is_whole_or_an_error(
    command: Command, hub: StubHub, tmp_path: Path, form: str, body: bytes, end: bytes
) -> None:
    out = tmp_path / "run.txt"
    hub.routes[REPORT] = (200, body + end, {"Content-Type": "text/csv"})
    assert command("runs", "report", "5", "--format", form, "--out", str(out))[0] == ExitCode.OK
    assert out.read_bytes() == body + end
    code, printed, _ = command("runs", "report", "5", "--format", form, "--status", "failed")
    assert (code, printed.encode().replace(b"\r\n", b"\n")) == (ExitCode.OK, (body + end).replace(b"\r\n", b"\n"))
    out.unlink()
    for cut in (body, b"", body + end[:-3], body + end + body):
        hub.routes[REPORT] = (200, cut, {"Content-Type": "text/csv"})
        code, _, err = command("runs", "report", "5", "--format", form, "--out", str(out))
        assert (code, "ends early" in err) == (ExitCode.TEMPORARY, True), cut
        assert list(tmp_path.glob("*run*")) == list(tmp_path.glob(".run*")) == []
    assert command("runs", "report", "5", "--out", str(tmp_path))[0] == ExitCode.USAGE


def test_an_explanation_cannot_steer_the_terminal(command: Command, hub: StubHub) -> None:
    found = {
        "path": "a",
        "verdict": "left_out",
        "summary": "a\x1b[2J is left out.",
        "steps": [{"what": "rules", "outcome": "no", "detail": "b\x1b[2J"}],
    }
    hub.routes["GET /api/runs/5/explain"] = (200, found)
    code, out, _ = command("runs", "explain", "5", "a")
    assert code == ExitCode.OK
    assert "\x1b" not in out
    assert out.splitlines() == ["a\\x1b[2J is left out.", "  rules: b\\x1b[2J"]
    assert json.loads(command("runs", "explain", "5", "a", "--json")[1]) == found


def test_what_rules_take(command: Command, hub: StubHub) -> None:
    sample = {"path": "a.csv", "size": 3, "matched": True, "why": "the include pattern *.csv matches it"}
    found = {
        "summary": "matches 1 of 2 files",
        "bytes": 2048,
        "matched_bytes": 3,
        "matched_sample": [sample],
        "unmatched_sample": [],
    }
    hub.routes["POST /api/jobs/match"] = (200, found)
    code, out, _ = command("jobs", "match", "web-1:/srv", "--include", "*.csv", "--no-recursive")
    assert code == ExitCode.OK
    assert out.splitlines()[-1] == "matches 1 of 2 files (3 B of 2.0 KiB)"
    assert hub.requests[-1][3] == {"agent_id": 1, "path": "/srv", "include": ["*.csv"], "recursive": False}
    assert command("jobs", "match", "/srv")[0] == ExitCode.USAGE


def test_who_changed_what(command: Command, hub: StubHub) -> None:
    at = "2026-01-01T00:00:00+00:00"
    versions = [
        {
            "version": 2,
            "changed_by": "ann",
            "changed_at": at,
            "changes": {"verify": ["chunks", "full"], "tags": [[], ["a"]]},
        },
        {"version": 1, "changed_by": "ann", "changed_at": at, "changes": {}},
    ]
    hub.routes["GET /api/jobs/3/versions"] = (200, {"items": versions, "next_cursor": None})
    code, out, _ = command("jobs", "history", "nightly")
    assert code == ExitCode.OK
    assert 'verify: chunks → full; tags: [] → ["a"]' in out
    assert "created" in out
