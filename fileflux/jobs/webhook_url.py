"""Where a webhook may lead: what its URL may be, and which addresses may be connected to. Pure rules.

The hub stands where others cannot reach, so a URL of a user must not make it their proxy. What decides is the address that is connected to,
after the name was resolved: spelling an address in octal or as one number, or a name that resolves to it, changes nothing. Inside targets
are for the operator to allow, entry by entry (``webhook_allow``): ``10.1.0.0/16``, ``hooks.internal``, each with ``:PORT`` or ``:*`` for
other ports than the usual ones.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fileflux.errors import ConfigError

PORTS: Final = frozenset({80, 443, 8080, 8443})
URL_MAX: Final = 2048
ALLOW_MAX: Final = 100
"""Entries of ``webhook_allow``."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_VISIBLE: Final = re.compile(r"[!-~]+")
_NEVER: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "224.0.0.0/4", "255.255.255.255/32",
        "::/128", "fe80::/10", "fd00:ec2::254/128", "ff00::/8",
    )
)  # fmt: skip
"""Not even when allowed: this machine by another name, groups, and where clouds keep their credentials."""
_INSIDE: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
        "::1/128", "::/96", "100::/64", "2001::/23", "2001:db8::/32", "fc00::/7", "fec0::/10",
    )
)  # fmt: skip
_OUTSIDE_V6: Final = ipaddress.ip_network("2000::/3")
_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """``host`` is a name in lower case or an address without brackets; ``target`` is the path with its query."""

    secure: bool
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of ``webhook_allow``; ``port`` None: the usual ports, 0: every port."""

    network: Network | None
    name: str
    port: int | None


def parse_url(text: str) -> WebhookUrl:
    """Raises ConfigError with what is wrong with it."""
    if not 1 <= len(text) <= URL_MAX or _VISIBLE.fullmatch(text) is None:
        raise ConfigError(
            f"a URL has 1 to {URL_MAX} visible ASCII characters; write others as %XX, and a name in its xn-- form"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError("this is no URL: its host or port is malformed") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError("a webhook's URL begins with https://")
    if "@" in parts.netloc or "\\" in text:
        raise ConfigError(
            "a webhook's URL has no user, no password and no backslash; receivers check the signature instead"
        )
    if parts.fragment or text.endswith("#"):
        raise ConfigError("a webhook's URL has no part behind #")
    host = (parts.hostname or "").rstrip(".")
    if ":" not in host and (_HOST.fullmatch(host) is None or ".." in host):
        raise ConfigError("this is no URL: it has no valid host")
    if ":" in host and _address(host) is None:
        raise ConfigError("this is no URL: the address in brackets is none")
    secure = parts.scheme == "https"
    if port == 0:
        raise ConfigError("a port is 1 to 65535")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookUrl(secure, host, port or (443 if secure else 80), target)


def parse_allowed(text: str) -> Allowed:
    """Raises ConfigError with what is wrong with it."""
    place, port = _split_port(text)
    network = _network(place)
    if network is not None:
        return Allowed(network, "", port)
    name = place.lower().rstrip(".")
    if _HOST.fullmatch(name) is None or ".." in name or not re.search("[a-z]", name):
        raise ConfigError(f"{text[:100]!r} is neither a network, as in 10.0.0.0/8, nor a name, as in hooks.internal")
    return Allowed(None, name, port)


def check(url: WebhookUrl, addresses: Sequence[str], allowed: Sequence[Allowed]) -> None:
    """Whether ``url`` may be used when its name stands for ``addresses``: all of them have to be fine.

    Raises ConfigError (code ``webhook_refused``) with the reason and with what would allow it.
    """
    if not addresses:
        raise refused("its name has no address")
    by_name = [entry for entry in allowed if entry.name == url.host]
    for text in addresses:
        _check_one(url, text, by_name, allowed)


def refused(why: str) -> ConfigError:
    return ConfigError(f"the hub does not connect there: {why}", code="webhook_refused")


def _check_one(url: WebhookUrl, text: str, by_name: Sequence[Allowed], allowed: Sequence[Allowed]) -> None:
    address = _address(text)
    if address is None or _within(address, _NEVER):
        raise refused(f"{text[:50]} is an address that no webhook may have")
    entries = [entry for entry in allowed if entry.network is not None and _in(address, entry.network)]
    entries += by_name
    if not entries and not is_outside(address):
        raise refused(f"{address} is inside its own network; an admin can allow it in webhook_allow")
    if not entries and not url.secure:
        raise refused("plain http is for targets that webhook_allow names; use https")
    if url.port not in PORTS and not any(entry.port in (0, url.port) for entry in entries):
        ports = ", ".join(map(str, sorted(PORTS)))
        raise refused(
            f"port {url.port} is none of {ports}; an admin can allow it in webhook_allow, as in {url.host}:{url.port}"
        )


def is_outside(address: Address) -> bool:
    """Whether everybody can reach it, as far as its number says."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _OUTSIDE_V6:
        return False
    return not _within(address, (*_NEVER, *_INSIDE))


def _address(text: str) -> Address | None:
    """The address that is connected to: for IPv4 in IPv6's clothes the IPv4 address. None for what is none, an IPv6 address with a zone too."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.scope_id is not None:
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(_in(address, network) for network in networks)


def _in(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _split_port(text: str) -> tuple[str, int | None]:
    """``[::1]:9000``, ``10.0.0.0/8:*`` and so on; IPv6 with a port stands in brackets."""
    if text.startswith("["):
        place, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        if rest and not rest.startswith(":"):
            port = "?"
    elif text.count(":") == 1:
        place, _, port = text.partition(":")
        port = port or "?"
    else:
        place, port = text, ""
    if port == "*":
        return place, 0
    if port and (_PORT.fullmatch(port) is None or int(port) > 65_535):
        raise ConfigError(f"{text[:100]!r} has no valid port: 1 to 65535, or * for every one")
    return place, int(port) if port else None
