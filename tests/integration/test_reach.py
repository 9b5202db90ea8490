"""Real agents reach a real hub through what stands in between, and ``flux-agent doctor`` says what it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.agent.transports.stand_ins import Front, Tunnel
from tests.certificates import Authority
from tests.integration.conftest import Site
from tests.integration.harness import Agent, Hub, wait_for

SIZE = 20 * 2**20


@contextmanager
def agent_there(site: Site, hub_url: str | None = None, **env: str) -> Iterator[Agent]:
    agent = Agent(site.hub, f"there-{os.urandom(4).hex()}", site.folder, env=env, hub_url=hub_url).start()
    try:
        yield agent
    finally:
        agent.stop()


def move_there_and_back(site: Site, agent: Agent) -> None:
    """A file goes to the agent and comes back."""
    data = os.urandom(SIZE)
    name = f"{os.urandom(4).hex()}.bin"
    (site.source.read / name).write_bytes(data)
    there = site.hub.job(site.source.id, site.source.read / name, agent.id, f"{agent.write}/")
    back = site.hub.job(agent.id, agent.read / name, site.destination.id, f"{site.destination.write}/")
    for job, arrived in ((there, agent.write / name), (back, site.destination.write / name)):
        run = site.hub.wait_ended(site.hub.run(job), 120)
        assert run["status"] == "succeeded", site.hub.transfers(run["id"])
        assert hashlib.sha256(arrived.read_bytes()).digest() == hashlib.sha256(data).digest()
        if arrived.parent == agent.write:
            arrived.rename(agent.read / name)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_files_move_through_a_proxy_with_credentials(site: Site, transport: str) -> None:
    with Tunnel("us@er:p:w") as proxy:
        environment = {
            "HTTP_PROXY": f"http://us%40er:p%3Aw@{proxy.authority}",
            "NO_PROXY": "other.example",
            "FLUX_AGENT_TRANSPORT_MODE": transport,
        }
        with agent_there(site, **environment) as agent:
            assert site.hub.client.get(f"/api/agents/{agent.id}")["transport"] == transport
            move_there_and_back(site, agent)
            assert set(proxy.targets) == {f"127.0.0.1:{site.hub.port}"}
            assert f"via {proxy.url}" in agent.running.text()
            assert "p:w" not in agent.running.text()
            assert "p%3Aw" not in agent.running.text()
        assert b"ffx_" not in b"".join(proxy.heads)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_files_move_over_tls_through_a_proxy(site: Site, tmp_path: Path, transport: str) -> None:
    authority = Authority(tmp_path)
    with Front(site.hub.port, authority.server_context()) as front, Tunnel() as proxy:
        environment = {
            "FLUX_AGENT_CA_FILE": str(authority.file),
            "FLUX_AGENT_PROXY": proxy.url,
            "FLUX_AGENT_TRANSPORT_MODE": transport,
        }
        with agent_there(site, f"https://localhost:{front.port}", **environment) as agent:
            move_there_and_back(site, agent)
            assert set(proxy.targets) == {f"localhost:{front.port}"}


@pytest.fixture
def own_ca(tmp_path: Path) -> Iterator[Hub]:
    """A hub with ``--tls auto``: its tokens carry a pin."""
    hub = Hub(tmp_path, env={"FILEFLUX_TLS": "auto"}, ca_file=str(tmp_path / "hub" / "tls" / "ca.pem")).start()
    try:
        yield hub
    finally:
        hub.stop()


def test_the_pin_of_the_token_is_all_that_an_agent_needs(own_ca: Hub, tmp_path: Path) -> None:
    hub = own_ca
    agents = [
        Agent(hub, transport, tmp_path, env={"FLUX_AGENT_TRANSPORT_MODE": transport}).start()
        for transport in ("websocket", "polling")
    ]
    source, destination = agents
    try:
        data = os.urandom(SIZE)
        (source.read / "x").write_bytes(data)
        job = hub.job(source.id, source.read / "x", destination.id, f"{destination.write}/")
        assert hub.wait_ended(hub.run(job))["status"] == "succeeded"
        assert (destination.write / "x").read_bytes() == data
        code, layers = doctor(source, "--hub", hub.client.url)
        assert (code, layers["tls"]["status"], layers["upgrade"]["status"]) == (0, "ok", "ok")
        assert "verified against the pinned CA" in layers["tls"]["found"]
        # The hub gets another CA: to its agents it is another hub, and they say so and tell it nothing.
        hub.running.stop(40)
        shutil.rmtree(tmp_path / "hub" / "tls")
        hub.start()
        for agent in agents:
            wait_for("the agent to find another hub", lambda agent=agent: "hub_is_another" in agent.running.text(), 30)
            assert agent.running.popen.poll() is None
        code, layers = doctor(source, "--hub", hub.client.url)
        assert (code, layers["tls"]["status"], layers["token"]["status"]) == (4, "fail", "skipped")
        assert "somebody in between" in layers["tls"]["found"]
        assert {hub.client.get(f"/api/agents/{agent.id}")["status"] for agent in agents} == {"offline"}
    finally:
        for agent in agents:
            agent.stop()


def doctor(agent: Agent, *words: str, **env: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code, and what was found by layer."""
    command = [sys.executable, "-m", "flux_agent.cli", "doctor", "-o", "json"]
    done = subprocess.run(
        [*command, "--token-file", str(agent.token_file), "--read", str(agent.read), *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def connected(agent: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(agent["connected_since"])


def test_doctor_finds_all_well_and_disturbs_nobody(site: Site) -> None:
    before = site.hub.client.get(f"/api/agents/{site.source.id}")
    for _ in range(3):
        code, layers = doctor(site.source, "--hub", site.hub.client.url)
        assert code == 0
        assert {layer["status"] for layer in layers.values()} == {"ok", "skipped"}
        assert layers["upgrade"]["found"] == "WebSocket passes, both ways"
        assert "of agent source" in layers["token"]["found"]
    after = site.hub.client.get(f"/api/agents/{site.source.id}")
    assert after["status"] == "online"
    assert abs(connected(after) - connected(before)) < timedelta(seconds=1)
    assert site.source.running.text().count("connected ") == 1
    assert site.hub.client.post(f"/api/agents/{site.source.id}/test")


def test_doctor_over_tls_and_a_proxy(site: Site, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Front(site.hub.port, authority.server_context()) as front, Tunnel() as proxy:
        url = f"https://127.0.0.1:{front.port}"
        code, layers = doctor(site.source, "--hub", url, "--ca-file", str(authority.file), "--proxy", proxy.url)
        assert code == 0, layers
        assert {layer["status"] for layer in layers.values()} == {"ok"}
        code, layers = doctor(site.source, "--hub", url)
        assert (code, layers["tls"]["status"], layers["http"]["status"]) == (5, "fail", "skipped")


def test_doctor_of_an_agent_whose_token_is_gone(site: Site) -> None:
    with agent_there(site) as agent:
        pass
    for token in site.hub.client.pages("/api/tokens"):
        if token["agent_id"] == agent.id:
            site.hub.client.delete(f"/api/tokens/{token['id']}")
    code, layers = doctor(agent, "--hub", site.hub.client.url)
    assert (code, layers["token"]["status"], layers["upgrade"]["status"]) == (4, "fail", "skipped")
