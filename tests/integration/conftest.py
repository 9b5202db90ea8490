"""A hub and two agents of their own for each module: starting them takes two seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Agent, Hub


class Site:
    """The hub, a source agent and a destination agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = Hub(folder).start()
        self.source = Agent(self.hub, "source", folder).start()
        self.destination = Agent(self.hub, "destination", folder).start()

    def stop(self) -> None:
        for part in (self.source, self.destination, self.hub):
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
