"""A real hub and real agents as processes of their own, for tests that watch, disturb and kill them. Only processes started here are killed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from fileflux.cli.client import HubClient
from fileflux.errors import FluxError
from tests.integration import prepared

EMAIL = "admin@test.local"
QUICK_LIMITS = {
    "RECONNECT_INITIAL": "0.1",
    "RECONNECT_MAX": "0.5",
    "WORKER_RESTART_DELAY": "0.05",
    "DATABASE_RETRY": "0.1",
    "WINDOW_MAX": str(24 * 2**20),
}
"""Shorter waits than a user would want; the window is small so that what is sent twice shows."""


def wait_for(what: str, check: Callable[[], Any], timeout: float = 30.0) -> Any:
    """Poll until ``check`` gives something true; errors of the API count as not yet. Fails with ``what`` after ``timeout``."""
    deadline = time.monotonic() + timeout
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if value := check():
                return value
        except FluxError as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout:.0f} s for {what} (last error: {last})")


class Process:
    """One started command with its log."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str], cwd: Path | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                cwd=cwd,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self, mark: str) -> list[int]:
        """PIDs of descendants whose command line has ``mark`` in it."""
        found = []
        for child in psutil.Process(self.pid).children(recursive=True):
            try:
                if any(mark in word for word in child.cmdline()):
                    found.append(child.pid)
            except psutil.Error:
                continue
        return found

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def stop(self, timeout: float = 20.0) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(
                    f"pid {self.pid} did not stop within {timeout:.0f} s; its log: {self.text()[-3000:]}"
                ) from None
        return self.popen.returncode


def kill_pid(pid: int) -> None:
    """``kill -9`` and wait until it is really gone."""
    process = psutil.Process(pid)
    process.kill()
    psutil.wait_procs([process], timeout=10)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


class Hub:
    """``fileflux serve`` with its embedded PostgreSQL on a port of its own."""

    def __init__(
        self,
        folder: Path,
        database_url: str | None = None,
        env: dict[str, str] | None = None,
        ca_file: str | None = None,
    ) -> None:
        """``ca_file``: the CA to trust, for a hub with TLS."""
        self.folder = folder
        self.ca_file = ca_file
        self.password = secrets.token_urlsafe(12)
        self._database_url = database_url
        self._env = {f"FILEFLUX_LIMITS_{name}": value for name, value in QUICK_LIMITS.items()}
        self._env.update({"FILEFLUX_ADMIN_EMAIL": EMAIL, "FILEFLUX_ADMIN_PASSWORD": self.password, **(env or {})})
        self.port = 0
        self.process: Process | None = None
        self._client: HubClient | None = None
        self._starts = 0

    def begin(self) -> Process:
        """Start it, and wait for nothing."""
        self._starts += 1
        external = self._database_url or any(name.startswith("FILEFLUX_DATABASE_URL") for name in self._env)
        if self._starts == 1 and not external and not (self.folder / "hub").exists():
            prepared.copy_to(self.folder / "hub")
        command = [
            sys.executable, "-m", "fileflux.cli.main", "serve",
            "--port", str(self.port), "--data-dir", str(self.folder / "hub"), "--workers", "2",
        ]  # fmt: skip
        if self._database_url:
            command += ["--database-url", self._database_url]
        self.process = Process(command, self.folder / f"hub-{self._starts}.log", self._env)
        return self.process

    def start(self) -> Hub:
        self.begin()
        return self.wait_ready()

    def wait_ready(self) -> Hub:
        """Wait for what ``begin`` began, and log in."""

        def listening() -> str | None:
            assert self.process is not None
            assert self.process.popen.poll() is None, f"the hub ended: {self.process.text()[-3000:]}"
            lines = [line for line in self.process.text().splitlines() if line.startswith("listening on ")]
            return lines[0].removeprefix("listening on ").strip() if lines else None

        url = wait_for("the hub to listen", listening, 40)
        self.port = int(url.rpartition(":")[2])
        if self._client is None:
            self._client = HubClient(url, ca_file=self.ca_file)
            wait_for("the login", lambda: self.client.login(EMAIL, self.password), 20)
        return self

    @property
    def running(self) -> Process:
        assert self.process is not None
        return self.process

    @property
    def client(self) -> HubClient:
        assert self._client is not None
        return self._client

    @property
    def environment(self) -> dict[str, str]:
        """Of its process."""
        return {**os.environ, **self._env}

    @property
    def server_pid(self) -> int:
        """The gunicorn worker: the hub's server process."""
        for child in psutil.Process(self.running.pid).children():
            if any("fileflux.cli.main" in word for word in child.cmdline()) and child.pid != self.running.pid:
                return child.pid
        raise AssertionError("the hub has no server process")

    @property
    def postgres_pid(self) -> int:
        for child in psutil.Process(self.running.pid).children():
            if child.name() == "postgres":
                return child.pid
        raise AssertionError("the hub has no PostgreSQL")

    def worker_pids(self) -> list[int]:
        return self.running.children("fileflux.workers.child")

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()
        if self.process is not None:
            self.process.stop(40)

    def enrol(self, name: str, folder: Path) -> tuple[int, Path]:
        """A new agent with a token file; returns its id and the file."""
        agent = self.client.post("/api/agents", {"name": name})
        token = self.client.post("/api/tokens", {"agent_id": agent["id"], "name": "test"})
        path = folder / f"{name}.token"
        path.write_text(token["value"])
        path.chmod(0o600)
        return agent["id"], path

    def job(self, source: int, source_path: Path, destination: int, destination_path: Path | str, **fields: Any) -> int:
        body = {
            "name": f"job-{secrets.token_hex(4)}",
            "source_agent_id": source,
            "source_path": str(source_path),
            "destination_agent_id": destination,
            "destination_path": str(destination_path),
            **fields,
        }
        return int(self.client.post("/api/jobs", body)["id"])

    def run(self, job_id: int) -> int:
        return int(self.client.post(f"/api/jobs/{job_id}/run")["id"])

    def show(self, run_id: int) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get(f"/api/runs/{run_id}")
        return answer

    def transfers(self, run_id: int) -> list[dict[str, Any]]:
        return list(self.client.pages("/api/transfers", run_id=run_id))

    def wait_ended(self, run_id: int, timeout: float = 60.0) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            run = self.show(run_id)
            return run if run["status"] in ("succeeded", "partial", "failed", "cancelled") else None

        try:
            result: dict[str, Any] = wait_for(f"run {run_id} to end", ended, timeout)
        except AssertionError:
            raise AssertionError(
                f"run {run_id} did not end: {self.show(run_id)} {self.transfers(run_id)[:5]} log: {self.running.text()[-3000:]}"
            ) from None
        return result


