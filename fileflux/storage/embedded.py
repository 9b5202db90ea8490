"""The database that comes with the hub: the packaged PostgreSQL, run and watched by the hub itself.

It belongs to one process (the arbiter) and one thread of it, and ends with them however they end. Its data survives everything; what an
earlier hub left behind (a server on its way out, a stale pid file, another user's process under the old number) is cleared up at the
start, under a lock that only one hub per data folder can hold.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from fileflux.errors import ConfigError, UnavailableError
from fileflux.storage.cluster import DEFAULT_VERSION, SOCKET_NAME, Cluster
from fileflux.storage.process import NO_FOLLOW, NO_WINDOWS, POLL_S, Child

log = structlog.get_logger("fileflux.database")

PREDECESSOR_S = 10.0
"""After kill -9 of the arbiter its server process lives on for 2 to 3 s and holds the lock; PostgreSQL stops in less."""
READY_S = 120.0
"""Recovery after a crash under load may take a while; it is over when the server says so or has ended."""
STOP_S = 15.0
LOG_MAX = 1024 * 1024

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements that fail are the hub's to report; their texts may hold what does not belong in a log.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "jit": "off",
    # Where shared memory is small (64 MiB in many containers) parallel queries would fail.
    "max_parallel_workers_per_gather": "0",
}


class EmbeddedPostgres:
    """Call ``start`` once, ``ensure_running`` about every second from the same thread, ``stop`` at the end.

    ``data_dir`` is the hub's own data folder; it is made when missing. ``settings`` are added to the server's.
    """

    def __init__(
        self, data_dir: Path, *, version: int = DEFAULT_VERSION, settings: Mapping[str, str] | None = None
    ) -> None:
        self._cluster = Cluster(data_dir.absolute(), version)
        self._settings = _SETTINGS | dict(settings or {})
        self._lock: int | None = None
        self._child: Child | None = None
        self._url: str | None = None

    @property
    def pid(self) -> int | None:
        """Of the postmaster; None when it does not run."""
        return self._child.pid if self._child is not None and self._child.running else None

    @property
    def url(self) -> str:
        """For ``Database``; holds the password: not for logs. Only after ``start``."""
        if self._url is None:
            raise UnavailableError("the embedded PostgreSQL is not started")
        return self._url

    def start(self) -> str:
        """Start it, making the cluster at first, and return its URL when it takes connections.

        Waits up to PREDECESSOR_S for an earlier hub of this data folder to be gone. Raises ConfigError with what to do.
        """
        if self._child is not None and self._child.running:
            return self.url
        try:
            self._cluster.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            self._cluster.prepare()
            self._launch()
        except OSError as error:
            self._release_lock()
            raise ConfigError(f"cannot use the data folder {self._cluster.data_dir}: {error}") from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def ensure_running(self) -> bool:
        """Start a server that has died again and return True; return False when there was nothing to do.

        May be called again after it raised ConfigError. Takes well under a second, more when the database has to recover first.
        """
        if self._lock is None or (self._child is not None and self._child.running):
            return False
        code = self._child.exit_code if self._child is not None else None
        log.warning("the embedded PostgreSQL has died and is started again", exit_code=code)
        self._launch()
        return True

    def stop(self) -> None:
        """Stop it cleanly and let the data folder go. Connections still open are cut."""
        if self._child is not None:
            self._child.stop(STOP_S)
            self._child = None
            folder = self._cluster.socket_folder()
            if folder != self._cluster.folder:
                with suppress(OSError):
                    folder.rmdir()
        self._release_lock()

    def _launch(self) -> None:
        cluster = self._cluster
        self._trim_log()
        sockets = cluster.socket_folder()
        deadline = time.monotonic() + PREDECESSOR_S
        self._clear_predecessor(deadline)
        options = [text for name, value in self._settings.items() for text in ("-c", f"{name}={value}")]
        command = [cluster.program("postgres"), "-D", str(cluster.folder), "-k", str(sockets), *options]
        while True:
            child = Child(command, cluster.account, [cluster.folder, sockets], cluster.log)
            self._child = child
            if self._wait_until_ready(child):
                break
            complaint = child.complaint()
            # Processes of a server that was killed go on until they notice, and hold its shared memory.
            if "shared memory block" in complaint and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise ConfigError(
                f"the embedded PostgreSQL does not start: {complaint or f'exit code {child.exit_code}'} (more in {cluster.log})"
            )
        self._url = cluster.url

    def _wait_until_ready(self, child: Child) -> bool:
        """The server itself writes down in its pid file that it is ready; no connection has to be tried."""
        deadline = time.monotonic() + READY_S
        while child.running:
            lines = self._pid_file()
            if len(lines) > 7 and lines[0] == str(child.pid) and lines[7].strip() == "ready":
                return True
            if time.monotonic() >= deadline:
                child.stop(STOP_S)
                raise ConfigError(f"the embedded PostgreSQL was not ready after {READY_S:g} s; see {self._cluster.log}")
            time.sleep(POLL_S)
        return False

    def _clear_predecessor(self, deadline: float) -> None:
        """Wait for the server of a dead hub to end, and drop its pid file.

        The lock is ours, so that no living hub can want it. A server whose hub was killed has been told to stop by the kernel, except on
        systems without that service.
        """
        lines = self._pid_file()
        if not lines or not lines[0].isdigit():
            return
        while (process := self._postmaster(int(lines[0]))) is not None:
            with suppress(psutil.Error):
                process.send_signal(2)
            if time.monotonic() >= deadline:
                raise ConfigError(f"another PostgreSQL (process {lines[0]}) still uses {self._cluster.folder}; stop it")
            time.sleep(0.1)
        # Whatever has this number now is no server of this cluster, but PostgreSQL looks at the number only.
        (self._cluster.folder / "postmaster.pid").unlink(missing_ok=True)
        (self._cluster.socket_folder() / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)

    def _postmaster(self, pid: int) -> psutil.Process | None:
        try:
            process = psutil.Process(pid)
            same = process.name().startswith("postgres") and Path(process.cwd()).samefile(self._cluster.folder)
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, OSError):
            return None

    def _pid_file(self) -> list[str]:
        try:
            return (self._cluster.folder / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        descriptor = os.open(self._cluster.lock, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
        deadline = time.monotonic() + PREDECESSOR_S
        try:
            while not _lock(descriptor):
                if time.monotonic() >= deadline:
                    raise ConfigError(
                        f"another hub uses the data folder {self._cluster.data_dir}; stop it or choose another --data-dir"
                    )
                time.sleep(0.1)
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _trim_log(self) -> None:
        with suppress(OSError):
            if self._cluster.log.stat().st_size > LOG_MAX:
                self._cluster.log.replace(self._cluster.log.with_suffix(".log.1"))


def _lock(descriptor: int) -> bool:
    """Take the lock of this open file unless another hub has it. It ends with the last process that has the file open."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    raise ConfigError(NO_WINDOWS)
