"""``install.sh`` in a shell: what it refuses, and that a part of it does nothing. The whole way is in the integration tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fileflux.web import install, wheel

SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]
OWN = wheel.own_wheel()
VALUES = {"HUB": "http://127.0.0.1:9", "WHEEL": OWN.name, "VERSION": OWN.version, "SHA256": OWN.sha256}
"""Nobody listens on that port: what begins to download ends."""
SCRIPT = install.render(install._template("install.sh"), VALUES)


class Stranger:
    """Somebody with an empty home and no terminal."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # The system's own Python may be an older one than these tests run with.
        own = home.parent / "own"
        own.mkdir()
        (own / "python3").symlink_to(os.path.realpath(sys.executable))
        self.path = f"{own}:{os.defpath}"

    def run(self, *arguments: str, text: str = SCRIPT, shell: str = "sh") -> subprocess.CompletedProcess[str]:
        command = [shell, "sh"] if shell == "busybox" else [shell]
        return subprocess.run(
            [*command, "-s", "--", *arguments],
            input=text,
            env={"HOME": str(self.home), "PATH": self.path, "TMPDIR": str(self.home)},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            # Without a controlling terminal nobody is asked.
            start_new_session=True,
        )

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*"))


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    home = tmp_path / "home"
    home.mkdir()
    return Stranger(home)


def python_in(folder: Path, answers: str) -> str:
    """A PATH on which every Python is a stand-in: ``answers`` is its body."""
    folder.mkdir()
    for tool in ("cat", "id", "ls", "mkdir", "mktemp", "rm", "rmdir", "tail", "readlink"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        (folder / name).write_text(f"#!/bin/sh\n{answers}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_plain_sh(stranger: Stranger, shell: str) -> None:
    assert stranger.run("--help", shell=shell).stdout.startswith(
        f"Installs a FileFlux agent {OWN.version} from http://127.0.0.1:9.\n"
    )
    assert stranger.left() == []


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    for dialect in ("sh", "dash"):
        checked = subprocess.run(
            ["shellcheck", "--shell", dialect, "--enable", "avoid-nullary-conditions,deprecate-which", "-"],
            input=SCRIPT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (checked.returncode, checked.stdout) == (0, "")


def test_a_download_that_was_cut_off_runs_nothing(stranger: Stranger) -> None:
    """Cut anywhere, up to the brace at its end: nothing is printed, made or asked."""
    whole = SCRIPT.rstrip("\n")
    ends = {*range(1, len(whole), 97), *range(len(whole) - 90, len(whole))}
    assert len(ends) > 200
    for end in sorted(ends):
        done = stranger.run("--help", text=whole[:end])
        assert done.stdout == "", whole[end - 40 : end]
    assert stranger.left() == []
    assert stranger.run("--help", text=whole).stdout != ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--token", "ffx_x"], 2, "other users see command lines"),
        (["--token=ffx_x"], 2, "other users see command lines"),
        (["--nonsense"], 2, "--nonsense is not known"),
        (["nonsense"], 2, "nonsense is not known"),
        (["--nonsense=1"], 2, "--nonsense is not known"),
        (["--service=yes"], 2, "--service takes no value"),
        (["--read"], 2, "--read needs a value"),
        (["--read", "/nowhere/at/all"], 1, "/nowhere/at/all: this is not a directory"),
        (["--write=/nowhere/at/all"], 1, "/nowhere/at/all: this is not a directory"),
        (["--token-file", "/nowhere/at/all"], 1, "cannot read the token file /nowhere/at/all"),
        (["--token-file", "/"], 1, "cannot read the token file /"),
        (["--ca-file", "/nowhere/at/all"], 1, "cannot read the certificate /nowhere/at/all"),
        (["--wheelhouse", "/nowhere/at/all"], 1, "--wheelhouse /nowhere/at/all: this is not a directory"),
        (["--hub", "ftp://hub"], 2, "does not begin with http:// or https://"),
        (["--hub", "-o/etc/passwd"], 2, "does not begin with http:// or https://"),
        (["--hub", "http://192.0.2.1:8040"], 1, "plain http to 192.0.2.1:8040 would show the token to the network"),
        (["--user", "nobody"], 2, "--user goes with --service"),
        (["--prefix", "/"], 1, "give a directory of its own"),
        (["--prefix", "/usr"], 1, "/usr"),
        (["--prefix", "/proc/x"], 1, "cannot make /proc/x"),
        (["--prefix", "here", "--uninstall"], 1, "there is no agent in"),
        (["--prefix", "here"], 1, "no token: give --token-file FILE"),
    ],
)
def test_refusals_are_one_line_that_says_what_to_do(
    stranger: Stranger, arguments: list[str], code: int, words: str
) -> None:
    done = stranger.run(*arguments)
    assert done.returncode == code
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("install: ")
    assert words in lines[0]
    assert done.stdout == ""
    assert set(stranger.left()) <= {"here", "here/.fileflux-agent"}


def test_a_hub_that_is_not_there(stranger: Stranger, tmp_path: Path) -> None:
    token = stranger.home / "token"
    token.write_text("ffx_x\n")
    for path in (stranger.path, python_in(tmp_path / "bin", f'exec "{sys.executable}" "$@"')):
        # On the second there is no curl, so it is Python that fetches.
        stranger.path = path
        done = stranger.run("--token-file", "token", "--prefix", "here", shell="/bin/sh")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("install: cannot download http://127.0.0.1:9/install/fileflux-")
        assert stranger.left() == ["here", "here/.fileflux-agent", "token"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ("exit 1", "Python 3.11 or newer is needed"),
        ("exit 127", "Python 3.11 or newer is needed"),
        ("case $2 in *ensurepip*) exit 1 ;; esac", "install python3-venv"),
    ],
)
def test_a_machine_without_a_python_that_will_do(stranger: Stranger, tmp_path: Path, answers: str, words: str) -> None:
    stranger.path = python_in(tmp_path / "bin", answers)
    done = stranger.run("--prefix", "here", shell="/bin/sh")
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert stranger.left() == []


def test_a_folder_with_other_files_is_left_alone(stranger: Stranger) -> None:
    (stranger.home / "here").mkdir()
    (stranger.home / "here" / "thesis.txt").write_text("years of work")
    for arguments in (["--uninstall"], []):
        done = stranger.run("--prefix", "here", *arguments)
        assert done.returncode == 1
    assert "here holds other files: give --prefix a new or empty directory" in done.stderr
    assert stranger.left() == ["here", "here/thesis.txt"]


def test_uninstalling_takes_only_what_was_installed(stranger: Stranger) -> None:
    here = stranger.home / "here"
    for name in (
        ".fileflux-agent", "versions/1/bin/python", "bin/flux-agent", "config/flux-agent.yaml", "config/agent.token", "config/ca.pem",
        "config/own.txt",
    ):  # fmt: skip
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("")
    (here / "current").symlink_to("versions/1")
    (here / "versions" / "elsewhere").symlink_to(stranger.home)
    done = stranger.run("--prefix", "here/", "--uninstall")
    assert done.returncode == 0
    assert stranger.left() == ["here", "here/config", "here/config/own.txt"]
    assert "holds files that are not of this installation" in done.stdout
