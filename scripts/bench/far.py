"""How much of a long or thin link a transfer uses: the fault proxy's links between one agent and the hub, both transports, both directions.

    python scripts/bench/far.py [--seconds 6] [--links 100ms,300ms] [--transports websocket,polling] [--sides source,destination]

Prints MB/s over ``--seconds`` from the fifth second of the transfer on, and its ratio to the link's bandwidth. Product defaults on both sides.
For the thin link (64 kB/s) it prints how long a round trip of control messages takes while the link is full.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fileflux.errors import UnavailableError
from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.harness import Agent, Hub

LINKS = {"100ms": (0.1, 100e6), "300ms": (0.3, 20e6), "thin": (0.05, 64e3)}
SETTLE_S = 5.0
QUIET_S = 1.0
CHATTER = 2000
"""Bytes of polls, pings and acknowledgements within 50 ms, which are not the file's."""
DEFAULTS = {"FLUX_AGENT_LIMITS_WINDOW_MAX": str(64 * 2**20)}
HUB_DEFAULTS = {"FILEFLUX_LIMITS_WINDOW_MAX": str(64 * 2**20)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--links", default="100ms,300ms,thin")
    parser.add_argument("--transports", default="websocket,polling")
    parser.add_argument("--sides", default="source,destination")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fileflux-far-"))
    folder.chmod(0o755)
    hub = Hub(folder, env=HUB_DEFAULTS).start()
    try:
        for link in options.links.split(","):
            for transport in options.transports.split(","):
                for side in options.sides.split(","):
                    measure(hub, folder, link, transport, side, options.seconds)
    finally:
        hub.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(hub: Hub, folder: Path, link: str, transport: str, side: str, seconds: float) -> None:
    rtt, bandwidth = LINKS[link]
    name = f"{link}-{transport}-{side}"
    with FaultProxy(hub.port, rule=Rule.link(rtt=rtt, bandwidth=bandwidth), seed=1, listen="127.0.0.77") as proxy:
        far = {**DEFAULTS, "FLUX_AGENT_TRANSPORT_MODE": transport, "FLUX_AGENT_HUB": proxy.url()}
        agents = {
            role: Agent(
                hub,
                f"{name}-{role[0]}",
                folder,
                env=far if role == side else DEFAULTS,
                hub_url=proxy.url() if role == side else None,
            )
            for role in ("source", "destination")
        }
        for agent in agents.values():
            agent.start()
        source, destination = agents["source"], agents["destination"]
        big = source.read / "big"
        size = int(bandwidth * (SETTLE_S + seconds + (60 if link == "thin" else 3)))
        with big.open("wb") as file:
            for _ in range(size // 2**20 + 1):
                file.write(os.urandom(2**20))
        (destination.write / "t").mkdir()
        job = hub.job(source.id, big, destination.id, f"{destination.write}/t/", compression="none")
        run_id = hub.run(job)
        try:
            if link == "thin":
                thin(hub, name, agents[side].id, run_id, proxy, side)
            else:
                fat(hub, name, run_id, proxy, side, seconds, bandwidth)
        finally:
            hub.client.post(f"/api/runs/{run_id}/cancel") if hub.show(run_id)["status"] == "transferring" else None
            hub.wait_ended(run_id, 60)
            for agent in agents.values():
                agent.stop()
            shutil.rmtree(source.folder / source.name, ignore_errors=True)
            shutil.rmtree(destination.folder / destination.name, ignore_errors=True)


def moved(proxy: FaultProxy, side: str) -> int:
    return proxy.bytes_up if side == "source" else proxy.bytes_down


def fat(hub: Hub, name: str, run_id: int, proxy: FaultProxy, side: str, seconds: float, bandwidth: float) -> None:
    time.sleep(SETTLE_S)
    before, began = moved(proxy, side), time.monotonic()
    time.sleep(seconds)
    rate = (moved(proxy, side) - before) / (time.monotonic() - began)
    run: dict[str, Any] = hub.show(run_id)
    note = "" if run["status"] == "transferring" else f"  the run was {run['status']}: too short"
    print(f"{name:32} {rate / 1e6:7.1f} MB/s  {rate / bandwidth:5.2f} x bandwidth{note}", flush=True)


def round_trip(hub: Hub, agent_id: int) -> float:
    """Seconds; infinite when the hub gave up waiting."""
    try:
        return float(hub.client.post(f"/api/agents/{agent_id}/test")["round_trip_ms"]) / 1000
    except UnavailableError:
        return float("inf")


def stopped(hub: Hub, run_id: int, proxy: FaultProxy, side: str) -> float:
    """Seconds from a cancellation until the last bytes of the file went over the link."""
    began = time.monotonic()
    hub.client.post(f"/api/runs/{run_id}/cancel")
    last, seen = began, moved(proxy, side)
    while time.monotonic() - last < QUIET_S:
        time.sleep(0.05)
        if moved(proxy, side) > seen + CHATTER:
            last, seen = time.monotonic(), moved(proxy, side)
    return last - began


def thin(hub: Hub, name: str, agent_id: int, run_id: int, proxy: FaultProxy, side: str) -> None:
    time.sleep(SETTLE_S)
    trips = []
    for _ in range(8):
        trips.append(round_trip(hub, agent_id))
        time.sleep(0.5)
    before, began = moved(proxy, side), time.monotonic()
    time.sleep(3)
    rate = (moved(proxy, side) - before) / (time.monotonic() - began)
    end = stopped(hub, run_id, proxy, side)
    print(
        f"{name:32} {rate / 1e3:7.1f} kB/s  round trip while full: median {sorted(trips)[4]:.2f} s, longest {max(trips):.2f} s; a cancellation stops it after {end:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
