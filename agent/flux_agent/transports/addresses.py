"""From a name to a TCP connection, within one deadline (RFC 8305, "Happy Eyeballs", without its asynchronous look-up)."""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from fileflux.actors.kernel.resolver import Address, Resolver
from fileflux.clock import Clock
from flux_agent.transports.deadline import Deadline
from flux_agent.transports.reach import ReachError

NEXT_AFTER_S: Final = 0.3
"""An address that has not answered by then gets company from the next one: a broken IPv6 costs no more than this."""
ADDRESSES_MAX: Final = 16
"""Tried at most, whatever a name server says."""


def find(resolver: Resolver, host: str, port: int, what: str, deadline: Deadline) -> list[Address]:
    """The addresses of ``host``; ``what`` is its role in a sentence, "the hub" or "the proxy". Raises ReachError."""
    try:
        found = resolver.addresses(host, port, deadline.left())
    except TimeoutError:
        raise ReachError(
            "dns",
            f"the name servers do not answer for {what} {host} within {deadline.seconds:g} s: check this machine's DNS",
        ) from None
    except socket.gaierror as error:
        raise ReachError("dns", _no_name(error, host, what)) from None
    except (OSError, UnicodeError) as error:
        raise ReachError("dns", f"cannot look up {what} {host!r}: {error}") from None
    if not found:
        raise ReachError("dns", f"{what} {host} has no IPv4 or IPv6 address: correct its name or its DNS entry")
    return found[:ADDRESSES_MAX]


def _no_name(error: socket.gaierror, host: str, what: str) -> str:
    if error.errno == socket.EAI_AGAIN:
        return f"no name server answers for {what} {host}: check this machine's network and DNS"
    return f"there is no host {host} ({error.strerror or error}): correct the address of {what}, or this machine's DNS"


def connect_first(addresses: Sequence[Address], what: str, deadline: Deadline, clock: Clock) -> socket.socket:
    """A connected socket to whichever address takes it first; ``what`` is whose addresses they are. Raises ReachError."""
    race = _Race(addresses, deadline, clock)
    try:
        winner = race.run()
    except TimeoutError:
        raise ReachError("tcp", _nobody(race, what, deadline)) from None
    finally:
        race.close()
    if winner is None:
        raise ReachError("tcp", _nobody(race, what, deadline))
    return winner


class _Race:
    """Attempts to connect, each begun when the last one failed or has taken too long. Waits in one selector only."""

    def __init__(self, addresses: Sequence[Address], deadline: Deadline, clock: Clock) -> None:
        self._todo = deque(_families_in_turn(addresses))
        self._running: dict[socket.socket, Address] = {}
        self._deadline = deadline
        self._clock = clock
        # By attribute: in a patched process this is the one that lets the loop go on.
        self._selector = selectors.DefaultSelector()
        self.failures: list[tuple[Address, OSError]] = []

    @property
    def unanswered(self) -> list[Address]:
        return list(self._running.values())

    def run(self) -> socket.socket | None:
        """The winner; None when every address has failed. Raises TimeoutError."""
        next_at = self._clock.monotonic()
        while self._todo or self._running:
            now = self._clock.monotonic()
            if self._todo and (not self._running or now >= next_at):
                next_at = now + NEXT_AFTER_S
                winner = self._begin(self._todo.popleft())
            else:
                left = self._deadline.left()
                winner = self._wait(min(left, next_at - now) if self._todo else left)
            if winner is not None:
                return winner
        return None

    def close(self) -> None:
        """End the attempts that still run."""
        self._selector.close()
        for sock in self._running:
            sock.close()

    def _begin(self, address: Address) -> socket.socket | None:
        family, target = address
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            # No IPv6 in this kernel, or no descriptor left.
            self.failures.append((address, error))
            return None
        sock.setblocking(False)
        try:
            sock.connect(target)
        except BlockingIOError:
            self._running[sock] = address
            self._selector.register(sock, selectors.EVENT_WRITE, sock)
            return None
        except OSError as error:
            sock.close()
            self.failures.append((address, error))
            return None
        return sock

    def _wait(self, seconds: float) -> socket.socket | None:
        winner: socket.socket | None = None
        for key, _ in self._selector.select(seconds):
            if winner is not None:
                break
            sock: socket.socket = key.data
            self._selector.unregister(sock)
            address = self._running.pop(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number == 0:
                winner = sock
            else:
                sock.close()
                self.failures.append((address, OSError(number, os.strerror(number))))
        return winner


def _families_in_turn(addresses: Sequence[Address]) -> list[Address]:
    """IPv6 and IPv4 one after the other, beginning with the system's choice."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    second = [address for address in addresses if address[0] != addresses[0][0]]
    mixed: list[Address] = []
    for index in range(max(len(first), len(second))):
        mixed += first[index : index + 1] + second[index : index + 1]
    return mixed


def _nobody(race: _Race, what: str, deadline: Deadline) -> str:
    tried = [f"{address[1][0]}: {error.strerror or error}" for address, error in race.failures]
    tried += [f"{address[1][0]}: no answer within {deadline.seconds:g} s" for address in race.unanswered]
    numbers = {error.errno for _, error in race.failures}
    if race.unanswered or numbers & {errno.ETIMEDOUT}:
        advice = "a firewall may drop the packets; if this network wants a proxy, set `proxy`"
    elif numbers & {errno.ECONNREFUSED}:
        advice = f"is {what.partition(' at ')[0]} running there, and is the port right?"
    else:
        advice = "check this machine's network"
    return f"{what} does not take connections ({'; '.join(tried)}): {advice}"
