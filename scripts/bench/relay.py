"""The relay alone: what a piece costs when the pump hands it over, and what one mailbox hop more would cost.

No sockets: the destination's link takes everything at once. Prints microseconds a piece and the ratio of the two ways.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

from fileflux.actors import messages as a
from fileflux.actors.hub_check import HubCheck
from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.actors.relay import Relay
from fileflux.clock import SystemClock
from fileflux.protocol.frames import FrameHeader, encode_piece
from fileflux.protocol.limits import DEFAULT_CHUNK_SIZE, DEFAULT_LIMITS, KIB
from fileflux.protocol.messages import ChunkAck, ChunksItem
from fileflux.workers.slots import Arena

CHUNKS = 32
GIB = 2**30
WIDE = replace(DEFAULT_LIMITS, relay_budget=GIB, relay_share_max=GIB, window_max=GIB, receive_buffer=GIB)
"""Windows so wide that the source never waits."""


class Link:
    transport = peer = "bench"

    def send_binary(self, _data: Any, *, tag: int = 0, on_sent: Any = None, cut: Any = None) -> None:
        del tag, cut
        on_sent()

    def drop(self, _tag: int) -> int:
        return 0


class Port:
    agent_id = 1
    receive_buffer = 0

    def __init__(self) -> None:
        self.link = Link()

    def post(self, _message: Any) -> None: ...


class Run:
    def tell(self, _message: Any) -> bool:
        return True


class Receipt:
    def done(self) -> None: ...


class Hop(Actor[bytes]):
    """Stands between pump and relay, as one mailbox more would."""

    mailbox_size = 100_000

    def __init__(self, take: Any) -> None:
        super().__init__()
        self._take = take

    def receive(self, message: bytes) -> None:
        self._take(message)


def pieces(wire_id: int, size: int) -> list[list[bytes]]:
    """The pieces of one file, chunk by chunk."""
    made = []
    for index in range(CHUNKS):
        header = FrameHeader(wire_id, index, CHUNKS, b"h" * 32, DEFAULT_CHUNK_SIZE, DEFAULT_CHUNK_SIZE, 0)
        frame = header.pack() + bytes(DEFAULT_CHUNK_SIZE)
        made.append([encode_piece(wire_id, index, at, frame[at : at + size]) for at in range(0, len(frame), size)])
    return made


def once(wire_id: int, size: int, *, hop: bool) -> float:
    """Seconds a piece."""
    source, destination = Port(), Port()
    relay = Relay(WIDE, SystemClock(), HubCheck(None, Arena(4096)))
    relay.receive(a.OpenAttempt(wire_id, Run(), 1, source, destination, "off"))
    relay.receive(a.OpenRoute(wire_id, CHUNKS * DEFAULT_CHUNK_SIZE, DEFAULT_CHUNK_SIZE, CHUNKS))
    relay.receive(a.StartRoute(wire_id, 0))
    work = pieces(wire_id, size)
    supervisor = Supervisor("bench", "one_for_one")
    ref = supervisor.start_child(ChildSpec("hop", lambda: Hop(lambda data: relay.receive_binary(source, data))))
    count, begun = 0, time.thread_time()
    for index, chunk in enumerate(work):
        for data in chunk:
            count += 1
            if hop:
                ref.tell(data)
                runtime.yield_loop()
            else:
                relay.receive_binary(source, data)
                runtime.yield_loop()
        ack = ChunkAck((ChunksItem(wire_id, ((index, index),)),))
        relay.receive(a.FromAgent(destination, ack, Receipt()))
    spent = time.thread_time() - begun
    supervisor.stop()
    return spent / count


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for size in (64 * KIB, 1024 * KIB):
        direct, hopped = [], []
        for number in range(options.rounds):
            direct.append(once(2 * number + 1, size, hop=False))
            hopped.append(once(2 * number + 2, size, hop=True))
        plain, more = statistics.median(direct), statistics.median(hopped)
        print(
            f"pieces of {size // KIB:5} KiB: {plain * 1e6:6.1f} us a piece with one turn of the loop,"
            f" {more * 1e6:6.1f} us with a mailbox hop ({more / plain:.2f} x)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
