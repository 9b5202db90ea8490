"""The live feed of a real hub: a run followed from its start to its end, over a restart too; both ways in, with and without TLS."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from tests.faults.rules import Rule
from tests.integration.conftest import Site
from tests.integration.harness import Hub, wait_for

SLOW = Rule.link(bandwidth=12e6)
ORDER = ["queued", "waiting_agent", "planning", "transferring", "verifying", "succeeded"]


@pytest.fixture(scope="module")
def slow_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("feed"), source_link=SLOW)
    try:
        yield site
    finally:
        site.stop()


class Reader:
    """Reads the feed as a script would, and connects again with the last id it has seen."""

    def __init__(self, hub: Hub) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.last_id = ""
        self.connections = 0
        self._hub = hub
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_for("the feed to open", lambda: self.last_id)

    def shown(self, kind: str, row_id: int) -> list[dict[str, Any]]:
        return [data for name, data in tuple(self.events) if name == kind and data.get("id") == row_id]

    def stop(self) -> None:
        self._stopping = True

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._read()
            except requests.RequestException:
                time.sleep(0.1)

    def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self._hub.client.token}", "Last-Event-ID": self.last_id}
        url = f"{self._hub.client.url}/api/events"
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            answer.raise_for_status()
            self.connections += 1
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.decode().partition(": ")
                match name:
                    case "id":
                        self.last_id = value
                    case "event":
                        kind = value
                    case "data":
                        self.events.append((kind, json.loads(value)))
                    case _:
                        pass


@pytest.fixture
def reader(slow_site: Site) -> Iterator[Reader]:
    reader = Reader(slow_site.hub)
    yield reader
    reader.stop()


def start_run(site: Site) -> int:
    """Of a file that takes more than two seconds."""
    path = site.source.read / f"{os.urandom(4).hex()}.bin"
    path.write_bytes(os.urandom(32 * 2**20))
    return site.hub.run(site.hub.job(site.source.id, path, site.destination.id, f"{site.destination.write}/"))


def check_the_end(site: Site, reader: Reader, run_id: int) -> None:
    """The feed has the last word of everything, and REST says the same."""
    run = site.hub.wait_ended(run_id)
    assert run["status"] == "succeeded", run
    wait_for("the run's end on the feed", lambda: reader.shown("run", run_id)[-1] == site.hub.show(run_id))
    (transfer,) = site.hub.transfers(run_id)
    assert transfer["status"] == "completed"
    assert reader.shown("transfer", transfer["id"])[-1] == transfer


def test_a_run_is_followed_to_its_end(slow_site: Site, reader: Reader) -> None:
    site = slow_site
    site.destination.stop()
    run_id = start_run(site)
    wait_for("the reason why it waits", lambda: any(run["reason"] for run in reader.shown("run", run_id)))
    site.destination.start()
    check_the_end(site, reader, run_id)
    runs = reader.shown("run", run_id)
    statuses = list(dict.fromkeys(run["status"] for run in runs))
    assert statuses == [status for status in ORDER if status in statuses]
    assert {"waiting_agent", "transferring", "succeeded"} <= set(statuses)
    progress = [run["progress"] for run in runs]
    assert progress == sorted(progress)
    assert len({done for done in progress if 0 < done < 100}) >= 2, progress
    (transfer,) = site.hub.transfers(run_id)
    assert len({one["progress"] for one in reader.shown("transfer", transfer["id"])}) >= 3
    seen = [agent["status"] for agent in reader.shown("agent", site.destination.id)]
    assert (seen[0], seen[-1]) == ("offline", "online")


def test_a_script_goes_on_after_a_restart_of_the_hub(slow_site: Site, reader: Reader) -> None:
    site = slow_site
    run_id = start_run(site)
    wait_for("progress", lambda: any(run["progress"] > 10 for run in reader.shown("run", run_id)))
    before = len(reader.events)
    stopped_at = time.monotonic()
    site.hub.running.stop(20)
    assert time.monotonic() - stopped_at < 15, "an open feed does not hold up the stop"
    site.hub.start()
    check_the_end(site, reader, run_id)
    assert reader.connections == 2
    assert [kind for kind, _ in reader.events[before:]].count("reset") == 1


@pytest.fixture(scope="module")
def tls_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a certificate of its own, small limits and no agents."""
    folder = tmp_path_factory.mktemp("tls-feed")
    env = {
        "FILEFLUX_TLS": "auto",
        "FILEFLUX_LIMITS_FEED_HEARTBEAT": "0.3",
        "FILEFLUX_LIMITS_FEEDS_PER_USER": "1",
        "FILEFLUX_LIMITS_SILENCE_TIMEOUT": "1",
    }
    hub = Hub(folder, env=env, ca_file=str(folder / "hub" / "tls" / "ca.pem")).start()
    try:
        yield hub
    finally:
        hub.stop()


