"""Following a run: a real client against scripted answers, a clock that moves only when the follower waits."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from fileflux.cli.client import HubClient
from fileflux.cli.options import ExitCode, WaitedTooLongError
from fileflux.cli.progress import PATIENCE_S, failure_lines, summary, watch_run
from fileflux.clock import FakeClock
from fileflux.errors import NotFoundError, UnavailableError
from tests.cli.stub import StubHub, problem, run_record


def follow(routes: dict[str, Any], *, terminal: bool = False, timeout: float | None = None) -> tuple[Any, str]:
    screen = io.StringIO()
    clock = FakeClock()
    console = Console(file=screen, force_terminal=terminal, width=120)
    with StubHub(routes) as hub, HubClient(hub.url, "t") as client:
        result = watch_run(client, 5, console, timeout=timeout, clock=clock, pause=clock.advance)
    return result, screen.getvalue()


def test_until_it_ends_with_a_line_per_change_of_status() -> None:
    answers = [(200, run_record(status=status)) for status in ("planning", "planning", "transferring", "verifying")]
    result, said = follow({"GET /api/runs/5": [*answers, (200, run_record(status="succeeded", files_done=2))]})
    assert (result.exit_code, result.status, result.failures) == (ExitCode.OK, "succeeded", ())
    assert said.splitlines() == ["run 5: planning", "run 5: transferring", "run 5: verifying", "run 5: succeeded"]
    assert "2 files moved" in summary(result)


def test_words_of_others_stay_as_they_are() -> None:
    run = run_record(reason="agent :b: [red]is[/red] away \x1b[2J")
    _, said = follow({"GET /api/runs/5": [(200, run), (200, run_record(status="succeeded"))]})
    assert said.splitlines()[0] == "run 5: transferring (agent :b: [red]is[/red] away \\x1b[2J)"
    _, said = follow({"GET /api/runs/5": [(200, run), (200, run_record(status="succeeded"))]}, terminal=True)
    assert "agent :b: [red]is[/red] away \\x1b[2J" in said


def test_a_pipe_hears_now_and_then_how_far_it_is() -> None:
    answers = [(200, run_record(bytes_done=1024 + 10 * number, bytes_total=2**20)) for number in range(30)]
    _, said = follow({"GET /api/runs/5": [*answers, (200, run_record(status="succeeded"))]})
    lines = said.splitlines()
    assert len(lines) == 3
    assert "50% · 1/2 files · 1.2 KiB/1.0 MiB · 20 B/s" in lines[1]
    assert lines[1].endswith("1 file left")


@pytest.mark.parametrize("width", [1, 5, 12, 24, 40, 80, 200])
def test_the_bar_fits_any_terminal(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, height=10)
    long = {"reason": "x" * 300, "files_failed": 1, "bytes_total": 2**60}
    answers = [
        (200, run_record(**long)),
        (200, run_record(status="planning", files_total=None, **long)),
        (200, run_record(status="succeeded")),
    ]
    clock = FakeClock()
    with StubHub({"GET /api/runs/5": answers}) as hub, HubClient(hub.url, "t") as client:
        watch_run(client, 5, console, clock=clock, pause=clock.advance)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert max(len(line) for line in re.split(r"[\r\n]", plain)) <= width


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    _, said = follow({"GET /api/runs/5": [(200, run_record()), (200, run_record(status="succeeded"))]}, terminal=True)
    assert said.splitlines() == ["run 5: transferring", "run 5: succeeded"]


def test_a_terminal_sees_files_bytes_and_status() -> None:
    answers = [(200, run_record(files_total=None)), (200, run_record(reason="agent b is offline"))]
    result, said = follow({"GET /api/runs/5": [*answers, (200, run_record(status="succeeded"))]}, terminal=True)
    assert result.exit_code is ExitCode.OK
    assert "files" in said
    assert "KiB" in said


@pytest.mark.parametrize(
    ("status", "failed", "code", "expected"),
    [
        ("partial", 1, "io", ExitCode.SOME_FAILED),
        ("failed", 1, "permission", ExitCode.SOME_FAILED),
        ("partial", 1, "corrupt", ExitCode.INTEGRITY),
        ("failed", 1, "hash_mismatch", ExitCode.INTEGRITY),
        ("failed", 0, "", ExitCode.OTHER),
        ("partial", 0, "", ExitCode.SOME_FAILED),
        ("cancelled", 0, "", ExitCode.CANCELLED),
    ],
)
def test_how_it_ended_is_the_exit_code(status: str, failed: int, code: str, expected: ExitCode) -> None:
    failures = [{"id": 1, "filename": "a\x1b[2J", "reason": "", "code": code}] if failed else []
    routes = {
        "GET /api/runs/5": (200, run_record(status=status, files_failed=failed, reason="why")),
        "GET /api/transfers": (200, {"items": failures, "next_cursor": None}),
    }
    result, _ = follow(routes)
    assert result.exit_code is expected
    assert len(failure_lines(result)) == failed
    assert "\x1b" not in "".join(failure_lines(result))
    assert "why" in summary(result)


def test_a_hub_that_is_away_for_a_while_is_waited_for() -> None:
    away = [problem(503, "unavailable")] * 5
    result, _ = follow({"GET /api/runs/5": [(200, run_record()), *away, (200, run_record(status="succeeded"))]})
    assert result.exit_code is ExitCode.OK


def test_but_not_for_ever() -> None:
    screen, clock = io.StringIO(), FakeClock()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds * 40)

    routes = {"GET /api/runs/5": [(200, run_record()), problem(503, "unavailable")]}
    with StubHub(routes) as hub, HubClient(hub.url, "t") as client, pytest.raises(UnavailableError):
        watch_run(client, 5, Console(file=screen), clock=clock, pause=pause)
    assert len(pauses) * 20 > PATIENCE_S


def test_errors_at_the_start_are_not_waited_for() -> None:
    with pytest.raises(NotFoundError):
        follow({})
    with pytest.raises(UnavailableError):
        follow({"GET /api/runs/5": problem(503, "unavailable")})


def test_a_time_out_leaves_the_run_alone() -> None:
    with pytest.raises(WaitedTooLongError, match="runs watch 5"):
        follow({"GET /api/runs/5": (200, run_record())}, timeout=3.0)
