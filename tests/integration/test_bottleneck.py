"""What a run says that it waits for most, on links and with limits that are known to be what is slow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule, Way
from tests.integration.harness import Agent, Hub, wait_for

pytestmark = pytest.mark.long

MIB = 2**20
SLOW = Way(bandwidth=6 * MIB)


@pytest.mark.parametrize(("slow", "expected"), [("source", "uplink"), ("destination", "downlink"), ("limit", "limit")])
def test_it_is_what_was_made_slow(tmp_path: Path, slow: str, expected: str) -> None:
    hub = Hub(tmp_path).start()
    rules = {"source": Rule(up=SLOW), "destination": Rule(down=SLOW)}
    proxy = FaultProxy(hub.port, rule=rules.get(slow, Rule())).start()
    ends = [
        Agent(hub, name, tmp_path, hub_url=proxy.url() if name == slow else None) for name in ("source", "destination")
    ]
    try:
        source, destination = (agent.start() for agent in ends)
        file = source.read / "file.bin"
        file.write_bytes(os.urandom(96 * MIB))
        fields = {"bandwidth_limit": 6 * MIB} if slow == "limit" else {}
        run = hub.run(hub.job(source.id, file, destination.id, f"{destination.write}/x/", **fields))
        wait_for(f"the run to wait for {expected}", lambda: hub.show(run)["bottleneck"] == expected, 20)
        assert [one["bottleneck"] for one in hub.transfers(run)] == [expected]
        ended = hub.wait_ended(run)
        assert (ended["status"], ended["bottleneck"]) == ("succeeded", None)
    finally:
        for agent in ends:
            agent.stop()
        proxy.stop()
        hub.stop()
