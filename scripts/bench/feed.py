"""What open tabs cost the hub: memory each, CPU while nothing happens, and how late the hub's loop is while all of them are told something.

    python scripts/bench/feed.py [--tabs 1000] [--seconds 20] [--changes 20]

Opens the feeds (server-sent events) from this process. Then an agent is changed ``--changes`` times a second, while the time of ``GET /healthz`` shows
how late the loop is; every tab must have the last event at the end.
"""

from __future__ import annotations

import argparse
import selectors
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.harness import Hub


class Tabs:
    """Feeds that are read by one thread."""

    def __init__(self, hub: Hub, count: int) -> None:
        self.bytes = 0
        self._tails: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        request = (
            f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {hub.client.token}\r\n\r\n".encode()
        )
        for _ in range(count):
            tab = socket.create_connection(("127.0.0.1", hub.port))
            tab.sendall(request)
            head = tab.recv(4096)
            assert head.startswith(b"HTTP/1.1 200"), head
            tab.setblocking(False)
            self._selector.register(tab, selectors.EVENT_READ)
            self._tails[tab] = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def told(self, mark: bytes) -> int:
        """How many have got ``mark`` lately."""
        return sum(mark in tail for tail in tuple(self._tails.values()))

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        for tab in self._tails:
            tab.close()

    def _read(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(0.5):
                tab = key.fileobj
                assert isinstance(tab, socket.socket)
                data = tab.recv(1 << 20)
                assert data, "the hub ended a feed"
                self.bytes += len(data)
                self._tails[tab] = (self._tails[tab] + data)[-8192:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tabs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--changes", type=float, default=20.0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fileflux-feed-"))
    folder.chmod(0o755)
    env = {"FILEFLUX_LIMITS_FEEDS_PER_USER": "5000", "FILEFLUX_LIMITS_PENDING_PER_ADDRESS": "5000"}
    hub = Hub(folder, env=env).start()
    try:
        measure(hub, options.tabs, options.seconds, options.changes)
    finally:
        hub.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(hub: Hub, count: int, seconds: float, changes: float) -> None:
    server = psutil.Process(hub.server_pid)
    agents = [hub.client.post("/api/agents", {"name": f"bench-{number}"})["id"] for number in range(20)]
    Tabs(hub, 1).close()
    alone = round_trips(hub, 5.0, lambda _: None)
    before = server.memory_full_info().pss
    tabs = Tabs(hub, count)
    time.sleep(2)
    during = server.memory_full_info().pss
    cpu = sum(server.cpu_times()[:2])
    quiet = round_trips(hub, seconds, lambda _: None)
    idle_cpu = sum(server.cpu_times()[:2]) - cpu
    print(
        f"{count} tabs: {(during - before) / 1024 / count:.1f} KiB each; {idle_cpu:.2f} CPU s in {seconds:.0f} s while nothing happens"
    )
    cpu, said = sum(server.cpu_times()[:2]), tabs.bytes
    made = 0

    def change(passed: float) -> None:
        nonlocal made
        while made < passed * changes:
            made += 1
            hub.client.patch(f"/api/agents/{agents[made % len(agents)]}", {"description": f"change {made}"})

    busy = round_trips(hub, seconds, change)
    busy_cpu = sum(server.cpu_times()[:2]) - cpu
    hub.client.patch(f"/api/agents/{agents[0]}", {"description": "the last one"})
    deadline = time.monotonic() + 15
    while tabs.told(b"the last one") < count and time.monotonic() < deadline:
        time.sleep(0.1)
    print(
        f"{made} changes in {seconds:.0f} s: {(tabs.bytes - said) / 2**20:.1f} MiB to the tabs, {busy_cpu:.2f} CPU s; {tabs.told(b'the last one')} have the last event"
    )
    print(f"now {(server.memory_full_info().pss - before) / 1024 / count:.1f} KiB each")
    for name, times in (("without tabs", alone), ("quiet", quiet), ("changing", busy)):
        times.sort()
        at = [times[int(len(times) * share)] * 1000 for share in (0.5, 0.99)]
        print(
            f"GET /healthz {name}: p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, max {times[-1] * 1000:.1f} ms ({len(times)} times)"
        )
    tabs.close()


def round_trips(hub: Hub, seconds: float, between) -> list[float]:  # type: ignore[no-untyped-def]  # a script
    times = []
    began = time.monotonic()
    with requests.Session() as session:
        while (passed := time.monotonic() - began) < seconds:
            between(passed)
            started = time.monotonic()
            session.get(f"{hub.client.url}/healthz").raise_for_status()
            times.append(time.monotonic() - started)
            time.sleep(0.01)
    return times


if __name__ == "__main__":
    main()
