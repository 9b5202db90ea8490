"""This machine as one end: what its agent may touch, what it is told, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fileflux.cli import local_agent
from fileflux.cli.client import HubClient
from fileflux.cli.local_agent import LocalAgent, LocalEnd, local_destination, local_source
from fileflux.errors import ConfigError, FluxError, NotFoundError, UnavailableError
from tests.cli.stub import StubHub, problem


@pytest.fixture
def home(tmp_path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "home"
    (folder / "dir" / "sub").mkdir(parents=True)
    (folder / "dir" / "a.csv").write_text("a")
    (folder / "link").symlink_to(folder / "dir" / "a.csv")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.mark.parametrize(
    ("text", "path", "root"),
    [
        ("dir", "dir", "dir"),
        ("./dir/", "dir", "dir"),
        (".", ".", "."),
        ("dir/..", ".", "."),
        ("dir/a.csv", "dir/a.csv", "dir"),
        ("link", "dir/a.csv", "dir"),
        ("~/dir", "dir", "dir"),
        ("dir/*.csv", "dir/*.csv", "dir"),
        ("*/a.csv", "*/a.csv", "."),
    ],
)
def test_a_source_opens_its_own_folder_and_no_other(home, text: str, path: str, root: str) -> None:
    assert local_source(text) == LocalEnd(str(home / path), str(home / root))


def test_what_cannot_be_read_is_said_before_anything_is_made(home) -> None:
    os.mkfifo(home / "pipe")
    for text, error, words in (
        ("missing", NotFoundError, "no such file"),
        ("pipe", ConfigError, "neither a file nor a folder"),
        ("no/*", ConfigError, "no folder"),
    ):
        with pytest.raises(error, match=words):
            local_source(text)


@pytest.mark.parametrize(
    ("host", "name"), [("web-1.example.org", "web-1"), ("a_b", "a_b"), ("", "send"), ("-x", "send"), ("a:b", "send")]
)
def test_an_agents_name_is_one_that_the_hub_takes(monkeypatch: pytest.MonkeyPatch, host: str, name: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert local_agent._host_name() == name


@pytest.mark.parametrize(
    ("text", "path", "root"),
    [
        ("dir", "dir/", "dir"),
        ("dir/a.csv", "dir/a.csv", "dir"),
        ("new", "new", "."),
        ("new/", "new/", "new"),
        ("x/y/", "x/y/", "x/y"),
    ],
)
def test_a_destination(home, text: str, path: str, root: str) -> None:
    expected = LocalEnd(str(home / path).rstrip("/") + ("/" if path.endswith("/") else ""), str(home / root))
    assert local_destination(text) == expected
    assert (home / "new").exists() == (text == "new/")


def test_a_destination_without_a_folder(home) -> None:
    with pytest.raises(ConfigError, match="make it first"):
        local_destination("nowhere/name")
    with pytest.raises(ConfigError, match="cannot make this folder"):
        local_destination("dir/a.csv/x/")


class Child:
    """In place of a real agent."""

    started: list[Child]
    ends_with: int | None = None

    def __init__(self, command: list[str], *, env: dict[str, str], stderr: Any, **options: Any) -> None:
        self.command, self.env, self.options = command, env, options
        file = Path(command[command.index("--config") + 1])
        self.mode = file.stat().st_mode & 0o777
        self.configuration = json.loads(file.read_text())
        self.stdin = open(os.devnull, "wb")  # noqa: SIM115  # as long as the child lives
        self.code = self.ends_with
        if stderr is not None and self.ends_with is not None:
            os.write(stderr.fileno(), b"started\nflux-agent: the disk \x1b[2J is on fire\n")
        self.started.append(self)

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        if not self.stdin.closed:
            raise subprocess.TimeoutExpired(self.command, timeout or 0)
        self.code = 0
        return 0

    def kill(self) -> None:
        self.code = -9


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path):
    Child.started, Child.ends_with = [], None
    monkeypatch.setattr(local_agent.subprocess, "Popen", Child)
    monkeypatch.setattr(local_agent.tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(local_agent, "POLL_S", 0.001)
    yield Child
    for started in Child.started:
        started.stdin.close()
    assert list((tmp_path / "t").iterdir()) == []


def agent(hub: StubHub, said: list[str]) -> LocalAgent:
    return LocalAgent(HubClient(hub.url, "t"), ["/r"], [], said.append)


def test_it_knows_its_own_folders_and_its_token_and_nothing_of_another_agent(
    hub: StubHub, child: type[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ca.pem")
    monkeypatch.setenv("FLUX_AGENT_READ", "/")
    monkeypatch.setenv("FLUX_AGENT_TOKEN", "ffx_other")
    monkeypatch.setenv("FLUX_AGENT_LIMITS_WINDOW_MAX", "1000000")
    monkeypatch.setenv("FLUX_AGENT_PROXY", "http://proxy:3128")
    said: list[str] = []
    with agent(hub, said) as local:
        assert local.id == 30
        (started,) = child.started
        assert started.configuration == {
            "hub": hub.url, "token": "ffx_secret", "name": "fileflux send", "insecure": True, "read": ["/r"], "write": [],
            "ca_file": "/etc/ca.pem",
        }  # fmt: skip
        assert started.mode == 0o600
        assert not any("ffx_" in word for word in started.command)
        names = {name for name in started.env if name.startswith("FLUX_AGENT_")}
        assert names == {"FLUX_AGENT_LIMITS_WINDOW_MAX", "FLUX_AGENT_PROXY"}
        assert started.options["start_new_session"] is True
    assert started.code == 0
    assert hub.lines()[-1] == "DELETE /api/temporary-agents/30"
    assert said == []


def test_one_that_ends_at_once_says_why(hub: StubHub, child: type[Child]) -> None:
    child.ends_with = 2
    hub.routes["GET /api/agents/30"] = (200, {"status": "new"})
    with pytest.raises(FluxError, match=r"ended at once: flux-agent: the disk \\x1b\[2J is on fire"), agent(hub, []):
        pass
    assert hub.lines()[-1] == "DELETE /api/temporary-agents/30"


def test_one_that_never_comes_online_is_given_up(
    hub: StubHub, child: type[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_agent, "ONLINE_S", 0.05)
    hub.routes["GET /api/agents/30"] = (200, {"status": "offline"})
    with pytest.raises(UnavailableError, match="did not reach"), agent(hub, []):
        pass
    assert child.started[0].code == 0
    assert hub.lines()[-1] == "DELETE /api/temporary-agents/30"


def test_a_refusal_starts_nothing(hub: StubHub, child: type[Child]) -> None:
    hub.routes["POST /api/temporary-agents"] = problem(403, "forbidden")
    with pytest.raises(FluxError), agent(hub, []):
        pass
    assert child.started == []


def test_a_hub_that_is_away_at_the_end_is_said(hub: StubHub, child: type[Child]) -> None:
    said: list[str] = []
    with agent(hub, said):
        hub.routes["DELETE /api/temporary-agents/30"] = problem(503, "unavailable", "stopping")
    assert said == ["the temporary agent 30 is stopped, but the hub could not be told: stopping"]
    assert child.started[0].code == 0


def test_ctrl_c_while_it_stops_goes_on_with_the_rest(
    hub: StubHub, child: type[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Child, timeout: float | None = None) -> int:
        if self.code is None:
            raise KeyboardInterrupt
        return self.code

    with agent(hub, []):
        monkeypatch.setattr(Child, "wait", interrupted)
    assert child.started[0].code == -9
    assert hub.lines()[-1] == "DELETE /api/temporary-agents/30"


def test_no_room_for_temporary_files(hub: StubHub, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(local_agent.tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="set TMPDIR"), agent(hub, []):
        pass
    assert hub.lines() == []
