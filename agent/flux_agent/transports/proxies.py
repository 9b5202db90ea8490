"""Which HTTP proxy stands between this agent and its hub, and the tunnel through it.

There is one hub and so one decision, made at the start and used by both transports. ``proxy`` of the configuration goes before everything
else and NO_PROXY does not touch it: it is about this hub alone. Without it the environment decides as for curl and requests: HTTPS_PROXY
(HTTP_PROXY for an ``http`` hub), else ALL_PROXY, lower case before upper case, unless NO_PROXY names the hub. A hub on this machine is no
exception: name ``localhost`` or ``127.0.0.1`` in NO_PROXY. Differences, all on the strict side: a name in NO_PROXY matches whole labels
(``b.c`` is not ``ab.c``), CIDR works for IPv6 too, and ``*`` counts anywhere in the list.

The tunnel is CONNECT for every hub, also for ``http`` ones: so the proxy sees neither token nor answers, and WebSocket passes.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from fileflux.errors import ConfigError
from fileflux.protocol.limits import KIB
from flux_agent.transports.deadline import Deadline
from flux_agent.transports.reach import ReachError

OFF: Final = "none"
ANSWER_MAX: Final = 16 * KIB
"""Bytes of a proxy's answer to CONNECT."""
_HEAD_END: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([\x20-\x7e]{0,100}))?")
_CHALLENGE: Final = re.compile(rb"\r\nproxy-authenticate:[ \t]*([A-Za-z0-9_-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proxy:
    """``origin`` is where it was configured. ``authorization`` is the header's value; it is in no text made of this object."""

    scheme: str
    host: str
    port: int
    origin: str
    authorization: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def choose(scheme: str, host: str, port: int, configured: str | None, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy on the way to the hub ``scheme://host:port``; None for the direct way. Raises ConfigError for a URL that is none."""
    if configured is not None:
        return None if configured.strip().lower() == OFF else parse(configured, "proxy")
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            value = environment.get(variable, "").strip()
            if value:
                return None if _bypassed(host, port, _either(environment, "no_proxy")) else parse(value, variable)
    return None


def parse(url: str, origin: str) -> Proxy:
    """A proxy's URL, ``http://[user:password@]host:port``. Raises ConfigError, which never shows the URL: there may be a password in it."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise ConfigError(f"{origin} is not a proxy's URL: write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"{origin} names a {parts.scheme} proxy: only http:// and https:// proxies are supported")
    if not parts.hostname or port == 0:
        raise ConfigError(f"{origin} names no host and port: write http://HOST:PORT")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(
            f"{origin} has something behind its port: write http://HOST:PORT, and / ? # @ in a password as %2F %3F %23 %40"
        )
    authorization = None
    if parts.username is not None:
        pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
        authorization = f"Basic {base64.b64encode(pair).decode()}"
    return Proxy(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), origin, authorization)


def open_tunnel(connection: Any, proxy: Proxy, host: str, port: int, deadline: Deadline) -> None:
    """Ask ``proxy`` on its connected socket (blocking style) for a tunnel to ``host``; afterwards the socket is one to the hub.

    Raises ReachError of layer "proxy".
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    try:
        connection.settimeout(deadline.left())
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        head, rest = _read_head(connection, proxy, deadline)
    except TimeoutError:
        raise ReachError(
            "proxy", f"the proxy {proxy} does not answer within {deadline.seconds:g} s: does it reach {target}?"
        ) from None
    except OSError as error:
        raise ReachError("proxy", f"the proxy {proxy} cut the connection: {error.strerror or error}") from None
    line = _STATUS_LINE.match(head)
    if line is None:
        raise ReachError("proxy", f"{proxy} does not answer like an HTTP proxy: check {proxy.origin}")
    status = int(line[1])
    if not 200 <= status < 300:
        raise ReachError("proxy", _refusal(proxy, target, status, (line[2] or b"").decode("ascii"), head))
    if rest:
        # Neither TLS nor HTTP begins with the server.
        raise ReachError(
            "proxy", f"the proxy {proxy} sends data of its own into the tunnel to {target}: it is of no use here"
        )


def _read_head(connection: Any, proxy: Proxy, deadline: Deadline) -> tuple[bytes, bytes]:
    answer = b""
    while _HEAD_END not in answer:
        if len(answer) > ANSWER_MAX:
            raise ReachError("proxy", f"the answer of {proxy} is larger than {ANSWER_MAX} bytes: check {proxy.origin}")
        connection.settimeout(deadline.left())
        data = connection.recv(4 * KIB)
        if not data:
            if answer:
                break
            raise ConnectionResetError("it closed it without an answer")
        answer += data
    head, _, rest = answer.partition(_HEAD_END)
    return head + b"\r\n", rest


def _refusal(proxy: Proxy, target: str, status: int, reason: str, head: bytes) -> str:
    said = f"{status} {reason}".strip()
    match status:
        case 407:
            offered = sorted({scheme.decode().lower() for scheme in _CHALLENGE.findall(head)})
            if offered and "basic" not in offered:
                return f"the proxy {proxy} wants {', '.join(offered)} credentials; only Basic is supported: ask for an exception"
            if proxy.authorization is None:
                return f"the proxy {proxy} wants credentials: give proxy as http://USER:PASSWORD@HOST:PORT ({said})"
            return f"the proxy {proxy} refuses the user or password in {proxy.origin} ({said})"
        case 403 | 405:
            return f"the proxy {proxy} does not allow a tunnel to {target} ({said}): ask its administrator to allow CONNECT"
        case 502 | 503 | 504:
            return f"the proxy {proxy} cannot reach {target} ({said}): is that the hub's address as the proxy sees it?"
    return f"the proxy {proxy} refuses a tunnel to {target} ({said}): check {proxy.origin}"


def _either(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


def _bypassed(host: str, port: int, entries: str) -> bool:
    return any(_names(entry, host, port) for entry in re.split(r"[\s,]+", entries.lower()) if entry)


def _names(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY means this hub."""
    if entry == "*":
        return True
    address = _address(host)
    if address is not None and (network := _network(entry)) is not None:
        return address in network
    pattern, _, wanted = entry.rpartition(":")
    if pattern and wanted.isdecimal() and (":" not in pattern or pattern.endswith("]")):
        if int(wanted) != port:
            return False
        entry = pattern
    if address is not None:
        return _address(entry.strip("[]")) == address
    name = entry.removeprefix("*").removeprefix(".").rstrip(".")
    host = host.lower().rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
