"""``fileflux demo``: hub, two agents and a real directory that moves between them, from nothing to a verified result."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fileflux.demo_tree import Difference, compare_trees, make_source
from fileflux.errors import FluxError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Console

    from fileflux.cli.client import HubClient

EMAIL = "demo@localhost"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
AGENTS = ("demo-source", "demo-destination")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception)(: |$)")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the demo keeps its things, all below one folder."""

    root: Path

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def destination(self) -> Path:
        return self.root / "destination"

    @property
    def hub(self) -> Path:
        return self.root / "hub"

    @property
    def password(self) -> Path:
        return self.root / "password"

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"


def main(*, once: bool, data_dir: Path | None = None, transport: str = "auto", showcase: bool = False) -> int:
    """Run the demo; returns the exit code. Without ``once`` it stays up until it is interrupted. ``transport``: of the agents.

    ``showcase``: a company of six agents instead (demo_showcase.py), until it is interrupted.
    """
    from rich.console import Console

    console = Console(stderr=True)
    places = Places((data_dir or default_dir()).absolute())
    places.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    processes = Processes()
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if showcase:
            return run_showcase(places, processes, console)
        return run_demo(places, processes, console, once=once, transport=transport)
    except KeyboardInterrupt:
        console.print("stopping")
        return 0 if not once else 130
    finally:
        processes.stop()
        signal.signal(signal.SIGTERM, previous)


def default_dir() -> Path:
    """The platform's data folder for the demo."""
    import platformdirs

    return Path(platformdirs.user_data_dir("fileflux")) / "demo"


