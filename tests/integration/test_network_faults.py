"""What networks do to connections, on either side of a transfer and over either transport: the file ends verified, and no more than a window is sent twice.

``calm`` has the times that users have: whatever is slow there must not be taken for dead. ``hasty`` has short ones, so that what is dead is found
within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.faults.rules import KIB, End, Http, Mode, Rule, Way
from tests.integration.harness import wait_for
from tests.integration.invariants import Level, Promised, check_level
from tests.integration.network import LOOK_ON, MIB, ROLES, NetworkSite
from tests.integration.store import refusals

TRANSPORTS = ("websocket", "polling")
SILENCE_S = 3.0
HANDSHAKE_S = 2.0
HASTY = {
    "SILENCE_TIMEOUT": SILENCE_S,
    "HANDSHAKE_TIMEOUT": HANDSHAKE_S,
    "PING_INTERVAL": 0.8,
    "POLL_TIMEOUT": 0.8,
    "KEEP_ALIVE_TIMEOUT": 5.0,
}
RATE = 12e6


class Place:
    """A site with one transport, and what it held when nothing was wrong."""

    def __init__(self, site: NetworkSite, transport: str) -> None:
        self.site = site
        self.transport = transport
        with Promised(site, site.file(64 * MIB)):
            pass
        self.base = Level.of(site)


def places(folder: Path, transport: str, limits: dict[str, object]) -> Iterator[Place]:
    site = NetworkSite(folder, limits)
    try:
        site.configure(transport, limits)
        yield Place(site, transport)
    finally:
        site.stop()


@pytest.fixture(scope="module", params=TRANSPORTS)
def calm_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from places(tmp_path_factory.mktemp("calm"), request.param, {})


@pytest.fixture(scope="module", params=TRANSPORTS)
def hasty_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from places(tmp_path_factory.mktemp("hasty"), request.param, HASTY)


@pytest.fixture
def calm(calm_place: Place) -> Iterator[Place]:
    calm_place.site.heal()
    yield calm_place
    calm_place.site.heal()
    check_level(calm_place.site, calm_place.base)


@pytest.fixture
def hasty(hasty_place: Place) -> Iterator[Place]:
    hasty_place.site.heal()
    yield hasty_place
    hasty_place.site.heal()
    check_level(hasty_place.site, hasty_place.base)


def slow(rate: float = RATE) -> Rule:
    return replace(Rule.link(bandwidth=rate), http=Http())


# Cut


@pytest.mark.parametrize("times", [6, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
@pytest.mark.parametrize("role", ROLES)
def test_reset_in_mid_frame_again_and_again(calm: Place, role: str, times: int) -> None:
    site, proxy = calm.site, calm.site.proxies[role]
    links = site.links()[role]
    proxy.set(slow())
    seen = [0]
    with Promised(site, site.file(16 * MIB + times * 5 * MIB), within=120) as moving:
        for _ in range(times):
            moving.wait_for_bytes(seen[-1] + 2 * MIB)
            seen.append(moving.bytes_done)
            assert proxy.cut_all(End.RESET) >= 1
            moving.interruptions += 1
        proxy.set(LOOK_ON)
    assert seen == sorted(seen), "what arrived stays"
    # A request that died is made again under its number, so the link of long-polling goes on.
    assert site.links()[role] == links + (0 if calm.transport == "polling" else times)


@pytest.mark.parametrize("half", ["fin", "up", "down"])
@pytest.mark.parametrize("role", ROLES)
def test_an_orderly_end_in_mid_frame(calm: Place, role: str, half: str) -> None:
    """FIN to both, or to one alone, which goes on talking to somebody who does not hear it."""
    site, proxy = calm.site, calm.site.proxies[role]
    proxy.set(slow())
    with Promised(site, site.file(24 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        cut = time.monotonic()
        if half == "fin":
            proxy.cut_all(End.FIN)
        else:
            way = Way(end_after=0, end=End.HALF)
            site.disturb(role, lambda rule: replace(rule, **{half: way}))
        moving.interruptions += 1
        if calm.transport == "websocket":
            proxy.wait_for("another link", lambda: [each for each in proxy.open if each.opened_at > cut], 5)
        moving.wait_for_bytes(moving.bytes_done + 2 * MIB, 5)
        proxy.set(LOOK_ON)


# Silent

FOUND_S = SILENCE_S + 2.0
"""Both ends look once a second or more often, and this machine has other things to do."""


def lost(place: Place, role: str) -> int:
    return place.site.agents[role].running.text().count("link_lost")


def offline(place: Place, role: str) -> int:
    lines = place.site.hub.running.text().splitlines()
    return sum("agent offline" in line and f"agent={role} " in line for line in lines)


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
@pytest.mark.parametrize("role", ROLES)
def test_who_vanishes_without_a_sign_is_missed_by_both(hasty: Place, role: str, busy: bool) -> None:
    """Nothing comes through any more, and nobody says so, until it is repaired."""
    site, proxy = hasty.site, hasty.site.proxies[role]
    proxy.set(slow())
    lost_before, offline_before = lost(hasty, role), offline(hasty, role)

    def vanish() -> None:
        gone = time.monotonic()
        proxy.set(Rule.both(Way(mode=Mode.STOP)))
        wait_for("the hub to miss the agent", lambda: offline(hasty, role) > offline_before, FOUND_S)
        wait_for(
            "the agent to miss the hub", lambda: lost(hasty, role) > lost_before, gone + FOUND_S - time.monotonic()
        )
        print(f"found {hasty.transport} {role} busy={busy} {time.monotonic() - gone:.1f}")
        assert site.shown(role)["status"] == "offline"
        proxy.set(slow())

    with Promised(site, site.file(24 * MIB)) as moving:
        if busy:
            moving.wait_for_bytes(4 * MIB)
            vanish()
        moving.interruptions += 1
    if not busy:
        vanish()


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
@pytest.mark.parametrize("role", ROLES)
def test_connections_that_somebody_forgot_are_replaced(hasty: Place, role: str, busy: bool) -> None:
    """A NAT box lost them: they are silent, and new ones work."""
    site, proxy = hasty.site, hasty.site.proxies[role]
    proxy.set(slow())

    def forget() -> None:
        before, links = lost(hasty, role), site.links()[role]
        gone = time.monotonic()
        assert proxy.cut_all(End.SILENCE) >= 1
        # Of long-polling the one that waits is made again by itself, and its link goes on.
        wait_for(
            "connections in their place",
            lambda: [each for each in proxy.open if each.opened_at > gone and each.down.delivered > 200],
            FOUND_S,
        )
        print(
            f"replaced {hasty.transport} {role} busy={busy} {time.monotonic() - gone:.1f} lost={lost(hasty, role) - before}"
        )
        if hasty.transport == "websocket":
            assert site.links()[role] == links + 1

    with Promised(site, site.file(24 * MIB)) as moving:
        if busy:
            moving.wait_for_bytes(4 * MIB)
            forget()
        moving.interruptions += 1
    if not busy:
        forget()


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("role", ROLES)
def test_one_direction_is_lost(hasty: Place, role: str, way: str) -> None:
    """Of the connections that are open. What comes the other way keeps the hub or the agent from noticing by itself."""
    site, proxy = hasty.site, hasty.site.proxies[role]
    proxy.set(slow())
    with Promised(site, site.file(24 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        gone = time.monotonic()
        site.disturb(role, lambda rule: replace(rule, **{way: Way(mode=Mode.STOP)}))
        moving.interruptions += 1
        moving.wait_for_bytes(moving.bytes_done + 2 * MIB, 20)
        print(f"one-way {hasty.transport} {role} {way} {time.monotonic() - gone:.1f}")


@pytest.mark.parametrize("seconds", [1.5, pytest.param(600.0, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("role", ROLES)
def test_nothing_moves_for_a_while(hasty: Place, role: str, seconds: float) -> None:
    """A pause that is shorter than the silence that counts changes nothing; after a longer one the file goes on."""
    site, proxy = hasty.site, hasty.site.proxies[role]
    proxy.set(slow())
    links = site.links()
    with Promised(site, site.file(24 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        proxy.set(Rule(Way(mode=Mode.STOP), Way(mode=Mode.STOP), http=Http()))
        until = time.monotonic() + seconds
        wait_for("the pause to be over", lambda: time.monotonic() > until, seconds + 1)
        proxy.set(slow())
        if seconds > SILENCE_S:
            moving.interruptions += 1
    if seconds < SILENCE_S:
        assert site.links() == links
        assert moving.transfer["attempt"] == 1


# Slow


def trip_ms(place: Place, role: str) -> float:
    """A real round trip to the agent, which passes through everything that its link has to carry."""
    return float(place.site.hub.client.post(f"/api/agents/{place.site.agents[role].id}/test")["round_trip_ms"])


@pytest.mark.parametrize(
    "latency", [0.05, 0.2, pytest.param(1.0, marks=pytest.mark.long)], ids=lambda latency: f"{latency * 1000:.0f}ms"
)
@pytest.mark.parametrize("role", ROLES)
def test_far_away(calm: Place, role: str, latency: float) -> None:
    """Each way, and up to a quarter more by chance."""
    site, proxy = calm.site, calm.site.proxies[role]
    links, way = site.links(), Way(latency=latency, jitter=latency / 4)
    with Promised(site, site.file(16 * MIB)) as moving:
        moving.wait_for_bytes(MIB)
        proxy.set(Rule(way, way, http=Http()))
        assert trip_ms(calm, role) >= 2000 * latency
    assert site.links() == links
    assert moving.transfer["attempt"] == 1


@pytest.mark.parametrize("role", ROLES)
def test_the_bandwidth_collapses_in_mid_chunk(hasty: Place, role: str) -> None:
    """What is on its way takes several times as long as silence may last. It is slow, not dead."""
    site, proxy = hasty.site, hasty.site.proxies[role]
    links = site.links()
    with Promised(site, site.file(64 * MIB), chunk_size=8 * MIB) as moving:
        moving.wait_for_bytes(8 * MIB)
        proxy.set(slow(1e6))
        until = time.monotonic() + 3 * SILENCE_S
        wait_for("the time to pass", lambda: time.monotonic() > until)
        assert moving.still_moves()
        proxy.set(LOOK_ON)
    assert site.links() == links
    assert moving.transfer["attempt"] == 1


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ROLES)
def test_the_bandwidth_collapses_to_64_kb(calm: Place, role: str) -> None:
    """With the times that users have. A chunk of 8 MiB takes two minutes."""
    site, proxy = calm.site, calm.site.proxies[role]
    links = site.links()
    with Promised(site, site.file(64 * MIB), chunk_size=8 * MIB) as moving:
        moving.wait_for_bytes(8 * MIB)
        proxy.set(slow(64e3))
        until = time.monotonic() + 150
        wait_for("the time to pass", lambda: time.monotonic() > until, 160)
        assert moving.still_moves()
        proxy.set(LOOK_ON)
    assert site.links() == links
    assert moving.transfer["attempt"] == 1


@pytest.mark.parametrize("role", ROLES)
def test_a_full_thin_link_carries_other_words_as_well(calm: Place, role: str) -> None:
    site, proxy = calm.site, calm.site.proxies[role]
    links = site.links()
    proxy.set(slow(64e3))
    with Promised(site, site.file(16 * MIB)) as moving:
        moved = proxy.bytes_up + proxy.bytes_down
        wait_for("the link to be full", lambda: proxy.bytes_up + proxy.bytes_down > moved + 128 * KIB)
        for _ in range(3):
            assert trip_ms(calm, role) < 3000
        assert moving.still_moves()
        proxy.set(LOOK_ON)
    assert site.links() == links


@pytest.mark.parametrize("role", ROLES)
def test_one_byte_at_a_time(calm: Place, role: str) -> None:
    site, proxy = calm.site, calm.site.proxies[role]
    links, way = site.links(), Way(slice=1, gap=0.00001)
    hub = psutil.Process(site.hub.server_pid)
    proxy.set(Rule(way, way, http=Http()))
    before = sum(hub.cpu_times()[:2])
    with Promised(site, site.file(128 * KIB)):
        pass
    assert sum(hub.cpu_times()[:2]) - before < 5.0, "seconds of the hub's processor for 128 KiB"
    assert site.links() == links


# Late, changed


@pytest.mark.parametrize("role", ROLES)
def test_what_an_old_connection_held_back_does_not_count(hasty: Place, role: str) -> None:
    """Something in between keeps what the agent says, and delivers all of it when the session goes on over another link."""
    site, proxy = hasty.site, hasty.site.proxies[role]
    # The agent misses the hub before the hub misses the agent.
    site.configure(
        hasty.transport, HASTY | {"SILENCE_TIMEOUT": 1.2, "PING_INTERVAL": 0.3, "POLL_TIMEOUT": 0.3}, (role,)
    )
    proxy.set(slow())
    links, refused = site.links()[role], len(refusals(site.hub))
    with Promised(site, site.file(24 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        held = proxy.open
        site.disturb(role, lambda rule: Rule(up=Way(mode=Mode.HOLD), down=Way(mode=Mode.STOP), http=Http()))
        moving.interruptions += 2
        wait_for("the session to go on", lambda: site.links()[role] > links or not moving.still_moves())
        assert moving.still_moves()
        before = [each.up.delivered for each in held]
        for each in held:
            proxy.set(LOOK_ON, nth=each.index)
        print("held", hasty.transport, role, sum(each.up.received for each in held) - sum(before), offline(hasty, role))
        wait_for(
            "what was held to be delivered",
            lambda: any(each.up.delivered > was for each, was in zip(held, before, strict=True)),
            5,
        )
    assert len(refusals(site.hub)) == refused
    site.configure(hasty.transport, HASTY, (role,))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("at", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_one_byte_is_changed(calm: Place, role: str, at: int) -> None:
    """On plain http nothing but the chunk's own hash can tell. The chunk is asked for again, once."""
    site, proxy = calm.site, calm.site.proxies[role]
    proxy.set(slow())
    with Promised(site, site.file(32 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        if role == "source":
            busy = max(proxy.open, key=lambda each: each.up.passed)
            rule = replace(busy.rule, up=replace(busy.rule.up, flip_at=busy.up.passed + at))
        else:
            busy = max(proxy.open, key=lambda each: each.down.passed)
            rule = replace(busy.rule, down=replace(busy.rule.down, flip_at=busy.down.passed + at))
        proxy.set(rule, nth=busy.index)
        moving.interruptions += 1
    assert moving.transfer["attempt"] == 1
    print(f"flip {calm.transport} {role} {moving.run['bytes_transferred'] - moving.size}")


# Idle


def test_what_is_idle_is_not_cut(hasty: Place) -> None:
    """Proxies cut what says nothing for 30 s or more; pings and polls are more frequent. Here all times are 25 times shorter."""
    site = hasty.site
    links = site.links()
    for proxy in site.proxies.values():
        proxy.set(Rule(http=Http(), idle_kill=1.2))
    until = time.monotonic() + 5.0
    wait_for("the time to pass", lambda: time.monotonic() > until)
    assert site.links() == links
    if hasty.transport == "websocket":
        assert not [each for proxy in site.proxies.values() for each in proxy.connections if each.cause == "idle"]
    with Promised(site, site.file(8 * MIB)):
        pass
