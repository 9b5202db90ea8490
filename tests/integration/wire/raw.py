"""Bytes on a hub's port as they are, what comes back, and good transfers beside it all the time."""

from __future__ import annotations

import base64
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psutil
import psycopg2
import requests

from fileflux.cli.client import HubClient
from fileflux.storage.cluster import DATABASE, USER, Cluster
from tests.integration.conftest import Site
from tests.integration.harness import EMAIL, Hub, wait_for

MIB = 2**20
HEAD_S, IDLE_S, WINDOW_S, SILENCE_S, PENDING = 2.0, 4.0, 3.0, 3.0, 40
LIMITS = {
    "FILEFLUX_LIMITS_HANDSHAKE_TIMEOUT": str(HEAD_S),
    "FILEFLUX_LIMITS_KEEP_ALIVE_TIMEOUT": str(IDLE_S),
    "FILEFLUX_LIMITS_BODY_RATE_WINDOW": str(WINDOW_S),
    "FILEFLUX_LIMITS_SILENCE_TIMEOUT": str(SILENCE_S),
    "FILEFLUX_LIMITS_PING_INTERVAL": "0.5",
    "FILEFLUX_LIMITS_PENDING_PER_ADDRESS": str(PENDING),
    "FILEFLUX_LIMITS_LOGIN_ATTEMPTS": "100000",
}
KEY = base64.b64encode(bytes(16)).decode()


def request(
    *fields: str,
    method: str = "GET",
    path: str = "/healthz",
    version: str = "HTTP/1.1",
    host: str | None = "hub",
    body: bytes = b"",
) -> bytes:
    """One request as the fields say; ``host`` None leaves its field out."""
    named = [] if host is None else [f"Host: {host}"]
    return "\r\n".join((f"{method} {path} {version}", *named, *fields, "", "")).encode("latin-1") + body


def login(*fields: str, body: bytes = b"") -> bytes:
    """A request whose body the hub reads before it knows who asks."""
    return request("Content-Type: application/json", *fields, method="POST", path="/api/auth/login", body=body)


