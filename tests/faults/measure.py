"""What the fault proxy's links really carry, between a plain sender and a plain receiver: ``python -m tests.faults.measure``."""

from __future__ import annotations

import multiprocessing
import socket
import time

from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule

LINKS = ((100e6, 0.1, 8.0), (20e6, 0.3, 8.0), (64e3, 0.1, 6.0), (100e6, 0.0, 4.0), (None, 0.0, 3.0))
STEADY_AFTER = 1.0
"""The first second is the start of the link, not its rate."""


def send(port: int, seconds: float) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(time.monotonic().hex().encode().ljust(64))
        block = bytes(256 * 1024)
        end = time.monotonic() + seconds
        sock.settimeout(0.2)
        while time.monotonic() < end:
            try:
                sock.send(block)
            except TimeoutError:
                continue


def receive(listener: socket.socket, seconds: float, results: multiprocessing.SimpleQueue[tuple[float, float]]) -> None:
    """Gives the seconds until the first byte, and the rate while the sender is at it."""
    sock, _ = listener.accept()
    with sock:
        begun = float.fromhex(sock.recv(64, socket.MSG_WAITALL).decode().strip())
        first = time.monotonic()
        buffer = bytearray(1024 * 1024)
        got, mark = 0, 0.0
        while size := sock.recv_into(buffer):
            now = time.monotonic()
            if not STEADY_AFTER < now - first < seconds - 0.5:
                continue
            if not mark:
                mark = now
                continue
            got += size
            last = now
        results.put((first - begun, got / (last - mark)))


def main() -> None:
    for bandwidth, rtt, seconds in LINKS:
        context = multiprocessing.get_context("fork")
        results: multiprocessing.SimpleQueue[tuple[float, float]] = context.SimpleQueue()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            receiver = context.Process(target=receive, args=(listener, seconds, results))
            receiver.start()
            with FaultProxy(listener.getsockname()[1], rule=Rule.link(rtt=rtt, bandwidth=bandwidth)) as proxy:
                sender = context.Process(target=send, args=(proxy.port, seconds))
                cpu, begin = time.process_time(), time.monotonic()
                sender.start()
                sender.join()
                share = (time.process_time() - cpu) / (time.monotonic() - begin)
                proxy.set(Rule())
                receiver.join()
            delay, rate = results.get()
        wanted = "unlimited" if bandwidth is None else f"{bandwidth / 1e6:g} MB/s"
        print(
            f"{wanted}, {rtt * 1000:.0f} ms: {rate / 1e6:.3f} MB/s, first byte after {delay * 1000:.1f} ms, CPU {share:.0%}"
        )


if __name__ == "__main__":
    main()
