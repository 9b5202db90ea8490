"""What whoever runs a hub does on its machine, as whole programs: the demo, then migrate, doctor, backup and restore of the demo's hub."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from fileflux.cli.client import HubClient
from fileflux.demo import EMAIL
from fileflux.demo_tree import BIG_FILE
from tests.integration.harness import Process, wait_for

FILEFLUX = [sys.executable, "-m", "fileflux.cli.main"]


def test_the_demo(tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    source = demo / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "small").write_text("small")
    # A demo keeps the files that it finds; its own take longer.
    (source / BIG_FILE).write_bytes(os.urandom(3 * 2**20))

    once = fileflux("demo", "--once", "--data-dir", str(demo))
    assert once.returncode == 0, once.stderr
    assert "verified: both trees are equal: 2 files" in once.stderr
    assert not running_below(demo)

    hub = str(demo / "hub")
    migrated = fileflux("migrate", "--data-dir", hub)
    assert (migrated.returncode, migrated.stderr) == (0, "0 migrations applied\n")
    kept = tmp_path / "hub.backup"
    assert fileflux("backup", "--data-dir", hub, str(kept)).returncode == 0
    (demo / "hub").rename(demo / "old")
    restored = fileflux("restore", "--data-dir", hub, str(kept))
    assert restored.returncode == 0, restored.stderr
    looked = fileflux("doctor", "--data-dir", hub, "-o", "json", port="0")
    assert looked.returncode == 0, looked.stdout
    assert {check["name"]: check["status"] for check in json.loads(looked.stdout)["checks"]}["schema"] != "fail"

    demo_that_stays = Process([*FILEFLUX, "demo", "--data-dir", str(demo)], tmp_path / "log", {})
    try:
        wait_for("the demo to be through", lambda: "the hub stays up" in demo_that_stays.text())
        assert "verified: both trees are equal: 2 files" in demo_that_stays.text()
        assert len(running_below(demo)) >= 3
        demo_that_stays.popen.send_signal(signal.SIGINT)
        assert demo_that_stays.popen.wait(30) == 0
    finally:
        demo_that_stays.stop()
    assert not running_below(demo)


def test_the_showcase(tmp_path: Path) -> None:
    """A company to look at: everything is there, moves, and goes on until it is interrupted."""
    demo = tmp_path / "demo"
    shown = Process([*FILEFLUX, "demo", "--showcase", "--data-dir", str(demo)], tmp_path / "log", {})
    try:
        wait_for("the company to work", lambda: "six agents move files" in shown.text(), 90)
        url, password = re.findall(r"hub: (\S+) .* password: (\S+)", shown.text())[0]
        with HubClient(url) as client:
            client.login(EMAIL, password)
            agents = list(client.pages("/api/agents"))
            assert sorted(agent["transport"] for agent in agents) == ["polling"] + 5 * ["websocket"]
            wait_for(
                "an order to be moved",
                lambda: any(run["requested_by"] == "watch" for run in client.pages("/api/runs")),
                60,
            )
            wait_for("a run to fail", lambda: any(client.pages("/api/runs", status="failed")), 30)
            (failed,) = client.pages("/api/runs", status="failed")
            assert "does not exist" in failed["reason"]
            assert client.get("/api/schedules/upcoming")["items"]
            moving = client.get("/api/dashboard")["active_runs"]
            assert "transferring" in [run["status"] for run in moving]
        shown.popen.send_signal(signal.SIGINT)
        assert shown.popen.wait(30) == 0
    finally:
        shown.stop()
    assert not running_below(demo)
    assert fileflux("demo", "--once", "--showcase").returncode == 2


def fileflux(*words: str, port: str = "8040") -> subprocess.CompletedProcess[str]:
    env = os.environ | {"FILEFLUX_PORT": port}
    return subprocess.run([*FILEFLUX, *words], env=env, capture_output=True, text=True, timeout=90, check=False)


def running_below(folder: Path) -> list[int]:
    """Programs that were started with a place in ``folder``."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid() and any(str(folder) in word for word in process.info["cmdline"] or [])
    ]
