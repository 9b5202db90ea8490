"""What people do with agents while these run: look into them, take their tokens away, and find out that one runs twice. Over both transports."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fileflux.errors import FluxError, ForbiddenError, NotFoundError
from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.conftest import write_numbered
from tests.integration.harness import QUICK_LIMITS, Agent, Hub, Process, wait_for

SIZE = 48 * 2**20
SLOW = Rule.link(bandwidth=16e6)
"""The sources' links: a file takes three seconds, so that there is a transfer to cut in the middle of.

Only without compression: what ``write_numbered`` makes is almost nothing when compressed."""
TRANSPORTS = ("websocket", "polling")
DUPLICATE_WAIT = "0.5"


class Place:
    """A hub, a source agent for each transport behind slow links, and a destination."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = Hub(folder).start()
        self.proxy = FaultProxy(self.hub.port, rule=SLOW).start()
        self.sources = {
            transport: Agent(
                self.hub,
                transport,
                folder,
                env={"FLUX_AGENT_TRANSPORT_MODE": transport, "FLUX_AGENT_LIMITS_DUPLICATE_WAIT": DUPLICATE_WAIT},
                hub_url=self.proxy.url(),
                workers=1,
            ).start(wait=False)
            for transport in TRANSPORTS
        }
        self.destination = Agent(self.hub, "destination", folder, workers=1).start(wait=False)
        for agent in self.agents:
            agent.wait_online()

    @property
    def agents(self) -> list[Agent]:
        return [*self.sources.values(), self.destination]

    def stop(self) -> None:
        for part in (*self.agents, self.proxy, self.hub):
            part.stop()

    def show(self, agent: Agent) -> dict[str, Any]:
        answer: dict[str, Any] = self.hub.client.get(f"/api/agents/{agent.id}")
        return answer

    def since(self, agent: Agent) -> float:
        """When its present link came up, as a time stamp."""
        shown = self.show(agent)
        assert shown["status"] == "online"
        return datetime.fromisoformat(shown["connected_since"]).timestamp()

    def tokens(self, agent: Agent) -> list[dict[str, Any]]:
        return list(self.hub.client.pages("/api/tokens", agent_id=agent.id, sort="-id"))

    def new_token(self, agent: Agent) -> int:
        """For the agent's next start; its id."""
        made = self.hub.client.post("/api/tokens", {"agent_id": agent.id, "name": "next"})
        agent.token_file.write_text(made["value"])
        return int(made["token"]["id"])

    def alerts(self) -> list[dict[str, Any]]:
        return list(self.hub.client.pages("/api/alerts", dismissed="true"))

    def seconds_until_offline(self, agent: Agent, begun: float) -> float:
        wait_for("the agent to be offline", lambda: self.show(agent)["status"] == "offline", 10)
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("place"))
    try:
        yield place
    finally:
        place.stop()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_look_into_an_agent(place: Place, transport: str) -> None:
    agent = place.sources[transport]
    client = place.hub.client
    path = f"/api/agents/{agent.id}"
    since = place.since(agent)
    with ThreadPoolExecutor(8) as pool:
        trips = list(pool.map(lambda _: client.post(f"{path}/test"), range(8)))
    assert {trip["transport"] for trip in trips} == {transport}
    assert all(0 < trip["round_trip_ms"] < 5000 for trip in trips)
    roots = client.get(f"{path}/browse")["items"]
    assert sorted((root["name"], root["read"], root["write"]) for root in roots) == [
        (str(agent.read), True, False), (str(agent.write), False, True)
    ]  # fmt: skip
    odd = agent.read / "folder" / os.fsdecode(b"caf\xe9")
    odd.parent.mkdir()
    odd.write_bytes(b"123")
    for number in range(25):
        (odd.parent / f"f{number:02}").touch()
    found = list(client.pages(f"{path}/browse", 10, path=str(odd.parent)))
    assert [item["name"] for item in found] == ["caf\\xe9", *(f"f{number:02}" for number in range(9))]
    assert len(list(client.pages(f"{path}/browse", path=str(odd.parent)))) == 26
    for wrong, kind in (
        ("/etc", ForbiddenError),
        (f"{agent.read}/none", NotFoundError),
        (f"{agent.read}/..", FluxError),
    ):
        with pytest.raises(kind):
            client.get(f"{path}/browse", path=wrong)
    report = client.post(f"{path}/doctor")
    assert report["works"], report
    assert [check["name"] for check in report["checks"]][:2] == ["configuration", "dns"]
    assert [check["status"] for check in report["checks"] if check["name"] == "root"] == ["ok", "ok"]
    assert agent.token_file.read_text() not in str(report)
    assert place.since(agent) == pytest.approx(since, abs=0.2), "its session goes on"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_that_is_taken_away_in_mid_transfer(place: Place, transport: str) -> None:
    agent = place.sources[transport]
    token = place.tokens(agent)[0]
    assert token["last_used_at"] is not None
    path = agent.read / f"{transport}.bin"
    write_numbered(path, SIZE)
    job = place.hub.job(agent.id, path, place.destination.id, f"{place.destination.write}/", compression="none")
    run = place.hub.run(job)
    wait_for("bytes to move", lambda: place.hub.show(run)["bytes_transferred"] > 0)
    begun = time.monotonic()
    place.hub.client.delete(f"/api/tokens/{token['id']}")
    assert place.seconds_until_offline(agent, begun) < 1.0
    wait_for("the run to wait", lambda: place.hub.show(run)["status"] == "waiting_agent")
    assert place.hub.show(run)["bytes_transferred"] < SIZE
    wait_for("the agent to be told", lambda: "hub_refused_token" in agent.running.text())
    agent.stop()
    place.new_token(agent)
    agent.start()
    assert place.hub.wait_ended(run)["status"] == "succeeded", "it goes on with another token"


