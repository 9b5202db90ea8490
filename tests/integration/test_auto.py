"""Mode ``auto``: an agent whose network lets no WebSocket through works over long-polling and goes back when it can, and loses nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from flux_agent.transports.auto import PROBE_BYTES, PROBE_GAP_MAX
from tests.faults.proxy import FaultProxy
from tests.faults.rules import End, Http, Rule, Swallow, Way
from tests.integration.harness import wait_for
from tests.integration.invariants import Level, Promised, check_level
from tests.integration.network import LOOK_ON, MIB, ROLES, NetworkSite
from tests.integration.store import refusals

FALLBACK_S = 10.0
QUICK_STATUSES, LONG_STATUSES = (200, 403, 502), (400, 404, 426)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkSite]:
    site = NetworkSite(tmp_path_factory.mktemp("auto"))
    try:
        site.configure()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def base(site: NetworkSite) -> Level:
    with Promised(site, site.file(64 * MIB)):
        pass
    return Level.of(site)


@dataclass(frozen=True)
class Block:
    """What stands between, and what people are told of it."""

    rule: Rule
    reason: str
    idle: bool = False


BLOCKS = {
    **{
        str(status): Block(Rule(http=Http(refuse_upgrade=status)), f"upgrade refused with {status}")
        for status in QUICK_STATUSES + LONG_STATUSES
    },
    "hang": Block(Rule(http=Http(hang_upgrade=True)), "no answer to the upgrade: .*"),
    "cut-after-101": Block(
        Rule(http=Http(cut_after_101=0)), r"WebSocket was cut right after the upgrade \(1006 the connection was cut\)"
    ),
    "swallow-up": Block(Rule(http=Http(swallow=Swallow.UP)), "binary messages over WebSocket do not come through"),
    "swallow-down": Block(Rule(http=Http(swallow=Swallow.DOWN)), "binary messages over WebSocket do not come through"),
    "idle": Block(Rule(http=Http(), idle_kill=5.0), r"WebSocket was cut after \d+ s", idle=True),
}


def command_line(site: NetworkSite, *words: str) -> str:
    token, url = site.hub.client.token, site.hub.client.url
    command = [sys.executable, "-m", "fileflux.cli.main", "--url", url, *words]
    return subprocess.run(
        command, env={**os.environ, "FILEFLUX_TOKEN": str(token)}, capture_output=True, text=True, check=True
    ).stdout


def first_connection(proxy: FaultProxy, after: int) -> float:
    return float(proxy.wait_for("a connection", lambda: proxy.connections[after:], 30)[0].opened_at)


LONG = {"swallow-down", "cut-after-101", *map(str, LONG_STATUSES)}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in BLOCKS]
)
def test_whatever_blocks_websocket_the_agent_works_within_ten_seconds(
    site: NetworkSite, base: Level, name: str
) -> None:
    block, proxy = BLOCKS[name], site.proxies["source"]
    site.heal()
    site.configure()
    site.source.stop()
    before, links = len(proxy.connections), site.links()["source"]
    proxy.set(block.rule)
    site.source.start(wait=False)
    began = first_connection(proxy, before)
    if block.idle:
        # It works, until nothing has been said for five seconds.
        site.wait_for_transport("source", "websocket")
        began = proxy.wait_for("the cut", lambda: proxy.connections[before].closed_at, 20)
    site.wait_for_transport("source", "polling")
    took = time.monotonic() - began
    assert took < FALLBACK_S
    seen = site.shown("source")
    assert re.fullmatch(block.reason, str(seen["transport_reason"])), seen
    shown = command_line(site, "agents", "show", "source")
    assert re.search(rf"(?m)^transport +polling: {re.escape(str(seen['transport_reason']))}$", shown), shown
    with Promised(site, site.file(32 * MIB)) as moving:
        pass
    assert moving.transfer["attempt"] == 1
    assert site.shown("source") == seen
    assert site.links()["source"] == links + 1 + block.idle, "one link, and the one that was cut"
    check_level(site, base)


def test_polls_are_held_no_longer_than_the_network_allows(site: NetworkSite, base: Level) -> None:
    """Each is cut while it waits; that is no hub that does not answer, however long it goes on."""
    proxy = site.proxies["source"]
    site.heal()
    site.configure("polling", {"REQUEST_RETRY": 2.0}, ("source",))
    links = site.links()
    proxy.set(Rule(http=Http(), idle_kill=1.5))
    asked = f"GET /api/agent/poll?timeout={0.8 * 1.5:g}"
    proxy.wait_for("shorter polls", lambda: [each for each in proxy.connections if asked in each.requests])
    with Promised(site, site.file(8 * MIB)):
        pass
    assert site.links() == links
    check_level(site, base)


# Back and forth

PROBE_S = 0.2
RATE = 12e6
REFUSED = Http(refuse_upgrade=403)


@pytest.fixture
def moving_site(site: NetworkSite, base: Level) -> NetworkSite:
    """Probes follow each other quickly, and no link dies young. Both agents are on WebSocket."""
    site.heal()
    site.configure(limits={"WEBSOCKET_PROBE_INTERVAL": PROBE_S, "YOUNG_LINK": 0.01})
    for role in ROLES:
        site.wait_for_transport(role, "websocket")
    return site


def slow(http: Http) -> Rule:
    way = Way(bandwidth=RATE)
    return Rule(way, way, http=http)


def block(site: NetworkSite, role: str, rule: Rule) -> None:
    """Upgrades are refused from now on, and the WebSocket that is open is cut."""
    proxy = site.proxies[role]
    proxy.set(rule)
    assert proxy.cut_all(End.RESET, upgraded=True) == 1
    site.wait_for_transport(role, "polling")


@pytest.mark.parametrize("role", ROLES)
def test_when_the_block_is_lifted_the_session_moves_back(moving_site: NetworkSite, base: Level, role: str) -> None:
    site = moving_site
    before = len(site.connects(role))
    block(site, role, Rule(http=REFUSED))
    assert site.shown(role)["transport_reason"] == "upgrade refused with 403"
    site.proxies[role].set(LOOK_ON)
    site.wait_for_transport(role, "websocket")
    assert site.shown(role)["transport_reason"] is None
    moves = site.connects(role)[before:]
    assert [(move["transport"], move["resumed"]) for move in moves] == [("polling", True), ("websocket", True)]
    check_level(site, base)


@pytest.mark.parametrize("role", ROLES)
def test_ten_moves_in_mid_file(moving_site: NetworkSite, base: Level, role: str) -> None:
    site, proxy = moving_site, moving_site.proxies[role]
    before = len(site.connects(role))
    proxy.set(slow(Http()))
    with Promised(site, site.file(64 * MIB)) as moving:
        for _ in range(5):
            moving.wait_for_bytes(moving.bytes_done + 2 * MIB)
            block(site, role, slow(REFUSED))
            moving.wait_for_bytes(moving.bytes_done + 2 * MIB)
            proxy.set(slow(Http()))
            site.wait_for_transport(role, "websocket")
            moving.interruptions += 2
        proxy.set(LOOK_ON)
    moves = site.connects(role)[before:]
    assert [move["transport"] for move in moves] == ["polling", "websocket"] * 5
    assert all(move["resumed"] for move in moves)
    assert moving.transfer["retry_count"] == 0
    # A source's new link goes on with its attempt, a destination's begins another.
    assert moving.transfer["attempt"] == (1 if role == "source" else 11)
    check_level(site, base)


@pytest.mark.parametrize(
    "still",
    [
        pytest.param(REFUSED, id="refused"),
        pytest.param(Http(swallow=Swallow.UP), id="swallowed", marks=pytest.mark.long),
        pytest.param(Http(cut_after_101=0), id="cut", marks=pytest.mark.long),
        pytest.param(Http(hang_upgrade=True), id="hang", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_a_probe_that_fails_leaves_the_session_alone(
    moving_site: NetworkSite, base: Level, role: str, still: Http
) -> None:
    site, proxy = moving_site, moving_site.proxies[role]
    block(site, role, slow(REFUSED))
    proxy.set(slow(still))
    links, seen, opened = site.links(), site.shown(role), proxy.accepted

    def probes() -> int:
        return sum("GET /ws/agent" in each.requests for each in proxy.connections[opened:])

    # A probe that hangs takes four seconds.
    with Promised(site, site.file((192 if still.hang_upgrade else 48) * MIB)) as moving:
        moving.wait_for_bytes(MIB)
        before = probes()
        wait_for("probes that fail", lambda: probes() >= before + 2 or not moving.still_moves())
        assert probes() >= before + 1, "a probe was made while the file moved"
        proxy.set(Rule(http=still))
    assert site.links() == links
    assert site.shown(role) == seen
    assert moving.transfer["attempt"] == 1
    proxy.set(LOOK_ON)
    site.wait_for_transport(role, "websocket")
    check_level(site, base)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("deaths", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_websocket_that_always_dies_young_is_tried_ever_more_rarely(
    site: NetworkSite, base: Level, deaths: int
) -> None:
    """It works for half a second, then it is cut. What counts as young is as nobody has configured it: a minute."""
    life, probe, proxy = 0.5, 0.1, site.proxies["source"]
    site.heal()
    site.configure()
    site.configure(limits={"WEBSOCKET_PROBE_INTERVAL": probe}, roles=("source",))
    links, opened = len(site.connects("source")) - 1, proxy.accepted - 1
    refused, lines = len(refusals(site.hub)), len(site.source.running.text().splitlines())
    # Several times as long as it would take at full speed: the file has to last until the last death.
    proxy.set(slow(Http()))
    with Promised(site, site.file(deaths * 24 * MIB), within=90) as moving:
        for _ in range(deaths):
            (victim,) = proxy.wait_for("a WebSocket", lambda: [each for each in proxy.open if each.upgraded], 30)
            wait_for("its time", lambda at=victim.opened_at: time.monotonic() - at >= life)
            assert moving.still_moves(), "the file was too small for the test"
            proxy.cut_all(End.RESET, upgraded=True)
            moving.interruptions += 2
        proxy.set(LOOK_ON)
    sockets = [each for each in proxy.connections[opened:] if each.upgraded]
    for death, (one, following) in enumerate(pairwise(sockets), 1):
        rest = following.opened_at - one.closed_at
        assert rest >= min(2**death, PROBE_GAP_MAX) * probe * 0.9, f"after {death} young deaths"
    moves = site.connects("source")[links:]
    assert deaths <= len(moves) <= 2 * len(sockets)
    assert [move["resumed"] for move in moves] == [False] + [True] * (len(moves) - 1), "one session"
    assert len(refusals(site.hub)) == refused
    assert len(site.source.running.text().splitlines()) - lines <= 5 * len(moves), "the log tells of each move once"
    assert moving.transfer["attempt"] == 1
    check_level(site, base)


CUTS = (1, 56, 57, 58, MIB, 8 * MIB)
QUICK_CUTS = {("source", 57), ("destination", MIB)}


@pytest.mark.parametrize(
    ("role", "size"),
    [
        pytest.param(role, cut, marks=() if (role, cut) in QUICK_CUTS else pytest.mark.long)
        for role in ROLES
        for cut in CUTS
    ],
)
def test_a_websocket_that_is_cut_after_so_many_bytes(site: NetworkSite, base: Level, role: str, size: int) -> None:
    """Counted in the direction in which the file goes. What is too short for the probe is never used, the rest dies young."""
    site.heal()
    site.configure()
    proxy, agent = site.proxies[role], site.agents[role]
    agent.stop()
    before = len(site.connects(role))
    way = Swallow.UP if role == "source" else Swallow.DOWN
    proxy.set(Rule(http=Http(cut_after_101=size, cut_way=way, cut_end=End.RESET)))
    agent.start()
    with Promised(site, site.file(32 * MIB)) as moving:
        moving.interruptions += 1
    moves = [move["transport"] for move in site.connects(role)[before:]]
    assert moves == (["polling"] if size < PROBE_BYTES else ["websocket", "polling"])
    assert str(site.shown(role)["transport_reason"]).startswith("WebSocket was cut")
    check_level(site, base)
