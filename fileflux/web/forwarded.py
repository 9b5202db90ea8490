"""Whose request it is when a proxy stands in front: ``--trusted-proxy`` says which addresses may tell.

A WSGI middleware, so that everything behind it (routes, throttles, the audit log) sees one peer and one scheme and no forwarding header, which
anyone could send.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from fileflux.errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_FOR: Final = "HTTP_X_FORWARDED_FOR"
_PROTO: Final = "HTTP_X_FORWARDED_PROTO"
_HEADERS: Final = ("HTTP_X_FORWARDED_", "HTTP_FORWARDED", "HTTP_X_REAL_IP")
"""Beginnings of what proxies say about others."""


class Forwarded:
    """``application`` with the peer and the scheme that the nearest trusted proxies tell of."""

    def __init__(self, application: Application, trusted: Sequence[Network]) -> None:
        self._application = application
        self._trusted = tuple(trusted)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        chain, scheme = environ.get(_FOR, ""), environ.get(_PROTO, "")
        for name in [name for name in environ if name.startswith(_HEADERS)]:
            del environ[name]
        peer = _address(str(environ.get("REMOTE_ADDR", "")))
        if peer is not None:
            environ["REMOTE_ADDR"] = str(peer)
            if self._trusts(peer):
                self._believe(environ, peer, chain, scheme)
        return self._application(environ, start_response)

    def _believe(self, environ: dict[str, Any], peer: Address, chain: str, scheme: str) -> None:
        origin = self._origin(peer, chain)
        if origin != peer:
            environ["REMOTE_ADDR"] = str(origin)
            environ.pop("REMOTE_PORT", None)
        # Each proxy adds its word behind those before it, as with the addresses.
        nearest = scheme.rpartition(",")[2].strip().lower()
        if nearest in ("http", "https"):
            environ["wsgi.url_scheme"] = nearest

    def _origin(self, peer: Address, chain: str) -> Address:
        """From right to left, as long as a trusted one tells; what is no address is told by nobody."""
        for part in reversed(chain.split(",")):
            if not self._trusts(peer) or (told := _address(part)) is None:
                break
            peer = told
        return peer

    def _trusts(self, peer: Address) -> bool:
        return any(peer in network for network in self._trusted)


def network(text: str) -> Network:
    """``10.0.0.0/8``, ``::1`` and the like. Raises ConfigError."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise ConfigError(f"--trusted-proxy {text!r} is no address or network, as in 127.0.0.1/32: {error}") from None


def _address(text: str) -> Address | None:
    """Without a port, brackets and zone; an IPv4 address in IPv6's clothes is the IPv4 address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
