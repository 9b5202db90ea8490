"""What people do with a hub, over REST and over the command line: the same whatever database it has."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import requests

from fileflux.cli.main import run
from tests.integration.conftest import Site
from tests.web.test_metrics import parsed


def scrape(site: Site) -> dict[str, dict[str, float]]:
    """What /metrics says: by name and label."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {site.hub.client.token}"}
        return parsed(session.get(f"{site.hub.client.url}/metrics", headers=headers, timeout=10).text)


class CommandLine:
    """``fileflux`` of somebody who is at the hub of ``site``."""

    def __init__(self, site: Site) -> None:
        self.env = {
            **site.hub.environment,
            "FILEFLUX_URL": site.hub.client.url,
            "FILEFLUX_TOKEN": str(site.hub.client.token),
            "FILEFLUX_DATA_DIR": str(site.folder / "hub"),
            "FILEFLUX_PORT": str(site.hub.port),
            "HOME": str(site.folder),
        }

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """In a process of its own, as whoever runs the hub does it."""
        command = [sys.executable, "-m", "fileflux.cli.main", *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """In this process: starting one for each command would take most of a test's time."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.env, clear=True),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = run(list(arguments))
        return subprocess.CompletedProcess(list(arguments), int(code), out.getvalue(), err.getvalue())

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What it printed; it must end with 0."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{arguments}: {done.returncode} {done.stderr} {done.stdout}"
        return done.stdout

    def record(self, *arguments: str, stdin: str = "") -> Any:
        """With ``--json``."""
        return json.loads(self(*arguments, "--json", stdin=stdin))


def everybody_does_everything(site: Site, folder: Path) -> None:
    """Two agents are online. Leaves history, a user and a key behind."""
    rest, fileflux = site.hub.client, CommandLine(site)
    mark = os.urandom(4).hex()
    tree = site.source.read / f"tree-{mark}"
    (tree / "deep").mkdir(parents=True)
    (tree / "a").write_bytes(os.urandom(3 * 2**20))
    (tree / "deep" / "b").write_text("b")

    # A job over REST, run by the command line.
    job = site.hub.job(site.source.id, tree, site.destination.id, site.destination.write / f"one-{mark}")
    shown = rest.get(f"/api/jobs/{job}")
    ended = fileflux.record("jobs", "run", shown["name"], "--wait", "--timeout", "60")
    assert (ended["status"], ended["files_done"]) == ("succeeded", 2)
    assert (site.destination.write / f"one-{mark}" / "a").read_bytes() == (tree / "a").read_bytes()
    assert {one["filename"] for one in site.hub.transfers(ended["id"])} == {"a", "deep/b"}

    # A job by the command line, changed and run over REST.
    fileflux(
        *("jobs", "create", f"two-{mark}", f"source:{tree}", f"destination:{site.destination.write / f'two-{mark}'}")
    )
    made = fileflux.record("jobs", "show", f"two-{mark}")
    rest.patch(f"/api/jobs/{made['id']}", {"description": "changed"})
    assert site.hub.wait_ended(site.hub.run(made["id"]))["status"] == "succeeded"
    assert len(list(rest.pages(f"/api/jobs/{made['id']}/versions"))) == 2
    assert {one["id"] for one in fileflux.record("runs", "list", "--job", f"two-{mark}")} >= {ended["id"] + 1}

    # People, keys, and what each may.
    email = f"{mark}@example.org"
    user = fileflux.record(
        "users", "create", email, "--role", "viewer", "--password-stdin", stdin=f"long enough {mark}"
    )
    assert rest.get(f"/api/users/{user['id']}")["role"] == "viewer"
    key = fileflux("keys", "create", mark, "--scope", "runs:read").strip()
    script = CommandLine(site)
    script.env["FILEFLUX_TOKEN"] = key
    assert script.record("runs", "show", str(ended["id"]))["status"] == "succeeded"
    assert script.run("agents", "list").returncode == 4
    assert key.startswith("ffk_")
    assert key.partition("_")[2] not in site.hub.running.text()

    # What is written down of it.
    dashboard = rest.get("/api/dashboard")
    assert dashboard["agents"]["online"] == 2
    assert dashboard["runs"]["last_24h"]["succeeded"] >= 2
    actions = {entry["action"] for entry in rest.pages("/api/audit")}
    assert {"agent.connected", "run.ended", "user.created"} <= actions

    # Whoever runs the hub.
    report = fileflux.process("doctor", "-o", "json")
    found = {check["name"]: check for check in json.loads(report.stdout)["checks"]}
    assert (report.returncode, found["hub"]["found"]) == (0, "runs and is ready"), report.stdout
    assert found["port"]["status"] == "skipped"
    assert found["schema"]["found"].endswith("current")
    assert fileflux.process("backup", str(folder / f"{mark}.backup")).returncode == 0
