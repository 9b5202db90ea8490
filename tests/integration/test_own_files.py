"""Jobs against an agent whose roots hold the agent itself: its configuration, its secrets and its program stay its own, however they were named."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fileflux
from tests.certificates import Authority
from tests.integration.harness import Hub, Process, wait_for

NAMED = ("flags", "environment", "usual-place")


class Tempted:
    """An agent that lives in the very folder that it may read and write, and may write where its program lies."""

    def __init__(self, hub: Hub, folder: Path, how: str) -> None:
        self.hub = hub
        self.root = folder / how
        self.home = self.root / "home"
        usual = self.home / ".config" / "fileflux"
        usual.mkdir(parents=True)
        self.id, self.token = hub.enrol(how, self.root)
        self.file = (usual if how == "usual-place" else self.root) / "flux-agent.yaml"
        self.ca = Authority(self.root).file
        roots = {"read": [str(self.root)], "write": [str(self.root), str(Path(sys.prefix).parent)]}
        values: dict[str, Any] = {"hub": hub.client.url, "name": how, "workers": 1, "ca_file": str(self.ca), **roots}
        flags: list[str] = []
        environment = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / ".config")}
        match how:
            case "flags":
                flags = ["--config", str(self.file), "--token-file", str(self.token)]
            case "environment":
                environment |= {"FLUX_AGENT_CONFIG": str(self.file), "FLUX_AGENT_TOKEN_FILE": str(self.token)}
            case _:
                values["token_file"] = str(self.token)
        # JSON is YAML.
        self.file.write_text(json.dumps(values))
        command = [sys.executable, "-m", "flux_agent.cli", "run", *flags]
        self.process = Process(command, folder / "log", environment)

    def wait_online(self) -> None:
        def online() -> bool:
            assert self.process.popen.poll() is None, self.process.text()[-2000:]
            return bool(self.hub.client.get(f"/api/agents/{self.id}")["status"] == "online")

        wait_for("the agent to be online", online)

    def move(self, source: Path, destination: Path | str) -> dict[str, Any]:
        return self.hub.wait_ended(self.hub.run(self.hub.job(self.id, source, self.id, destination)))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("own-hub")).start()
    try:
        yield hub
    finally:
        hub.stop()


@pytest.fixture(scope="module", params=NAMED)
def agent(hub: Hub, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Tempted]:
    agent = Tempted(hub, tmp_path_factory.mktemp("own"), request.param)
    try:
        agent.wait_online()
        yield agent
    finally:
        agent.process.stop()


def test_no_job_reads_what_is_secret(agent: Tempted) -> None:
    for path in (agent.token, agent.file):
        run = agent.move(path, agent.root / "stolen")
        assert run["status"] == "failed", run
        assert "belongs to the agent itself" in run["reason"]
    run = agent.move(agent.root, agent.root / "stolen")
    assert run["status"] == "succeeded", run
    taken = {path.name for path in (agent.root / "stolen").rglob("*")}
    assert taken >= {"ca.pem", "home"}
    assert not taken & {agent.token.name, agent.file.name}


def test_no_job_writes_what_is_the_agents_own(agent: Tempted) -> None:
    mine = agent.root / "mine"
    mine.write_text("captured")
    alias = agent.root / "alias"
    os.link(agent.token, alias)
    kept = {path: path.read_bytes() for path in (agent.token, agent.file, agent.ca, alias)}
    for path in kept:
        run = agent.move(mine, path)
        assert run["status"] == "failed", run
        assert agent.hub.transfers(run["id"])[0]["code"] == "refused_path"
    assert {path: path.read_bytes() for path in kept} == kept


def test_no_job_writes_where_the_program_lies(agent: Tempted) -> None:
    mine = agent.root / f"probe-{os.urandom(4).hex()}"
    mine.write_text("captured")
    # The hub's pages would be served from its package.
    packages = Path(fileflux.__file__).parent
    folders = [Path(sys.prefix), Path(sys.prefix, "bin"), Path(sys.prefix, "new"), packages, packages / "web" / "new"]
    try:
        for folder in folders:
            run = agent.move(mine, f"{folder}/")
            assert run["status"] == "failed", run
            assert agent.hub.transfers(run["id"])[0]["code"] == "refused_path"
            assert not (folder / mine.name).exists()
    finally:
        for folder in folders:
            (folder / mine.name).unlink(missing_ok=True)
    assert not any(folder.exists() for folder in folders if folder.name == "new")
