"""Options before the command, and errors as one line with a documented exit code."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub, problem

NOBODY: dict[str, object] = {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["bogus"], ExitCode.USAGE),
        (["runs"], ExitCode.USAGE),
        (["runs", "show"], ExitCode.USAGE),
        (["runs", "show", "x"], ExitCode.USAGE),
        (["runs", "show", "0"], ExitCode.USAGE),
        (["runs", "list", "-o", "xml"], ExitCode.USAGE),
        (["runs", "list", "--bogus"], ExitCode.USAGE),
        (["--url", "ftp://x", "runs", "list"], ExitCode.USAGE),
        (["--url", "http://hub.example", "runs", "list"], ExitCode.USAGE),
        (["--token-file", "/does/not/exist", "runs", "list"], ExitCode.USAGE),
        (["serve", "--port", "70000"], ExitCode.USAGE),
        (["serve", "--workers", "0"], ExitCode.USAGE),
        (["serve", "--config", "/does/not/exist.toml"], ExitCode.USAGE),
        (["runs", "list"], ExitCode.FORBIDDEN),
        (["--url", "http://127.0.0.1:1", "--token", "t", "runs", "list"], ExitCode.TEMPORARY),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(fileflux: Command, arguments: list[str], code: ExitCode) -> None:
    got, out, err = fileflux(*arguments)
    assert got == code
    assert out == ""
    assert err.startswith("fileflux: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(404, "not_found", "there is no run 5"), ExitCode.NOT_FOUND),
        (problem(403, "forbidden"), ExitCode.FORBIDDEN),
        (problem(503, "unavailable"), ExitCode.TEMPORARY),
        (problem(500, "internal", "line\nbreak"), ExitCode.OTHER),
    ],
)
def test_the_hubs_answer_decides_the_exit_code(fileflux: Command, answer: object, code: ExitCode) -> None:
    with StubHub({"GET /api/runs/5": answer}) as hub:
        got, _, err = fileflux("--url", hub.url, "--token", "t", "runs", "show", "5")
    assert got == code
    assert err.count("\n") == 1


def test_a_traceback_only_when_asked_for(fileflux: Command) -> None:
    with StubHub({}) as hub:
        assert "Traceback" not in fileflux("--url", hub.url, "--token", "t", "runs", "show", "5")[2]
        assert "Traceback" in fileflux("-vv", "--url", hub.url, "--token", "t", "runs", "show", "5")[2]


def test_flags_may_stand_behind_the_command_too(fileflux: Command) -> None:
    made = {"token": {"id": 4}, "value": "ffx_value"}
    with StubHub(
        {
            "POST /api/tokens": (201, made),
            "GET /api/agents": (200, {"items": [{"id": 1, "name": "-q"}], "next_cursor": None}),
        }
    ) as hub:
        before = ("--url", hub.url, "--token", "t")
        assert fileflux(*before, "tokens", "create", "-q", "--", "-q") == (ExitCode.OK, "ffx_value\n", "")
        assert "Traceback" in fileflux(*before, "runs", "show", "5", "-vv", "--no-color")[2]


def test_address_and_token_come_from_the_environment_and_flags_win(
    fileflux: Command, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    with StubHub({"GET /api/runs": (200, NOBODY)}) as hub:
        monkeypatch.setenv("FILEFLUX_URL", hub.url)
        monkeypatch.setenv("FILEFLUX_TOKEN", "from-environment")
        assert fileflux("runs", "list")[0] == ExitCode.OK
        assert fileflux("--token", "from-flag", "runs", "list")[0] == ExitCode.OK
        monkeypatch.delenv("FILEFLUX_TOKEN")
        monkeypatch.setenv("FILEFLUX_TOKEN_FILE", str(tmp_path / "token"))
        assert fileflux("runs", "list")[0] == ExitCode.OK
        assert [request[2] for request in hub.requests] == ["from-environment", "from-flag", "from-file"]
        assert fileflux("--token", "t", "runs", "list")[0] == ExitCode.USAGE


def test_the_command_itself() -> None:
    def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fileflux.cli.main", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **options)  # type: ignore[call-overload]  # options are the caller's

    shown = call()
    assert shown.returncode == 0
    assert "Usage: fileflux" in shown.stdout
    assert call("version").returncode == 0
    refused = call("bogus", env={**os.environ, "LANG": "C", "TERM": "dumb", "NO_COLOR": "1"})
    assert (refused.returncode, refused.stderr.count("\n"), refused.stdout) == (2, 1, "")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fileflux.cli.main", "version"],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.stderr == b""
