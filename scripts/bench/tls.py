"""TLS as the pump uses it: ``TlsStream`` at both ends of a loopback connection, beside plain sockets and the standard library's own SSLSocket.

One thread drives both ends in turn, so the figure is what one core encrypts and decrypts. MB per second of CPU time, which neighbours on
the machine do not change much. Then what an idle connection costs the hub in memory, in plain and with TLS.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from fileflux.actors.kernel import tls
from fileflux.actors.kernel.memory import keep_freed_memory
from fileflux.actors.kernel.sockets import plain_socket
from fileflux.protocol.limits import KIB, MIB
from fileflux.web import own_ca
from fileflux.web.certificates import load_pair

RECEIVE = 256 * KIB
IDLE = 500


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def at_once(*calls: Any) -> list[Any]:
    """Each call in a thread of its own: a handshake needs both ends."""
    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def ends(kind: str, server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Any, Any]:
    near, far = connected()
    if kind == "plain":
        made = [near, far]
    elif kind == "SSLSocket":
        made = at_once(
            lambda: client.wrap_socket(near, server_hostname="localhost"),
            lambda: server.wrap_socket(far, server_side=True),
        )
    else:
        sockets = at_once(
            lambda: tls.client_handshake(near, client, "localhost", 10), lambda: tls.server_handshake(far, server, 10)
        )
        made = [plain_socket(one) for one in sockets]
        for one in sockets:
            one.close()
        return made[0], made[1]
    for one in made:
        one.setblocking(False)
    return made[0], made[1]


def move(sender: Any, receiver: Any, total: int, size: int) -> float:
    """MB per second of CPU time."""
    data = memoryview(os.urandom(size))
    sent = got = at = 0
    begun = time.process_time()
    while got < total:
        try:
            while sent < total and sent - got < MIB:
                accepted = sender.send(data[at:])
                sent, at = sent + accepted, (at + accepted) % size
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        try:
            while got < total:
                got += len(receiver.recv(RECEIVE))
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
    return total / (time.process_time() - begun) / 1e6


def idle_cost(port: int, certificate: str) -> None:
    """In a process of its own: keep connections open until standard input ends."""
    context = tls.client_context(certificate) if certificate != "-" else None
    kept = []
    for _ in range(IDLE):
        sock = socket.create_connection(("127.0.0.1", port))
        kept.append(sock if context is None else tls.client_handshake(sock, context, "localhost", 10))
    sys.stdin.read()


def idle(server: ssl.SSLContext | None, ca_file: str) -> float:
    """KiB for each connection that waits in the pump's style."""
    with socket.create_server(("127.0.0.1", 0), backlog=IDLE) as listener:
        command = [sys.executable, __file__, "--idle", str(listener.getsockname()[1]), ca_file if server else "-"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as clients:
            kept: list[Any] = []
            gc.collect()
            before = psutil.Process().memory_info().rss
            for _ in range(IDLE):
                sock = listener.accept()[0]
                made = sock if server is None else tls.server_handshake(sock, server, 10)
                kept.append(plain_socket(made))
                made.close()
            gc.collect()
            cost = (psutil.Process().memory_info().rss - before) / IDLE / KIB
            for stream in kept:
                stream.close()
            assert clients.stdin is not None
            clients.stdin.close()
    return cost


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def in_use() -> int:
    """Bytes that the C library has handed out; the resident size would count what was freed as well."""
    library = ctypes.CDLL("libc.so.6")
    library.mallinfo2.restype = _Mallinfo2
    found = library.mallinfo2()
    return int(found.uordblks + found.hblkhd)


def after_bulk(server: ssl.SSLContext, client: ssl.SSLContext) -> float:
    """KiB that one end keeps when 4 MiB have gone each way."""
    kept = [ends("TlsStream", server, client)]
    before = in_use()
    for _ in range(40):
        kept.append(ends("TlsStream", server, client))
        move(*kept[-1], 4 * MIB, MIB)
        move(*reversed(kept[-1]), 4 * MIB, MIB)
    gc.collect()
    cost = (in_use() - before) / 80 / KIB
    for pair in kept:
        for stream in pair:
            stream.close()
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--idle", nargs=2, metavar=("PORT", "CA"))
    chosen = parser.parse_args()
    if chosen.idle:
        idle_cost(int(chosen.idle[0]), chosen.idle[1])
        return
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        file = own_ca.ensure(Path(folder), ["localhost"], datetime.now(UTC))
        ca_file = str(file.with_name(own_ca.CA_CERTIFICATE))
        server = load_pair(file, file, datetime.now(UTC)).context
        client = tls.client_context(ca_file)
        print(
            f"idle: plain {idle(None, ca_file):.1f} KiB, TLS {idle(server, ca_file):.1f} KiB each; after bulk both ways {after_bulk(server, client):.0f} KiB"
        )
        for size in (64 * KIB, 256 * KIB, MIB):
            line = []
            for kind in ("plain", "SSLSocket", "TlsStream"):
                sender, receiver = ends(kind, server, client)
                line.append(f"{kind} {move(sender, receiver, chosen.mib * MIB, size):5.0f}")
                cipher = sender.cipher()[0] if kind == "SSLSocket" else ""
                if cipher and size == MIB:
                    line.append(f"({cipher})")
                sender.close()
                receiver.close()
            print(f"{size // KIB:5} KiB: MB/s of CPU, both ends: {', '.join(line)}")


if __name__ == "__main__":
    main()
