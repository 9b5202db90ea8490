"""What idle agents on long-polling cost the hub: memory each, SQL statements, CPU.

    python scripts/bench/idle.py [--agents 1000] [--seconds 60]

Opens the links from this process with plain sockets, says hello on each, and keeps one poll of 25 s waiting. Prints the hub's PSS per agent above
its size before, the transactions that its database saw in the time, and CPU seconds. The limit is 64 KiB an agent and no transaction per poll.
"""

from __future__ import annotations

import argparse
import re
import selectors
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg2

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fileflux.protocol.codec import encode
from fileflux.protocol.limits import PROTOCOL_VERSIONS
from fileflux.protocol.messages import Hello
from fileflux.protocol.records import Kind, head_of
from tests.integration.harness import Hub

LIMIT_KIB = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fileflux-idle-"))
    folder.chmod(0o755)
    hub = Hub(folder, env={"FILEFLUX_LIMITS_PENDING_PER_ADDRESS": "5000"}).start()
    try:
        measure(hub, folder, options.agents, options.seconds)
    finally:
        hub.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(hub: Hub, folder: Path, count: int, seconds: float) -> None:
    first = Idle(hub, folder, 0)
    server = psutil.Process(hub.server_pid)
    before = pss(server.pid)
    agents = [first, *(Idle(hub, folder, number) for number in range(1, count))]
    settle(agents, 5.0)
    during = pss(server.pid)
    statements, cpu, began = transactions(hub), server.cpu_times(), time.monotonic()
    polls = settle(agents, seconds)
    elapsed = time.monotonic() - began
    spent = server.cpu_times()
    each = (during - before) / 1024 / (count - 1)
    print(
        f"{count} idle agents: {each:.1f} KiB each in the hub, {each / LIMIT_KIB:.2f} of the limit; after {elapsed:.0f} s {(pss(server.pid) - before) / 1024 / (count - 1):.1f} KiB"
    )
    print(
        f"{polls} polls answered in {elapsed:.0f} s; {transactions(hub) - statements} transactions; "
        f"{spent.user + spent.system - cpu.user - cpu.system:.2f} CPU seconds"
    )


class Idle:
    """One agent's link: a socket with a waiting poll."""

    def __init__(self, hub: Hub, folder: Path, number: int) -> None:
        _, token_file = hub.enrol(f"idle-{number}", folder)
        self._head = f"Host: 127.0.0.1:{hub.port}\r\nAuthorization: Bearer {token_file.read_text()}\r\n"
        self.sock = socket.create_connection(("127.0.0.1", hub.port))
        answer = self.ask("POST /api/agent/connect", "Content-Length: 0\r\n", b"")
        found = re.search(rb'"session_id":\s*"([0-9a-f]+)"', answer)
        assert found is not None, answer
        self._head += f"X-FileFlux-Session: {found[1].decode()}\r\n"
        hello = encode(Hello(PROTOCOL_VERSIONS, f"idle-{number}"), 0, 0).encode()
        body = head_of(Kind.TEXT, len(hello)) + hello
        self.ask("POST /api/agent/messages", f"X-FileFlux-Seq: 1\r\nContent-Length: {len(body)}\r\n", body)
        self.number = 0
        self.poll()

    def ask(self, line: str, head: str, body: bytes) -> bytes:
        self.sock.sendall(f"{line} HTTP/1.1\r\n{self._head}{head}\r\n".encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.sock.recv(65536)
        length = re.search(rb"Content-Length: (\d+)", answer)
        end = answer.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
        while len(answer) < end:
            answer += self.sock.recv(65536)
        return answer

    def poll(self) -> None:
        self.number += 1
        line = f"GET /api/agent/poll?timeout=25 HTTP/1.1\r\n{self._head}X-FileFlux-Seq: {self.number}\r\nX-FileFlux-Ack: {self.number - 1}\r\n\r\n"
        self.sock.sendall(line.encode())

    def answered(self) -> None:
        data = self.sock.recv(65536)
        assert data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")), data[:200]
        self.poll()


def settle(agents: list[Idle], seconds: float) -> int:
    """Answer for all of them for so long; the polls that were answered."""
    selector = selectors.DefaultSelector()
    for agent in agents:
        selector.register(agent.sock, selectors.EVENT_READ, agent)
    end, polls = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            key.data.answered()
            polls += 1
    selector.close()
    return polls


def pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024  # type: ignore[index]  # the kernel always writes the line


def transactions(hub: Hub) -> int:
    """All transactions that the hub's database has seen, this question's own included."""
    socket_dir = next((hub.folder / "hub").rglob(".s.PGSQL.*")).parent
    password = (hub.folder / "hub" / "postgres-password").read_text().strip()
    connection = psycopg2.connect(host=str(socket_dir), user="fileflux", password=password, dbname="postgres")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database")
            return int(cursor.fetchone()[0])
    finally:
        connection.close()


if __name__ == "__main__":
    main()
