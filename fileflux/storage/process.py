"""Child processes of the embedded server, without ``subprocess``: the arbiter's and gevent's own ways of reaping children are in its way.

Under gevent ``subprocess`` waits for a SIGCHLD handler that gunicorn replaces, and gunicorn reaps every child it finds. What is
used here works in both, patched or not: ``posix_spawn``, ``waitpid`` for one child at a time, and a child that somebody else reaped is
simply one that has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fileflux.errors import ConfigError

POLL_S = 0.01
NO_WINDOWS = "the embedded PostgreSQL does not run on Windows: name a server by FILEFLUX_DATABASE_URL"
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
LAUNCHER = Path(__file__).with_name("launch.py")
LAUNCHER_PREFIX = "fileflux: "
_LOUD = (LAUNCHER_PREFIX, "FATAL:", "PANIC:")
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class Account:
    """The user as which PostgreSQL runs."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make ``path`` this account's."""
        if sys.platform != "win32":
            os.chown(path, self.uid, self.gid)


def effective_ids() -> Account:
    """Who this process is. Raises ConfigError where there is no such thing."""
    if sys.platform != "win32":
        return Account(os.geteuid(), os.getegid())
    raise ConfigError(NO_WINDOWS)


class Child:
    """A program started through ``launch.py``; its output is appended to ``log``.

    It gets SIGINT when the calling thread ends: start it from a thread that lives as long as the hub. ``reach`` are the paths that it
    has to get to.
    """

    def __init__(self, command: Sequence[str], account: Account, reach: Sequence[Path], log: Path) -> None:
        self._log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._returned: int | None = None
        # No site packages, no environment, no current folder: the launcher needs nothing but the standard library.
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(account.uid), str(account.gid)]
        self.pid = _spawn([*launcher, *map(str, reach), "--", *command], log)

    @property
    def running(self) -> bool:
        if self._returned is None and sys.platform != "win32":
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid == self.pid:
                self._returned = os.waitstatus_to_exitcode(status)
        return self._returned is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal that ended it; 0 also when another part of the program took the exit code."""
        return None if self.running else self._returned

    def signal(self, number: int) -> None:
        if self.running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout: float) -> bool:
        """Whether it has ended within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.running:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def stop(self, timeout: float) -> None:
        """Quickly and cleanly; then without a checkpoint, which recovery makes up for; then by force."""
        if sys.platform != "win32":
            for number, seconds in ((signal.SIGINT, timeout), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                self.signal(number)
                if self.wait(seconds):
                    return

    def complaint(self) -> str:
        """The line of its output that tells best why it ended; empty when it said nothing."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._log_start, self._log.stat().st_size - _TAIL))
                text = file.read(_TAIL).decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        for mark in _LOUD:
            for line in lines:
                if mark in line:
                    return line.split(mark, 1)[1].strip()
        errors = [line for line in lines if "error:" in line.lower() or "could not" in line]
        return (errors or lines or [""])[-1]


def _spawn(arguments: list[str], log: Path) -> int:
    if sys.platform != "win32":
        return os.posix_spawn(
            sys.executable,
            arguments,
            # Nothing of the hub's environment: it may hold secrets, and PG* variables would change what PostgreSQL does.
            {"PATH": "/usr/bin:/bin", "LANG": "C", "LC_ALL": "C", "TZ": "UTC"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_FOLLOW, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsigmask=(),
        )
    raise ConfigError(NO_WINDOWS)
