"""The command in odd places: closed or full streams, no home, other characters, tiny terminals. Each is a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.cli.conftest import listing
from tests.cli.stub import StubHub

COMMAND = [sys.executable, "-c", "from fileflux.cli.main import main; main()"]
NAME = "größe-文件"


@pytest.fixture
def env(hub: StubHub, tmp_path) -> dict[str, str]:
    hub.routes["GET /api/agents"] = listing([{"id": 1, "name": NAME, "status": "online"}])
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FILEFLUX_URL": hub.url, "FILEFLUX_TOKEN": "t"}


def ran(words: str, env: dict[str, str], before: str = "", after: str = "", **more: object) -> tuple[int, bytes, bytes]:
    """``before`` and ``after``: what a shell does and redirects around it."""
    done = subprocess.run(
        ["sh", "-c", f'{before} exec "$@" {after}', "sh", *COMMAND, *words.split()],
        env=env,
        timeout=60,
        check=False,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},  # type: ignore[call-overload]  # options are the caller's
    )
    return done.returncode, done.stdout or b"", done.stderr or b""


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"LC_ALL": "C", "TERM": "dumb", "NO_COLOR": "1"}, NAME.encode()),
        ({"PYTHONIOENCODING": "ascii"}, NAME.encode("ascii", "backslashreplace")),
        ({"PYTHONIOENCODING": "latin-1"}, NAME.encode("latin-1", "backslashreplace")),
    ],
)
def test_other_characters(env: dict[str, str], more: dict[str, str], shown: bytes) -> None:
    code, out, err = ran("agents list", env | more)
    assert (code, err) == (0, b"")
    assert shown in out


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_stream_that_is_closed(env: dict[str, str], descriptor: int) -> None:
    code, out, err = ran("agents list", env, after=f"{descriptor}>&-")
    assert (code, err) == (0, b"")
    assert (NAME.encode() in out) == (descriptor != 1)
    if descriptor == 2:
        assert ran("runs show x", env, after="2>&-")[0] == 2


def test_a_disk_that_is_full(env: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, err = ran("agents list", env, stdout=full)
        assert code == 1
        assert re.fullmatch(rb"fileflux: .*No space left on device\n", err)
        assert ran("runs show x", env, stderr=full)[0] == 2


def test_no_home_and_one_that_cannot_be_written(env: dict[str, str], hub: StubHub, tmp_path) -> None:
    (tmp_path / "file").touch()
    without = {name: value for name, value in env.items() if name != "HOME"}
    assert ran("agents list", without)[0] == 0
    hub.routes["POST /api/auth/login"] = (
        200,
        {"token": "t", "refresh_token": "r", "user": {"email": "a@b", "role": "admin"}},
    )
    code, _, err = ran(f"login {hub.url} --email a@b --password-stdin", env | {"HOME": str(tmp_path / "file")})
    assert code == 2
    assert b"set FILEFLUX_TOKEN instead" in err
    assert err.count(b"\n") == 1


def test_a_folder_that_is_gone(env: dict[str, str], tmp_path) -> None:
    leave = f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone;"
    assert ran("agents list", env, leave)[0] == 0
    code, _, err = ran("send ./x 7:/y", env, leave)
    assert (code, err.count(b"\n")) == (2, 1)


@pytest.mark.parametrize("columns", [5, 80])
def test_a_terminal(env: dict[str, str], columns: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    code, _, err = ran("agents list", env | {"TERM": "dumb"}, stdout=theirs)
    os.close(theirs)
    with open(ours, "rb", closefd=True, buffering=0) as screen:
        lines = screen.read(65_536).decode().splitlines()
    assert (code, err, len(lines)) == (0, b"", 2)
    assert max(len(line) for line in lines) <= columns


HEAVY = (
    "gevent",
    "flask",
    "marshmallow",
    "psycopg2",
    "rich",
    "yaml",
    "structlog",
    "websockets",
    "cryptography",
    "zstandard",
    "psutil",
    "sqlalchemy",
)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("--help", ()),
        ("agents --help", ()),
        ("agents list", ()),
        ("agents list -o yaml", ("yaml",)),
    ],
)
def test_what_takes_long_to_import_is_not_imported(env: dict[str, str], words: str, allowed: tuple[str, ...]) -> None:
    """Any command is there in 0.3 s because of this."""
    code = f"""
import sys
from fileflux.cli.main import run
print(run({words.split()!r}), file=sys.stderr)
print(*(name for name in {HEAVY!r} if name in sys.modules), "requests" in sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    result, loaded = done.stderr.splitlines()
    assert result == "0"
    *heavy, requests = loaded.split()
    assert set(heavy) <= set(allowed)
    assert requests == str("list" in words)