def test_rotation_leaves_who_has_the_new_one_alone(place: Place) -> None:
    # Idle: its polls are parked.
    agent = place.sources["polling"]
    old = place.tokens(agent)[0]["id"]
    made = place.hub.client.post(f"/api/tokens/{old}/rotate", {"overlap_hours": 1})
    agent.token_file.write_text(made["value"])
    agent.stop()
    agent.start()
    since = place.since(agent)
    place.hub.client.delete(f"/api/tokens/{old}")
    # A round trip behind the cut, had there been one.
    place.hub.client.post(f"/api/agents/{agent.id}/test")
    assert place.since(agent) == pytest.approx(since, abs=0.2)
    # A rotation without an overlap ends the token under its session.
    begun = time.monotonic()
    next_value = place.hub.client.post(f"/api/tokens/{made['token']['id']}/rotate", {"overlap_hours": 0})["value"]
    assert place.seconds_until_offline(agent, begun) < 3.0
    wait_for("the agent to be told", lambda: "hub_refused_token" in agent.running.text())
    agent.stop()
    agent.token_file.write_text(next_value)
    agent.start()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_agent_in_two_places(place: Place, transport: str) -> None:
    agent = place.sources[transport]
    # Killed, and started again while the hub may still believe in the old link.
    agent.running.kill()
    agent.start()
    wait_for("its own link", lambda: " connected " in agent.running.text())
    mine = [alert for alert in place.alerts() if alert["object"] == f"agent:{agent.id}"]
    assert mine == [], "neither this nor the restarts before"
    since = place.since(agent)
    twin = Process(
        [
            sys.executable, "-m", "flux_agent.cli", "run", "--hub", place.hub.client.url, "--token-file", str(agent.token_file),
            "--read", str(agent.read), "--workers", "1",
        ],
        place.folder / f"{transport}-twin.log",
        {f"FLUX_AGENT_LIMITS_{name}": value for name, value in QUICK_LIMITS.items()}
        | {"FLUX_AGENT_TRANSPORT_MODE": transport, "FLUX_AGENT_LIMITS_DUPLICATE_WAIT": "60"},
    )  # fmt: skip
    try:
        alert = wait_for(
            "the alert",
            lambda: [alert for alert in place.alerts() if alert["object"] == f"agent:{agent.id}"],
            15,
        )[0]
        assert alert["kind"] == "token_on_two_hosts"
        assert f"agent {transport} runs in two places" in alert["message"]
        wait_for("the newer one to have had the session", lambda: "duplicate_identity" in agent.running.text())
    finally:
        twin.stop()
    agent.wait_online()
    assert place.since(agent) > since
    entries = [entry["action"] for entry in place.hub.client.pages("/api/audit", 200)]
    assert "agent.duplicate" in entries
