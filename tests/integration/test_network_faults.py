"""What networks do to connections, on either side of a transfer and over either transport: the file ends verified, and no more than a window is sent twice.

Times are short, so that what is dead is found within seconds; what is only slow must not be taken for dead all the more. The times that users have are
those of test_slow_networks.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from tests.faults.rules import KIB, End, Http, Mode, Rule, Way
from tests.integration.harness import wait_for
from tests.integration.invariants import Promised
from tests.integration.network import LOOK_ON, MIB
from tests.integration.places import Place, both, on, slow
from tests.integration.store import refusals

SILENCE_S = 2.0
HASTY = {
    "SILENCE_TIMEOUT": SILENCE_S,
    "HANDSHAKE_TIMEOUT": 4.0,
    "PING_INTERVAL": 0.5,
    "POLL_TIMEOUT": 0.5,
    "KEEP_ALIVE_TIMEOUT": 5.0,
}
FOUND_S = SILENCE_S + 2.0
"""Both ends look once a second or more often, and this machine has other things to do. Nobody waits for an answer to the farewell as well."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    yield from both(tmp_path_factory.mktemp("network"), HASTY)


@pytest.fixture
def place(places: dict[str, Place], request: pytest.FixtureRequest) -> Place:
    return places[request.param]


@pytest.fixture(autouse=True)
def _settled(place: Place) -> Iterator[None]:
    place.heal()
    yield
    place.settle()


# Cut


