"""A hub for each module with shorter times, good transfers beside it all the time, and a check of it after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import wait_for
from tests.integration.wire.raw import LIMITS, Beside, Watch


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("wire"), LIMITS)
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def beside(site: Site) -> Iterator[Beside]:
    beside = Beside(site)
    beside.start()
    wait_for("the first good transfers", lambda: beside.moved >= 3 or beside.failure)
    yield beside
    beside.stop()
    assert beside.failure is None, beside.failure
    assert not beside.is_alive()


@pytest.fixture(autouse=True)
def watch(site: Site, beside: Beside) -> Iterator[Watch]:
    """Every test is a case: see ``Watch``."""
    watch = Watch(site, beside)
    moved = beside.moved
    yield watch
    watch.check()
    wait_for("a good transfer beside", lambda: beside.moved > moved or beside.failure)
    assert watch.grown() < Watch.GROWTH, f"{watch.grown()} bytes"


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    _, path = site.hub.enrol("peer", site.folder)
    return path.read_text()
