"""What Tab offers, in a real bash, and in the other shells where they are there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time

import pytest

from fileflux.cli import completion
from fileflux.cli.options import ExitCode
from tests.cli.conftest import AGENTS, Command, listing
from tests.cli.stub import StubHub

EVIL = ["$(touch evil)", "a b", "`id`", "x;y", "tab\there", "*", "a:b", "-rf", "\x1b[2J"]


@pytest.fixture
def offered(command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """``offered("fileflux run")`` is what comes for that line, without the help behind it."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_FILEFLUX_COMPLETE", "complete_fish")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            command()
        out, err = capsys.readouterr()
        assert (left.value.code or 0, err) == (0, "")
        return [text.partition("\t")[0] for text in out.splitlines() if text]

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fileflux ag", ["agents"]),
        (
            "fileflux runs ",
            ["list", "show", "watch", "wait", "cancel", "retry", "pause", "resume", "report", "explain"],
        ),
        ("fileflux runs list --st", ["--status"]),
        ("fileflux runs list -o y", ["yaml"]),
        ("fileflux runs list --status fai", ["failed"]),
        ("fileflux completion ", ["bash", "zsh", "fish"]),
        ("fileflux agents show w", ["web-1"]),
        ("fileflux jobs run ", ["nightly"]),
        ("fileflux runs list --job n", ["nightly"]),
        ("fileflux send ./a w", ["web-1:"]),
        ("fileflux send ./", []),
        ("fileflux jobs create x web-1:/", []),
        ("fileflux 'unclosed", []),
    ],
)
def test_what_is_offered(offered, line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_a_name_that_a_shell_could_take_amiss_is_not_offered(offered, hub: StubHub) -> None:
    hub.routes["GET /api/agents"] = listing([{"id": 1, "name": name} for name in [*EVIL, "good-1.x"]])
    assert offered("fileflux agents show ") == ["good-1.x"]


def test_nobody_waits_for_a_hub_that_does_not_answer(offered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "LOOK_UP_S", 0.2)
    for url in ("http://127.0.0.1:1", "nonsense"):
        monkeypatch.setenv("FILEFLUX_URL", url)
        assert offered("fileflux agents show ") == []
    enough = threading.Event()
    with StubHub({"GET /api/agents": lambda *_: enough.wait(20) and listing(AGENTS)}) as slow:
        monkeypatch.setenv("FILEFLUX_URL", slow.url)
        begun = time.monotonic()
        assert offered("fileflux agents show ") == []
        enough.set()
        assert time.monotonic() - begun < 10


def test_without_a_login_names_are_not_offered(offered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FILEFLUX_TOKEN")
    assert offered("fileflux agents show ") == []
    assert offered("fileflux agents sh") == ["show"]


def test_names_are_offered_with_the_token_in_a_file(offered, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "token").write_text("t\n")
    monkeypatch.delenv("FILEFLUX_TOKEN")
    monkeypatch.setenv("FILEFLUX_TOKEN_FILE", str(tmp_path / "token"))
    assert offered("fileflux agents show w") == ["web-1"]
    (tmp_path / "token").unlink()
    assert offered("fileflux agents sh") == ["show"]


def in_bash(hub: StubHub, folder, line: str) -> list[str]:
    """What bash would put in place of the last word."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "fileflux").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fileflux.cli.main "$@"\n')
    (tools / "fileflux").chmod(0o700)
    # The words as readline cuts them, colons for themselves.
    script = f"""
        {completion.script(completion.Shell.BASH)}
        COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(); COMP_CWORD=0
        compopt() {{ echo nospace >&2; }}
        _fileflux_complete
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "FILEFLUX_URL": hub.url, "FILEFLUX_TOKEN": "t", "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, env=env, cwd=folder, timeout=30, check=True
    )
    return done.stdout.split() + done.stderr.split()


def test_in_bash(hub: StubHub, tmp_path) -> None:
    hub.routes["GET /api/agents"] = listing([{"id": 1, "name": name} for name in [*EVIL, "web-1"]])
    assert in_bash(hub, tmp_path, "fileflux jobs en") == ["enable"]
    assert in_bash(hub, tmp_path, "fileflux send ./x w") == ["web-1:", "nospace"]
    assert in_bash(hub, tmp_path, 'fileflux --url "$(touch evil)" agents show "') == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_read_by_their_shells(fileflux: Command, shell: str, tmp_path) -> None:
    code, script, _ = fileflux("completion", shell)
    assert code == ExitCode.OK
    assert "_FILEFLUX_COMPLETE" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        checked = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
