"""Every command of the how-to pages is run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cases import missing_test
from tests.docs import runner
from tests.integration.conftest import Site
from tests.integration.harness import EMAIL

HOW_TO = sorted((runner.ROOT / "docs" / "how-to").glob("*.md"))


class Reader:
    """Somebody with a hub at hand: a folder, and what the environment says of the hub."""

    def __init__(self, site: Site) -> None:
        self._client = site.hub.client
        self._own = {site.source.id, site.destination.id}
        self._cleared = 0
        self.env = {
            "FILEFLUX_HUB": site.hub.client.url,
            "FILEFLUX_URL": site.hub.client.url,
            "FILEFLUX_TOKEN": str(site.hub.client.token),
            "FILEFLUX_EMAIL": EMAIL,
            "FILEFLUX_DATA_DIR": str(site.folder / "hub"),
            "FILEFLUX_PORT": str(site.hub.port),
        }

    def clear(self) -> None:
        """Every page finds what it would find alone: no job, and no agent that has the name of one of its own."""
        for job in [*self._client.pages("/api/jobs")]:
            self._client.delete(f"/api/jobs/{job['id']}")
        for agent in [*self._client.pages("/api/agents")]:
            if agent["id"] not in self._own and agent["status"] != "revoked":
                self._cleared += 1
                self._client.patch(f"/api/agents/{agent['id']}", {"name": f"of-an-earlier-page-{self._cleared}"})
                self._client.delete(f"/api/agents/{agent['id']}")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    site = Site(tmp_path_factory.mktemp("docs"))
    (site.source.read / "report.csv").write_text("a,b\n")
    try:
        yield Reader(site)
    finally:
        site.stop()


@pytest.fixture
def own_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("path", HOW_TO, ids=lambda path: path.stem)
def test_the_page_works(path: Path, tmp_path: Path, own_port: int, request: pytest.FixtureRequest) -> None:
    page = runner.load(path)
    if "::" in page.needs:
        assert missing_test(page.needs) is None
        return
    if page.needs == "alone":
        runner.run(page, tmp_path, f"http://127.0.0.1:{own_port}", {"FILEFLUX_PORT": str(own_port)})
        return
    assert page.needs == "hub"
    if page.blocks:
        here: Reader = request.getfixturevalue("reader")
        here.clear()
        runner.run(page, tmp_path, here.env["FILEFLUX_URL"], here.env)