@pytest.mark.parametrize("times", [6, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
@on("websocket-source", "polling-destination")
def test_reset_in_mid_frame_again_and_again(place: Place, role: str, times: int) -> None:
    site, proxy = place.site, place.site.proxies[role]
    links = site.links()[role]
    # What has arrived is told several times a second: a round takes a third of one.
    proxy.set(slow(10e6))
    seen = [0]
    with Promised(site, site.file(16 * MIB + times * 6 * MIB), within=120) as moving:
        for _ in range(times):
            moving.wait_for_bytes(seen[-1] + MIB)
            seen.append(moving.bytes_done)
            assert proxy.cut_all(End.RESET) >= 1
            moving.interruptions += 1
        proxy.set(LOOK_ON)
    assert seen == sorted(seen), "what arrived stays"
    # A request that died is made again under its number, so the link of long-polling goes on.
    assert site.links()[role] == links + (0 if place.transport == "polling" else times)


@on("websocket-source-fin", "polling-destination-down", half={"fin": "fin", "up": "up", "down": "down"})
def test_an_orderly_end_in_mid_frame(place: Place, role: str, half: str) -> None:
    """FIN to both, or to one alone, which goes on talking to somebody who does not hear it."""
    site, proxy = place.site, place.site.proxies[role]
    proxy.set(slow())
    with Promised(site, site.file(24 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        cut = time.monotonic()
        if half == "fin":
            proxy.cut_all(End.FIN)
        else:
            site.disturb(role, lambda rule: replace(rule, **{half: Way(end_after=0, end=End.HALF)}))
        moving.interruptions += 1
        proxy.wait_for("another connection", lambda: [each for each in proxy.open if each.opened_at > cut], SILENCE_S)
        moving.wait_for_bytes(moving.bytes_done + 2 * MIB, SILENCE_S)
        proxy.set(LOOK_ON)


# Silent


@on("websocket-source-busy", "polling-destination-idle", busy={"busy": True, "idle": False})
def test_who_vanishes_without_a_sign_is_missed_by_both(place: Place, role: str, busy: bool) -> None:
    """Nothing comes through any more, and nobody says so, until it is repaired."""
    site, proxy = place.site, place.site.proxies[role]
    proxy.set(slow())
    lost, offline = place.lost(role), place.offline(role)

    def vanish() -> None:
        until = time.monotonic() + FOUND_S
        proxy.set(Rule.both(Way(mode=Mode.STOP)))
        wait_for("the hub to miss the agent", lambda: place.offline(role) > offline, FOUND_S)
        assert site.shown(role)["status"] == "offline"
        wait_for("the agent to miss the hub", lambda: place.lost(role) > lost, until - time.monotonic())
        proxy.set(LOOK_ON)

    with Promised(site, site.file(24 * MIB)) as moving:
        if busy:
            moving.wait_for_bytes(4 * MIB)
            vanish()
        moving.interruptions += 1
    if not busy:
        vanish()


@on("websocket-destination", "polling-source")
def test_connections_that_somebody_forgot_are_replaced(place: Place, role: str) -> None:
    """A NAT box lost them: they are silent, and new ones work."""
    site, proxy = place.site, place.site.proxies[role]
    links, lost = site.links()[role], place.lost(role)
    proxy.set(slow())
    with Promised(site, site.file(32 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        assert proxy.cut_all(End.SILENCE) >= 1
        moving.interruptions += 1
        moving.wait_for_bytes(moving.bytes_done + 4 * MIB, 2 * FOUND_S)
        proxy.set(LOOK_ON)
    # Requests of long-polling are made again one by one: its link may or may not go on.
    assert site.links()[role] - links == place.lost(role) - lost <= 1
    assert place.transport == "polling" or place.lost(role) == lost + 1


@on("websocket-source-up", "polling-destination-down", way={"up": "up", "down": "down"})
def test_one_direction_is_lost(place: Place, role: str, way: str) -> None:
    """Of the connections that are open. What comes the other way keeps one end from noticing by itself."""
    site, proxy = place.site, place.site.proxies[role]
    proxy.set(slow())
    with Promised(site, site.file(24 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        site.disturb(role, lambda rule: replace(rule, **{way: Way(mode=Mode.STOP)}))
        moving.interruptions += 1
        moving.wait_for_bytes(moving.bytes_done + 4 * MIB, 2 * FOUND_S)
        proxy.set(LOOK_ON)


@on("websocket-destination-1s", "polling-source-1s", seconds={"1s": 1.0, "20s": 20.0})
def test_nothing_moves_for_a_while(place: Place, role: str, seconds: float) -> None:
    """A pause that is shorter than the silence that counts changes nothing; after a longer one the file goes on."""
    site, proxy = place.site, place.site.proxies[role]
    proxy.set(slow())
    links = site.links()
    with Promised(site, site.file(24 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        proxy.set(Rule.both(Way(mode=Mode.STOP)))
        began = time.monotonic()
        wait_for("the pause to be over", lambda: time.monotonic() > began + seconds, seconds + 1)
        proxy.set(LOOK_ON)
        # Slices that had waited on the slow link before it stopped are sent once more by long-polling, over the same link.
        moving.interruptions += seconds > SILENCE_S or place.transport == "polling"
    if seconds < SILENCE_S:
        assert site.links() == links
        assert moving.transfer["attempt"] == 1


# Slow


@on("websocket-source-200ms", "polling-destination-200ms", latency={"50ms": 0.05, "200ms": 0.2})
def test_far_away(place: Place, role: str, latency: float) -> None:
    """Each way, and up to a quarter more by chance."""
    site, proxy = place.site, place.site.proxies[role]
    links, way = site.links(), Way(latency=latency, jitter=latency / 4)
    with Promised(site, site.file(16 * MIB)) as moving:
        moving.wait_for_bytes(MIB)
        proxy.set(Rule(way, way, http=Http()))
        assert place.trip_ms(role) >= 2000 * latency
    assert site.links() == links
    assert moving.transfer["attempt"] == 1


@on("polling-source")
def test_the_bandwidth_collapses_in_mid_chunk(place: Place, role: str) -> None:
    """What is on its way takes several times as long as silence may last. It is slow, not dead."""
    site, proxy = place.site, place.site.proxies[role]
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


@on("websocket-source", "polling-destination")
def test_one_byte_at_a_time(place: Place, role: str) -> None:
    site, proxy = place.site, place.site.proxies[role]
    links, way = site.links(), Way(slice=1, gap=0.00001)
    hub = psutil.Process(site.hub.server_pid)
    proxy.set(Rule(way, way, http=Http()))
    before = sum(hub.cpu_times()[:2])
    # Not more: the proxy itself needs half a minute of a busy machine for a MiB, and the links have 2 s.
    with Promised(site, site.file(24 * KIB)):
        pass
    assert sum(hub.cpu_times()[:2]) - before < 2.0, "seconds of the hub's processor for 24 KiB"
    assert site.links() == links


# Late, changed, idle


@on("websocket-source", "polling-source")
def test_what_an_old_connection_held_back_does_not_count(place: Place, role: str) -> None:
    """Something in between keeps what the agent says, and delivers all of it when the session goes on over another link."""
    site, proxy = place.site, place.site.proxies[role]
    if (place.transport, role) == ("polling", "destination"):
        pytest.skip("what it says are a few hundred bytes, and nothing of that need be on its way just then")
    # The agent misses the hub before the hub misses the agent.
    site.configure(
        place.transport, HASTY | {"SILENCE_TIMEOUT": 1.0, "PING_INTERVAL": 0.2, "POLL_TIMEOUT": 0.2}, (role,)
    )
    links, refused = site.links()[role], len(refusals(site.hub))
    proxy.set(slow())
    with Promised(site, site.file(48 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        held = proxy.open
        site.disturb(role, lambda rule: Rule(up=Way(mode=Mode.HOLD), down=Way(mode=Mode.STOP), http=Http()))
        moving.interruptions += 2
        # Of long-polling the requests are made again over other connections, and the link goes on.
        if place.transport == "websocket":
            wait_for("another link", lambda: site.links()[role] > links)
        moving.wait_for_bytes(moving.bytes_done + 4 * MIB)
        before = [each.up.delivered for each in held]
        for each in held:
            proxy.set(LOOK_ON, nth=each.index)
        wait_for(
            "what was held to be delivered",
            lambda: any(each.up.delivered > was for each, was in zip(held, before, strict=True)),
            5,
        )
    assert len(refusals(site.hub)) == refused


@on("websocket-destination-near", "polling-source-near", at={"near": 2_000_000, "far": 3_777_777})
def test_one_byte_is_changed(place: Place, role: str, at: int) -> None:
    """On plain http nothing but the chunk's own hash can tell. The chunk is asked for again, and nothing else."""
    site, proxy = place.site, place.site.proxies[role]
    proxy.set(slow())
    with Promised(site, site.file(48 * MIB)) as moving:
        moving.wait_for_bytes(4 * MIB)
        # Many connections of long-polling share the file, and not each has so much of it still to carry.
        ahead = at if place.transport == "websocket" else at // 4
        for each in sorted(proxy.open, key=lambda each: -each.up.passed - each.down.passed)[:8]:
            up = replace(each.rule.up, flip_at=each.up.passed + ahead) if role == "source" else each.rule.up
            down = (
                replace(each.rule.down, flip_at=each.down.passed + ahead) if role == "destination" else each.rule.down
            )
            proxy.set(replace(each.rule, up=up, down=down), nth=each.index)
        moving.interruptions += 1
    assert moving.run["bytes_transferred"] >= moving.size + MIB, "a chunk was sent again"
    assert moving.transfer["attempt"] == 1


@on("polling-source")
def test_what_is_idle_is_not_cut(place: Place, role: str) -> None:
    """Proxies cut what says nothing for 30 s or more; pings and polls are more frequent. Here all times are 40 times shorter."""
    site, proxy = place.site, place.site.proxies[role]
    links = site.links()
    cut = len([each for each in proxy.connections if each.cause == "idle"])
    proxy.set(Rule(http=Http(), idle_kill=0.9))
    until = time.monotonic() + 3.0
    wait_for("the time to pass", lambda: time.monotonic() > until)
    assert site.links() == links
    if place.transport == "websocket":
        assert len([each for each in proxy.connections if each.cause == "idle"]) == cut
    with Promised(site, site.file(8 * MIB)):
        pass
