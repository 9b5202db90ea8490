"""``fileflux send`` from and to this machine: a real command with a temporary agent of its own, a real hub, and one real agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.harness import QUICK_LIMITS, Agent, Hub, wait_for

BIG = 6 * 2**30
"""All holes: nothing to write, and long enough to be interrupted in."""


class Here:
    """A hub, the agent ``a``, and a folder on this machine in which commands are run."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder).start()
        self.agent = Agent(self.hub, "a", folder).start()
        self.folder = folder / "here"
        self.folder.mkdir()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()

    def start(self, *words: str) -> subprocess.Popen[str]:
        limits = {f"FLUX_AGENT_LIMITS_{name}": value for name, value in QUICK_LIMITS.items()}
        env = {
            "FILEFLUX_URL": self.hub.client.url,
            "FILEFLUX_TOKEN": self.hub.client.token,
            "TMPDIR": str(self.temporary),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "fileflux.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=os.environ | limits | env,
        )

    def send(self, *words: str) -> tuple[int, str, str]:
        with self.start("send", *words) as command:
            out, err = command.communicate(timeout=60)
        return command.returncode, out, err

    def agents(self) -> list[dict[str, Any]]:
        return list(self.hub.client.pages("/api/agents", temporary="true"))

    def nothing_is_left(self) -> None:
        assert {agent["status"] for agent in self.agents()} == {"revoked"}
        assert list(self.temporary.iterdir()) == []


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    here = Here(tmp_path_factory.mktemp("send"))
    try:
        yield here
    finally:
        here.agent.stop()
        here.hub.stop()


def running(here: Here, words: tuple[str, ...], part: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A command in mid-transfer, and its agent."""
    command = here.start("send", *words)

    def moving() -> psutil.Process | None:
        assert command.poll() is None, command.communicate()
        children = [
            child for child in psutil.Process(command.pid).children() if "flux_agent.cli" in " ".join(child.cmdline())
        ]
        begun = [entry for entry in part.iterdir() if entry.stat().st_size > 2**20] if part.is_dir() else []
        return children[0] if children and begun else None

    return command, wait_for("the transfer to be under way", moving)


def test_from_this_machine(here: Here) -> None:
    tree = here.folder / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    (tree / "sub" / "b.txt").write_text("b")
    (here.folder / "report.txt").write_text("report")
    with here.start("events", "--type", "agent", "--count", "1", "--timeout", "60") as feed:
        code, out, err = here.send("report.txt", "tree", f"a:{here.agent.write}/in", "--json")
        heard = json.loads(feed.communicate(timeout=60)[0])
    assert code == 0, err
    assert heard["data"]["temporary"] is True
    assert [run["status"] for run in json.loads(out)] == ["succeeded", "succeeded"]
    arrived = here.agent.write / "in"
    assert (arrived / "report.txt").read_text() == "report"
    assert (arrived / "sub" / "b.txt").read_text() == "b"
    assert (arrived / "sub" / "empty").is_dir()
    assert "succeeded" in err
    here.nothing_is_left()
    assert list(here.hub.client.pages("/api/jobs")) == []


def test_to_this_machine(here: Here) -> None:
    (here.agent.read / "x" / "deep").mkdir(parents=True)
    (here.agent.read / "x" / "deep" / "one").write_text("1")
    code, out, err = here.send(f"a:{here.agent.read}/x", "./new/")
    assert (code, (here.folder / "new" / "deep" / "one").read_text()) == (0, "1"), err
    assert "1 file moved" in out
    code, _, err = here.send(f"a:{here.agent.read}/x/deep/one", "renamed")
    assert (code, (here.folder / "renamed").read_text()) == (0, "1"), err
    here.nothing_is_left()


def test_ctrl_c_in_the_middle_leaves_nothing_behind(here: Here) -> None:
    with (here.agent.read / "big").open("wb") as file:
        file.truncate(BIG)
    target = here.folder / "target"
    command, agent = running(here, (f"a:{here.agent.read}/big", "target/"), target)
    assert not any("ffx_" in word for word in agent.cmdline())
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (8, ""), err
    assert "is being cancelled" in err
    assert not agent.is_running()
    assert list(target.iterdir()) == []
    here.nothing_is_left()
    (last,) = here.hub.client.pages("/api/runs", 1, sort="-id")
    assert last["status"] == "cancelled"


def test_the_agent_ends_with_a_command_that_is_killed(here: Here) -> None:
    with (here.agent.read / "big").open("wb") as file:
        file.truncate(BIG)
    command, agent = running(here, (f"a:{here.agent.read}/big", "killed/"), here.folder / "killed")
    command.kill()
    command.communicate()
    wait_for("the temporary agent to end", lambda: not agent.is_running(), 20)
    (last,) = here.hub.client.pages("/api/runs", 1, sort="-id")
    here.hub.client.post(f"/api/runs/{last['id']}/cancel")