def upgrade(token: str, *fields: str, **changes: Any) -> bytes:
    """A right request for an agent's WebSocket, but for what is given; a field replaces the right one of its name."""
    right = {
        "Authorization": f"Bearer {token}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    given = [field.partition(":")[0] for field in fields]
    lines = [
        f"{name}: {value}" for name, value in right.items() if name not in given and (token or name != "Authorization")
    ]
    return request(*lines, *(field for field in fields if not field.endswith(":")), **{"path": "/ws/agent"} | changes)


class Wire:
    """One connection to a hub. Use as a context manager."""

    def __init__(self, hub: Hub, *, address: str = "127.0.0.1", receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind((address, 0))
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", hub.port))
        self.port = self.socket.getsockname()[1]
        self.got = b""
        self.end = ""
        """How the hub ended the connection: ``closed`` or ``reset``; empty while it has not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        """Send; a hub that does not listen any more is no failure, its last words may still be there."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def drip(self, data: bytes, pause: float) -> None:
        """One byte at a time, until there is an answer."""
        for at in range(len(data)):
            self.say(data[at : at + 1])
            if self.ready(pause):
                return

    def ready(self, seconds: float) -> bool:
        """Whether something comes, be it the end, within so long."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) is not None
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self.socket.settimeout(10)

    def hear(self, until: bytes = b"", timeout: float = 10.0) -> bytes:
        """Everything up to ``until``, or to the end of the connection."""
        deadline = time.monotonic() + timeout
        while not (until and until in self.got):
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(256 * 1024)
            except ConnectionResetError:
                self.end = "reset"
                break
            if not data:
                self.end = "closed"
                break
            self.got += data
        return self.got

    def answer(self, timeout: float = 10.0) -> int:
        """The status of the one answer, behind which the hub closed; what came is in ``got``."""
        self.hear(timeout=timeout)
        assert self.end == "closed", f"{self.end} after {self.got[:200]!r}"
        statuses = re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", self.got)
        assert len(statuses) == 1, f"not one answer: {self.got[:2000]!r}"
        return int(statuses[0])

    def open_link(self, token: str) -> None:
        """Do the upgrade; what is said from now on is WebSocket."""
        self.say(upgrade(token))
        head, _, rest = self.hear(b"\r\n\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.got = rest

    def shut(self) -> None:
        """Say that nothing more will come."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Hang up with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def close_code(data: bytes) -> int:
    """Of the close frame at the end of what a hub sent."""
    at = data.rindex(b"\x88")
    return int(struct.unpack("!H", data[at + 2 : at + 4])[0])


class Beside(threading.Thread):
    """Moves files from the site's source to its destination, one after the other, and compares each."""

    SIZE = 4 * MIB

    def __init__(self, site: Site) -> None:
        super().__init__(name="beside")
        self._site = site
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self.moved = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with HubClient(self._site.hub.client.url) as client:
                client.login(EMAIL, self._site.hub.password)
                while not self._stopping.is_set():
                    with self._turn:
                        self._move(client)
                    time.sleep(0.01)
        except BaseException as error:  # handed over whole to the test
            self.failure = error

    def _move(self, client: HubClient) -> None:
        site = self._site
        source = site.source.read / f"beside-{self.moved}.bin"
        target = site.destination.write / source.name
        source.write_bytes(os.urandom(self.SIZE))
        job = client.post(
            "/api/jobs",
            {
                "name": f"beside-{self.moved}",
                "source_agent_id": site.source.id,
                "source_path": str(source),
                "destination_agent_id": site.destination.id,
                "destination_path": str(target),
            },
        )
        run = client.post(f"/api/jobs/{job['id']}/run")["id"]
        ended = ("succeeded", "partial", "failed", "cancelled")
        status = wait_for(
            "the good transfer", lambda: (now := client.get(f"/api/runs/{run}")["status"]) in ended and now, 60
        )
        assert status == "succeeded"
        assert target.read_bytes() == source.read_bytes()
        source.unlink()
        target.unlink()
        self.moved += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing moves meanwhile."""
        with self._turn:
            yield

    def stop(self) -> None:
        self._stopping.set()
        self.join(90)


class Watch:
    """What holds for the hub after every case."""

    GROWTH = 32 * MIB

    def __init__(self, site: Site, beside: Beside) -> None:
        self.hub = site.hub
        self.beside = beside
        self.process = psutil.Process(site.hub.server_pid)
        self.memory = self.process.memory_info().rss

    def check(self) -> None:
        assert self.process.is_running(), "the server process is another one"
        assert self.beside.failure is None, f"the good transfer: {self.beside.failure!r}"
        # The machine has other things to do: the best of three is the hub's own time.
        times = []
        for _ in range(3):
            started = time.monotonic()
            assert requests.get(f"{self.hub.client.url}/healthz", timeout=5).status_code == 200
            times.append(time.monotonic() - started)
        assert min(times) < 0.25, f"/healthz took {times}"
        log = self.hub.running.text()
        assert "Traceback" not in log, log[-3000:]

    def grown(self) -> int:
        return int(self.process.memory_info().rss) - self.memory

    def descriptors(self) -> int:
        """Open descriptors of the server process."""
        return int(self.process.num_fds())

    def serves(self, port: int) -> bool:
        """Whether the hub still has its end of the connection that began at ``port``."""
        return any(link.raddr and link.raddr.port == port for link in self.process.net_connections("tcp"))


def audited(site: Site, action: str) -> list[tuple[str, str]]:
    """Actor and reason of what was refused."""
    cluster = Cluster((site.hub.folder / "hub").absolute())
    connection = psycopg2.connect(
        user=USER, password=cluster.password, dbname=DATABASE, host=str(cluster.socket_folder())
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT actor, detail->>'reason' FROM audit WHERE action = %s AND outcome = 'refused' ORDER BY id",
                (action,),
            )
            return list(cursor.fetchall())
    finally:
        connection.close()
