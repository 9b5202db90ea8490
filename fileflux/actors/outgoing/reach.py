"""Connections to servers outside: names are looked up beside the loop, and what is connected to is an address that was looked at."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.resolver import Address, LookUp, Resolver
from fileflux.actors.kernel.tls import TlsError, client_context
from fileflux.clock import Clock
from fileflux.errors import FluxError

ADDRESSES_MAX: Final = 4
"""Of one name that are tried: more would be the whole time for a server that is away."""

Check = Callable[[Sequence[str]], None]


class Reach:
    """``look_up`` and ``context`` in place of the system's, for tests."""

    def __init__(
        self, clock: Clock, look_up: LookUp | None = None, context: Callable[[], ssl.SSLContext] = client_context
    ) -> None:
        self.clock = clock
        self._resolver = Resolver(look_up)
        self._make_context = context
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Trusts the system's CAs. Reading them takes longer than the loop may be held."""
        if self._context is None:
            self._context = runtime.in_thread(self._make_context)
        return self._context

    def connect(
        self, host: str, port: int, *, wait: float, deadline: float, check: Check | None = None
    ) -> socket.socket:
        """A connected socket in blocking style. ``check`` gets all addresses of the name and raises if one of them will not do.

        The name is looked up once: what was checked is what is connected to. Raises OSError, and what ``check`` raises.
        """
        left = deadline - self.clock.monotonic()
        addresses: list[Address] = list(dict.fromkeys(self._resolver.addresses(host, port, max(0.01, min(wait, left)))))
        if check is not None:
            check([str(address[0]) for _, address in addresses])
        failure: OSError = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        for family, address in addresses[:ADDRESSES_MAX]:
            left = deadline - self.clock.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                return _connected(family, address, min(wait, left))
            except OSError as error:
                failure = error
        raise failure


def _connected(family: int, address: tuple[Any, ...], wait: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(wait)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def explain(error: Exception) -> str:
    """What went wrong, in words for the log of deliveries. Nothing of what a peer said is in it unless it is an error of TLS."""
    match error:
        case FluxError():
            return error.message
        case socket.gaierror():
            return "its name cannot be resolved"
        case TlsError() | ssl.SSLError():
            return f"TLS: {error}"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return f"cannot connect: {error.strerror or type(error).__name__}"
    return f"{type(error).__name__}"
