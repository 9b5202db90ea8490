"""An agent that finds the hub through something, and files that go to it and come back from it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fileflux.protocol.limits import MIB
from tests.integration.conftest import Site
from tests.integration.harness import Agent, wait_for

SMALL = 16 * MIB


@contextmanager
def behind(site: Site, hub_url: str, env: dict[str, str] | None = None, *, wait: bool = True) -> Iterator[Agent]:
    """An agent that reads and writes, and finds the hub at ``hub_url``."""
    agent = Agent(site.hub, f"behind-{os.urandom(4).hex()}", site.folder, env=env, hub_url=hub_url)
    try:
        yield agent.start(wait=wait)
    finally:
        agent.stop()


def shown(site: Site, agent: Agent) -> tuple[str, str, str]:
    """Status, transport and the reason for it, as people are shown them."""
    answer: dict[str, Any] = site.hub.client.get(f"/api/agents/{agent.id}")
    return str(answer["status"]), str(answer["transport"]), str(answer["transport_reason"] or "")


def wait_transport(site: Site, agent: Agent, transport: str, timeout: float = 10) -> str:
    """Until the agent is online with this transport; the reason that is shown for it."""
    wait_for(
        f"{agent.name} to be online over {transport}", lambda: shown(site, agent)[:2] == ("online", transport), timeout
    )
    return shown(site, agent)[2]


def stays_online(site: Site, agent: Agent, transport: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert shown(site, agent)[:2] == ("online", transport), agent.running.text()
        time.sleep(0.1)


def move_both_ways(site: Site, agent: Agent, size: int) -> None:
    """A file goes to ``agent`` and comes back from it, the other end being direct."""
    name = f"{os.urandom(4).hex()}.bin"
    first = site.source.read / name
    digest = hashlib.sha256()
    with first.open("wb") as file:
        for _ in range(size // MIB):
            part = os.urandom(MIB)
            digest.update(part)
            file.write(part)
    away = site.hub.job(site.source.id, first, agent.id, f"{agent.write}/", compression="none", verify="full")
    run_whole(site, away, agent.write / name, digest.hexdigest())
    (agent.write / name).rename(agent.read / name)
    back = site.hub.job(
        agent.id,
        agent.read / name,
        site.destination.id,
        f"{site.destination.write}/",
        compression="none",
        verify="full",
    )
    run_whole(site, back, site.destination.write / name, digest.hexdigest())
    for path in (first, agent.read / name, site.destination.write / name):
        path.unlink()


def run_whole(site: Site, job: int, arrived: Path, sha256: str) -> None:
    run = site.hub.wait_ended(site.hub.run(job), 300)
    assert run["status"] == "succeeded", (run, site.hub.transfers(run["id"]))
    with arrived.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == sha256
