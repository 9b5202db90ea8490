"""Slow networks with the times that users have: nothing that moves is taken for dead. Minutes each, so all of it belongs to the long run."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.rules import Http, Rule, Way
from tests.integration.harness import wait_for
from tests.integration.invariants import Promised
from tests.integration.network import LOOK_ON, MIB
from tests.integration.places import Place, both, on, slow

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
THIN = 64e3


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    yield from both(tmp_path_factory.mktemp("slow"), {})


@pytest.fixture
def place(places: dict[str, Place], request: pytest.FixtureRequest) -> Iterator[Place]:
    place = places[request.param]
    place.heal()
    yield place
    place.settle()


@on(latency={"50ms": 0.05, "200ms": 0.2, "1s": 1.0})
def test_far_away(place: Place, role: str, latency: float) -> None:
    site, proxy = place.site, place.site.proxies[role]
    links, way = site.links(), Way(latency=latency, jitter=latency / 4)
    proxy.set(Rule(way, way, http=Http()))
    with Promised(site, site.file(64 * MIB), within=300) as moving:
        assert place.trip_ms(role) >= 2000 * latency
    assert site.links() == links
    assert moving.transfer["attempt"] == 1


@on()
def test_the_bandwidth_collapses_in_mid_chunk(place: Place, role: str) -> None:
    """From what this machine can do to 64 kB/s, where a chunk of 8 MiB takes two minutes."""
    site, proxy = place.site, place.site.proxies[role]
    links = site.links()
    with Promised(site, site.file(96 * MIB), chunk_size=8 * MIB) as moving:
        moving.wait_for_bytes(8 * MIB)
        proxy.set(slow(THIN))
        until = time.monotonic() + 150
        wait_for("the time to pass", lambda: time.monotonic() > until, 160)
        assert moving.still_moves()
        proxy.set(LOOK_ON)
    assert site.links() == links
    assert moving.transfer["attempt"] == 1


@on()
def test_a_full_thin_link_carries_other_words_as_well(place: Place, role: str) -> None:
    """The agent has never seen it faster: nothing that was sent for a faster link is in the way."""
    site, proxy = place.site, place.site.proxies[role]
    proxy.set(slow(THIN))
    site.configure(place.transport, {"HEARTBEAT_INTERVAL": 59}, (role,))
    moved = proxy.bytes_up + proxy.bytes_down
    with Promised(site, site.file(16 * MIB)) as moving:
        wait_for("the link to be full", lambda: proxy.bytes_up + proxy.bytes_down > moved + 5 * THIN)
        trips = [place.trip_ms(role) for _ in range(10)]
        assert moving.still_moves()
        proxy.set(LOOK_ON)
    assert max(trips) < 2000, trips
    assert moving.transfer["attempt"] == 1