def dial(hub: Hub, receive_buffer: int | None = None) -> socket.socket:
    plain = socket.socket()
    if receive_buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.settimeout(10)
    plain.connect(("127.0.0.1", hub.port))
    if not hub.client.ca_file:
        return plain
    return ssl.create_default_context(cafile=hub.client.ca_file).wrap_socket(plain, server_hostname="127.0.0.1")


def connect(hub: Hub, query: str = "", **options: Any) -> websocket.WebSocket | None:
    """None: too many feeds are open."""
    url = hub.client.url.replace("http", "ws", 1)
    options.setdefault("header", [f"Authorization: Bearer {hub.client.token}"])
    options.setdefault("suppress_origin", True)
    connection = dial(hub)
    try:
        return websocket.create_connection(f"{url}/api/events/ws{query}", socket=connection, **options)
    except websocket.WebSocketBadStatusException as error:
        connection.close()
        if error.status_code != 429:
            raise
        return None


def open_again(hub: Hub, **options: Any) -> websocket.WebSocket:
    """When the feed before this one has ended."""
    feed: websocket.WebSocket = wait_for("a place for a feed", lambda: connect(hub, **options), 10)
    return feed


def start_waiting_run(hub: Hub) -> dict[str, Any]:
    """A run of agents that are not there."""
    source, destination = (hub.client.post("/api/agents", {"name": os.urandom(4).hex()})["id"] for _ in range(2))
    run_id = hub.run(hub.job(source, Path("/x"), destination, "/y"))
    waiting: dict[str, Any] = wait_for("the run to wait", lambda: (run := hub.show(run_id))["reason"] and run)
    return waiting


def read_until(feed: websocket.WebSocket, kind: str, data: dict[str, Any]) -> None:
    event: dict[str, Any] = {}
    while (event.get("type"), event.get("data")) != (kind, data):
        event = json.loads(feed.recv())
        assert set(event) == {"id", "type", "data"}


def test_the_feed_over_a_websocket_without_tls(slow_site: Site) -> None:
    hub = slow_site.hub
    protocols = ["fileflux.events", f"bearer.{hub.client.token}"]
    feed = open_again(hub, header=[], suppress_origin=False, origin=hub.client.url, subprotocols=protocols)
    assert feed.getsubprotocol() == "fileflux.events"
    read_until(feed, "run", start_waiting_run(hub))
    feed.close()


def test_the_feed_over_a_websocket_with_tls(tls_hub: Hub) -> None:
    hub = tls_hub
    feed = open_again(hub)
    assert connect(hub) is None, "one for each user here"
    read_until(feed, "run", start_waiting_run(hub))
    assert feed.recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_PING, "a heartbeat"
    feed.send("what a client says does not matter")
    feed.ping()
    while feed.recv_data(control_frame=True)[0] != websocket.ABNF.OPCODE_PONG:
        pass
    # The connection is closed over it, or a goodbye comes first.
    with suppress(OSError, websocket.WebSocketConnectionClosedException):
        feed.send("x" * 100_000)
        while feed.recv_data(control_frame=True)[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
    feed.shutdown()
    lost = open_again(hub, query="?last_event_id=00000000-7")
    assert json.loads(lost.recv())["type"] == "reset"
    lost.close()


def test_a_feed_ends_with_the_session(tls_hub: Hub) -> None:
    hub = tls_hub
    feed = open_again(hub)
    email = hub.client.get("/api/auth/user")["email"]
    hub.client.post("/api/auth/logout")
    opcode, data = websocket.ABNF.OPCODE_PING, b""
    while opcode != websocket.ABNF.OPCODE_CLOSE:
        opcode, data = feed.recv_data(control_frame=True)
    assert int.from_bytes(data[:2]) == 1001
    feed.shutdown()
    hub.client.login(email, hub.password)


def test_a_client_that_takes_no_bytes_is_dropped(tls_hub: Hub) -> None:
    hub = tls_hub
    request = f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {hub.client.token}\r\n\r\n"
    with dial(hub, receive_buffer=4096) as slow:

        def opened() -> bool:
            slow.sendall(request.encode())
            return slow.recv(1000).startswith(b"HTTP/1.1 200")

        wait_for("the feed before this one to end", opened, 10)
        assert connect(hub) is None

        def dropped() -> websocket.WebSocket | None:
            for _ in range(15):
                hub.client.post("/api/agents", {"name": os.urandom(8).hex(), "description": "x" * 1900})
            return connect(hub)

        wait_for("the place of the slow one", dropped, 20).close()