class Agent:
    """``flux-agent run`` with one folder to read and one to write."""

    def __init__(
        self,
        hub: Hub,
        name: str,
        folder: Path,
        env: dict[str, str] | None = None,
        workers: int = 2,
        hub_url: str | None = None,
    ) -> None:
        """``hub_url``: where the agent finds the hub, if not at the hub's own address."""
        self.name = name
        self.folder = folder
        self.read = folder / name / "read"
        self.write = folder / name / "write"
        self.read.mkdir(parents=True)
        self.write.mkdir()
        self.id, self.token_file = hub.enrol(name, folder)
        self._hub = hub
        self._hub_url = hub_url or hub.client.url
        self._workers = workers
        self._env = {f"FLUX_AGENT_LIMITS_{key}": value for key, value in QUICK_LIMITS.items()} | (env or {})
        self._home: Path | None = None
        self.process: Process | None = None
        self._starts = 0

    def move_in(self, home: Path) -> None:
        """From the next start on all that makes this agent is in ``home``: its configuration, its token and whatever it may keep."""
        folder = home / ".config" / "fileflux"
        folder.mkdir(parents=True)
        token = folder / "token"
        token.touch(0o600)
        token.write_text(self.token_file.read_text())
        configuration = {
            "hub": self._hub_url,
            "token_file": str(token),
            "name": self.name,
            "read": [str(self.read)],
            "write": [str(self.write)],
            "workers": self._workers,
            "limits": {name.lower(): value for name, value in QUICK_LIMITS.items()},
        }
        # JSON is YAML.
        (folder / "flux-agent.yaml").write_text(json.dumps(configuration))
        places = ("CONFIG", "DATA", "STATE", "CACHE")
        self._env = {"HOME": str(home)} | {f"XDG_{place}_HOME": str(home / f".{place.lower()}") for place in places}
        self._home = home

    def start(self, *, wait: bool = True) -> Agent:
        self._starts += 1
        command = [sys.executable, "-m", "flux_agent.cli", "run"]
        if self._home is None:
            command += [
                "--hub", self._hub_url, "--token-file", str(self.token_file), "--name", self.name,
                "--read", str(self.read), "--write", str(self.write), "--workers", str(self._workers),
            ]  # fmt: skip
        self.process = Process(command, self.folder / f"{self.name}-{self._starts}.log", self._env, self._home)
        if wait:
            self.wait_online()
        return self

    def wait_online(self) -> None:
        def online() -> bool:
            assert self.running.popen.poll() is None, (
                f"agent {self.name} ended with {self.running.popen.returncode}: {self.running.text()[-3000:]}"
            )
            return bool(self._hub.client.get(f"/api/agents/{self.id}")["status"] == "online")

        wait_for(f"agent {self.name} to be online", online, 30)

    @property
    def running(self) -> Process:
        assert self.process is not None
        return self.process

    def worker_pids(self) -> list[int]:
        return self.running.children("fileflux.workers.child")

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop(20)
