"""An agent that answers listings late, never, or without end: what nobody waits for is dropped, and a listing of any length costs a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from fileflux.protocol.limits import DEFAULT_LIMITS
from tests.integration.conftest import Site
from tests.integration.hostile import SourcePeer

LIST_TIMEOUT = 1.0
GROWTH_MAX = 48 * 2**20
PAGE_SIZE = DEFAULT_LIMITS.list_page
PAGE = {"page": 0, "last": True, "base": "/data", "path_type": "directory"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), hub_env={"FILEFLUX_LIMITS_LIST_TIMEOUT": str(LIST_TIMEOUT)})
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def attacker(site: Site) -> tuple[int, str]:
    agent_id, path = site.hub.enrol("bad-listing", site.folder)
    return agent_id, path.read_text()


def job_of(site: Site, attacker: tuple[int, str], name: str) -> int:
    return site.hub.job(attacker[0], Path("/data"), site.destination.id, site.destination.write / name)


def asked(peer: SourcePeer) -> dict[str, Any]:
    """The next list_request."""
    payload: dict[str, Any] = peer.until("list_request")["payload"]
    return payload


def files(*names: str) -> list[dict[str, Any]]:
    return [{"path": name, "kind": "other"} for name in names]


def test_a_listing_that_comes_too_late_is_dropped(site: Site, attacker: tuple[int, str]) -> None:
    with SourcePeer(site.hub, attacker[1], b"x") as peer:

        def answer() -> None:
            first, second = asked(peer), asked(peer)
            assert first["request_id"] != second["request_id"], "asked again under another number"
            peer.say("list_result", {**PAGE, "request_id": first["request_id"], "entries": files("late")})
            peer.settled()
            peer.say("list_result", {**PAGE, "request_id": second["request_id"], "entries": files("right")})

        run_id = peer.start(job_of(site, attacker, "late"), answer)
        run = site.hub.wait_ended(run_id)
        assert peer.errors == []
    assert (run["status"], run["files_total"]) == ("succeeded", 1), run
    assert [transfer["filename"] for transfer in site.hub.transfers(run_id)] == ["right"]


def test_a_listing_that_never_comes_ends_the_run_and_comes_too_late_then(site: Site, attacker: tuple[int, str]) -> None:
    numbers: list[int] = []
    with SourcePeer(site.hub, attacker[1], b"x") as peer:
        run_id = peer.start(
            job_of(site, attacker, "never"), lambda: numbers.extend(asked(peer)["request_id"] for _ in range(3))
        )
        run = site.hub.wait_ended(run_id, 20)
        for number in numbers:
            peer.say("list_result", {**PAGE, "request_id": number, "entries": files("late")})
        peer.settled()
        assert peer.errors == []
    assert len(set(numbers)) == 3
    assert run["status"] == "failed"
    assert "does not answer: no listing within 1 s" in run["reason"]
    assert site.hub.show(run_id) == run
    assert site.hub.transfers(run_id) == []


class Pages:
    """Answers the pages of one listing, each of them full; ``go_on(count)`` says after each whether another follows."""

    def __init__(self, peer: SourcePeer, go_on: Callable[[int], bool]) -> None:
        self.peer = peer
        self.count = 0
        self._go_on = go_on

    def answer(self, message: dict[str, Any]) -> bool:
        """False when it was the last."""
        request = message["payload"]
        assert request["page"] == self.count, "one page after the other"
        entries = files(*(f"folder-{self.count}/file-{index}" for index in range(PAGE_SIZE)))
        self.count += 1
        last = not self._go_on(self.count)
        page = {**PAGE, "request_id": request["request_id"], "page": self.count - 1, "last": last, "entries": entries}
        self.peer.seq += 1
        self.peer.text({"type": "list_result", "seq": self.peer.seq, "ack": message["seq"], "payload": page})
        return not last

    def answer_all(self) -> None:
        while self.answer(self.peer.until("list_request")):
            pass


@pytest.mark.timeout(900)
@pytest.mark.parametrize("entries", [25_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_listing_of_many_pages_costs_the_memory_of_one(site: Site, attacker: tuple[int, str], entries: int) -> None:
    hub = psutil.Process(site.hub.server_pid)
    before = hub.memory_info().rss
    seen: list[tuple[int, float]] = []

    def look(count: int) -> bool:
        if count % 10 == 0:
            began = time.monotonic()
            assert requests.get(f"{site.hub.client.url}/healthz", timeout=5).status_code == 200
            seen.append((hub.memory_info().rss - before, time.monotonic() - began))
        return count * PAGE_SIZE < entries

    with SourcePeer(site.hub, attacker[1], b"x") as peer:
        run_id = peer.start(job_of(site, attacker, f"many-{entries}"), Pages(peer, look).answer_all)
        run = site.hub.wait_ended(run_id, 300)
        assert peer.errors == []
    assert (run["status"], run["files_total"], run["files_skipped"]) == ("succeeded", entries, entries), run
    assert max(growth for growth, _ in seen) < GROWTH_MAX
    assert max(delay for _, delay in seen) < 1.0


def test_a_listing_without_end_can_be_cancelled(site: Site, attacker: tuple[int, str]) -> None:
    with SourcePeer(site.hub, attacker[1], b"x") as peer:
        pages = Pages(peer, lambda _: True)

        def first() -> None:
            pages.answer(peer.until("list_request"))

        run_id = peer.start(job_of(site, attacker, "endless"), first)
        while pages.count < 5:
            pages.answer(peer.until("list_request"))
        site.hub.client.post(f"/api/runs/{run_id}/cancel")
        began = time.monotonic()
        while (message := peer.next()) is not None and message["type"] != "list_cancel":
            if message["type"] == "list_request":
                pages.answer(message)
        assert message is not None
        late = {**PAGE, "request_id": message["payload"]["request_id"], "page": pages.count, "last": False}
        peer.say("list_result", {**late, "entries": files("late")})
        run = site.hub.wait_ended(run_id)
        assert time.monotonic() - began < 5
        peer.settled()
        assert peer.errors == []
    assert run["status"] == "cancelled"
    names = {transfer["filename"] for transfer in site.hub.transfers(run_id)}
    assert "late" not in names
    assert (pages.count - 1) * PAGE_SIZE <= len(names) <= pages.count * PAGE_SIZE
