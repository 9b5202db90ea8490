"""A hub and two agents of their own for each module: starting them takes two seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.harness import Agent, Hub


class Site:
    """The hub, a source agent and a destination agent. With ``source_link`` the source speaks to the hub through ``proxy``."""

    proxy: FaultProxy | None = None

    def __init__(self, folder: Path, hub_env: dict[str, str] | None = None, source_link: Rule | None = None) -> None:
        self.folder = folder
        self.hub = Hub(folder, env=hub_env).start()
        if source_link is not None:
            self.proxy = FaultProxy(self.hub.port, rule=source_link).start()
        hub_url = None if self.proxy is None else self.proxy.url()
        self.source = Agent(self.hub, "source", folder, hub_url=hub_url).start(wait=False)
        self.destination = Agent(self.hub, "destination", folder).start(wait=False)
        for agent in (self.source, self.destination):
            agent.wait_online()

    def stop(self) -> None:
        for part in (self.source, self.destination, self.proxy, self.hub):
            if part is not None:
                part.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def big(site: Site) -> Iterator[Path]:
    """A source file in which every 4 KiB block carries its number, so that mixed content shows."""
    path = site.source.read / f"big-{os.urandom(4).hex()}.bin"
    write_numbered(path, 192 * 2**20)
    yield path
    path.unlink()


def write_numbered(path: Path, size: int) -> None:
    noise = os.urandom(4096 - 16)
    generation = os.urandom(8)
    with path.open("wb") as file:
        for block in range(size // 4096):
            file.write(generation + block.to_bytes(8, "big") + noise)