class Processes:
    """The demo's own processes, each with a log file; stopped in the reverse order of their start."""

    def __init__(self, wrapper: list[str] | None = None) -> None:
        self._wrapper = wrapper
        self._running: list[tuple[str, subprocess.Popen[bytes], Path]] = []

    def start(
        self, name: str, module: str, arguments: list[str], log: Path, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Run a module of ours; ``wrapper`` is a script that runs it in its own way (benchmarks measure so)."""
        how = [*self._wrapper, module] if self._wrapper else ["-m", module]
        command = [sys.executable, *how, *arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
                start_new_session=True,
            )  # fmt: skip
        self._running.append((name, process, log))
        return process

    def pids(self) -> list[int]:
        return [process.pid for _, process, _ in self._running]

    def check(self) -> None:
        """Raises UnavailableError when one of them has ended."""
        for name, process, log in self._running:
            if process.poll() is not None:
                raise UnavailableError(
                    f"the {name} ended with code {process.returncode}: {last_words(log)} (its log: {log})"
                )

    def stop(self) -> None:
        for _, process, _ in reversed(self._running):
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def last_words(log: Path) -> str:
    """The line of a log that tells best why its program ended: the last of its own words, else of a traceback, else of all."""
    lines = log.read_text(errors="replace").strip().splitlines()
    own = [line.removeprefix("fileflux: ") for line in lines if line.startswith("fileflux: ")]
    raised = [line for line in lines if _RAISED.match(line)]
    return next(iter([*own[-1:], *raised[-1:], *lines[-1:]]), "it said nothing")[:500]


def run_demo(places: Places, processes: Processes, console: Console, *, once: bool, transport: str = "auto") -> int:
    """The demo itself; the caller stops ``processes``. Returns the exit code: 0 if everything was verified."""
    from fileflux.cli.client import HubClient
    from fileflux.cli.progress import watch_run

    url, password = start_hub(places, processes, console)
    made = make_source(places.source, console)
    with HubClient(url) as client:
        _log_in(client, password, places)
        for name, option, folder in zip(
            AGENTS, ("--read", "--write"), (places.source, places.destination), strict=True
        ):
            start_agent(client, places, processes, name, [(option, folder)], transport)
        agents = [wait_online(client, processes, name) for name in AGENTS]
        agent_ids = [agent["id"] for agent in agents]
        shutil.rmtree(places.destination)
        places.destination.mkdir(mode=0o700)
        job_id = _demo_job(client, places, agent_ids)
        console.print(f"hub: {url}   login: {EMAIL}   password: {password}", soft_wrap=True)
        console.print("agents: " + ", ".join(f"{agent['name']} by {agent['transport']}" for agent in agents))
        console.print(
            f"moving {made.files} files, {made.bytes / 2**20:.0f} MiB: {places.source} -> {places.destination}",
            soft_wrap=True,
        )
        run = client.post(f"/api/jobs/{job_id}/run")
        result = watch_run(client, run["id"], console)
        _print_result(console, client.get(f"/api/runs/{run['id']}"))
        differences = compare_trees(places.source, places.destination)
        ok = _say_verdict(console, result.status, differences, made.files)
        if once:
            return 0 if ok else 7
        console.print("the hub stays up; press Ctrl-C to stop it")
        while True:
            processes.check()
            time.sleep(0.5)


def run_showcase(places: Places, processes: Processes, console: Console) -> int:
    """The company; the caller stops ``processes`` and interrupts it."""
    from fileflux.cli.client import HubClient
    from fileflux.demo_showcase import Showcase

    url, password = start_hub(places, processes, console)
    with HubClient(url) as client:
        _log_in(client, password, places)
        company = Showcase(client, places, processes, console)
        company.begin()
        console.print(f"hub: {url}   login: {EMAIL}   password: {password}", soft_wrap=True)
        console.print("six agents move files until you press Ctrl-C")
        while True:
            processes.check()
            company.tick(time.monotonic())
            time.sleep(1.0)


def start_hub(places: Places, processes: Processes, console: Console) -> tuple[str, str]:
    """Start the hub with its embedded PostgreSQL; returns its URL and the demo's password."""
    password = _password(places)
    env = {"FILEFLUX_ADMIN_EMAIL": EMAIL, "FILEFLUX_ADMIN_PASSWORD": password}
    arguments = ["serve", "--port", "0", "--data-dir", str(places.hub)]
    log = places.log("hub")
    processes.start("hub", "fileflux.cli.main", arguments, log, env)
    with console.status("starting the hub and its PostgreSQL"):
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            for line in log.read_text(errors="replace").splitlines():
                if line.startswith("listening on "):
                    return line.removeprefix("listening on ").strip(), password
            processes.check()
            time.sleep(0.05)
    raise UnavailableError(f"the hub did not start within {START_TIMEOUT:.0f} s; see {log}")


def start_agent(
    client: HubClient,
    places: Places,
    processes: Processes,
    name: str,
    roots: list[tuple[str, Path]],
    transport: str = "auto",
) -> None:
    """Enrol an agent and start it with these folders, each with its option, ``--read`` or ``--write``."""
    for _, folder in roots:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    agents = {agent["name"]: agent for agent in client.pages("/api/agents")}
    agent = agents.get(name) or client.post("/api/agents", {"name": name})
    token = client.post("/api/tokens", {"agent_id": agent["id"], "name": "demo", "expires_in_days": 1})
    token_file = places.root / f"{name}.token"
    _write_secret(token_file, token["value"])
    arguments = [
        "run", "--hub", client.url, "--token-file", str(token_file),
        "--name", name, "--transport", transport, *(word for option, folder in roots for word in (option, str(folder))),
    ]  # fmt: skip
    # The hub is on this machine, whatever proxy the environment names.
    processes.start(name, "flux_agent.cli", arguments, places.log(name), {"FLUX_AGENT_PROXY": "none"})


def wait_online(client: HubClient, processes: Processes, name: str) -> dict[str, Any]:
    """The agent, once the hub says that it is online."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        for agent in client.pages("/api/agents"):
            if agent["name"] == name and agent["status"] == "online":
                return agent
        processes.check()
        time.sleep(0.05)
    raise UnavailableError(
        f"agent {name} did not come online within {START_TIMEOUT:.0f} s; see its log in the demo's folder"
    )


def _log_in(client: HubClient, password: str, places: Places) -> None:
    try:
        client.login(EMAIL, password)
    except FluxError as error:
        raise FluxError(
            f"cannot log in to the demo's hub ({error.message}): remove {places.root} and start again"
        ) from error


def _demo_job(client: HubClient, places: Places, agent_ids: list[int]) -> int:
    body = {
        "name": f"demo {time.strftime('%Y-%m-%d %H:%M:%S')} {secrets.token_hex(2)}",
        "source_agent_id": agent_ids[0],
        "source_path": str(places.source),
        "destination_agent_id": agent_ids[1],
        "destination_path": str(places.destination),
        "verify": "full",
    }
    return int(client.post("/api/jobs", body)["id"])


def _print_result(console: Console, run: dict[str, Any]) -> None:
    from rich.table import Table

    seconds = run.get("duration_s") or _seconds(run)
    moved, wire = run["bytes_done"], run["bytes_transferred"]
    table = Table(show_header=False, box=None)
    rows = (
        ("files", f"{run['files_done']} of {run['files_total']}"),
        ("bytes", f"{moved:,}"),
        ("bytes on the wire", f"{wire:,}"),
        ("ratio", f"{moved / wire:.2f}" if wire else "-"),
        ("throughput", f"{moved / seconds / 1e6:.0f} MB/s" if seconds else "-"),
        ("verified", "SHA-256 of every chunk and file, both ends" if run["status"] == "succeeded" else "no"),
    )
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def _seconds(run: dict[str, Any]) -> float:
    from datetime import datetime

    if not (run.get("started_at") and run.get("ended_at")):
        return 0.0
    return (datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run["started_at"])).total_seconds()


def _say_verdict(console: Console, status: str, differences: list[Difference], files: int) -> bool:
    if status == "succeeded" and not differences:
        console.print(f"[green]verified:[/green] both trees are equal: {files} files, names, content, mode and mtime")
        return True
    console.print(f"[red]not verified:[/red] the run ended as {status}; {len(differences)} differences")
    for difference in differences[:10]:
        console.print(f"  {difference.path}: {difference.what}")
    return False


def _password(places: Places) -> str:
    if places.password.exists():
        return places.password.read_text().strip()
    password = secrets.token_urlsafe(15)
    _write_secret(places.password, password)
    return password


def _write_secret(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
