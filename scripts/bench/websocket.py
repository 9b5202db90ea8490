"""One WebSocket hop over loopback TCP: our link at both ends, beside a plain socket in the same run (the ceiling).

Two processes, messages of 1 MiB, as the pieces of a quick link are. Prints MB/s of each direction and the ratio to the plain socket.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import time

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.memory import keep_freed_memory
from fileflux.actors.kernel.pump import Pump
from fileflux.clock import SystemClock
from fileflux.protocol.limits import DEFAULT_LIMITS, MIB
from fileflux.protocol.websocket import WebSocketLink


class Receiver:
    """Counts what comes in; done when enough came."""

    def __init__(self, wanted: int) -> None:
        self.left = wanted
        self.done = runtime.Event()

    def on_text(self, _text: str) -> None: ...

    def on_binary(self, data) -> None:
        self.left -= len(data)
        if self.left <= 0:
            self.done.set()

    def on_life(self) -> None: ...

    def on_closed(self, _code: int, _reason: str) -> None:
        self.done.set()


def send_all(link: WebSocketLink, total: int) -> None:
    data = os.urandom(MIB)
    sent = runtime.Event()
    for _ in range(total // MIB):
        while link.queued_bytes >= 4 * MIB:
            sent.clear()
            sent.wait()
        link.send_binary(data, on_sent=sent.set)
    while link.queued_bytes:
        sent.clear()
        sent.wait()


def link_over(sock: socket.socket, side: str, pump: Pump) -> WebSocketLink:
    sock.setblocking(False)
    return WebSocketLink(sock, side, pump, DEFAULT_LIMITS, SystemClock())


def websocket_once(total: int, sender_side: str) -> float:
    """Seconds from the first byte until the other process has everything."""
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        keep_freed_memory()
        pump = Pump()
        pump.start()
        receiver = Receiver(total)
        link = link_over(theirs, "client" if sender_side == "server" else "server", pump)
        link.start(receiver)
        receiver.done.wait()
        link.send_text("done")
        runtime.sleep(0.2)
        os._exit(0)
    theirs.close()
    pump = Pump()
    pump.start()
    answered = runtime.Event()
    listener = Receiver(1)
    listener.on_text = lambda _text: answered.set()
    link = link_over(ours, sender_side, pump)
    link.start(listener)
    begun = time.monotonic()
    send_all(link, total)
    answered.wait()
    spent = time.monotonic() - begun
    link.close(1000, "")
    pump.stop()
    os.waitpid(pid, 0)
    return spent


def plain_once(total: int) -> float:
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        buffer = memoryview(bytearray(MIB))
        left = total
        while left > 0:
            left -= theirs.recv_into(buffer)
        theirs.sendall(b"x")
        os._exit(0)
    data = os.urandom(MIB)
    begun = time.monotonic()
    for _ in range(total // MIB):
        ours.sendall(data)
    ours.recv(1)
    spent = time.monotonic() - begun
    ours.close()
    theirs.close()
    os.waitpid(pid, 0)
    return spent


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        return client, accepted


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    total = options.mib * MIB
    keep_freed_memory()
    plain = statistics.median(plain_once(total) for _ in range(options.rounds))
    print(f"plain socket          {total / plain / 1e6:7.0f} MB/s")
    for side, name in (("client", "client to hub, masked"), ("server", "hub to client")):
        spent = statistics.median(websocket_once(total, side) for _ in range(options.rounds))
        print(f"{name:<21} {total / spent / 1e6:7.0f} MB/s   {plain / spent:.2f} of the plain socket")
    return 0


if __name__ == "__main__":
    sys.exit(main())
