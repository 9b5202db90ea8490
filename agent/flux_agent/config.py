"""The agent's own configuration. What may be read and written is decided here and nowhere else; the default is nothing."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import platformdirs

from fileflux import config
from fileflux.config import Setting
from fileflux.errors import ConfigError
from fileflux.protocol.limits import DEFAULT_LIMITS, Limits

PREFIX: Final = "FLUX_AGENT"
SETTINGS: Final = (
    Setting("hub"),
    Setting("token", secret=True),
    Setting("name"),
    Setting("read", "list", ()),
    Setting("write", "list", ()),
    Setting("transport_mode", default="auto"),
    Setting("websocket_probe_interval", "number"),
    Setting("heartbeat_interval", "number"),
    Setting("proxy"),
    Setting("ca_file"),
    Setting("bandwidth_limit", "integer"),
    Setting("workers", "integer", 0),
    Setting("insecure", "boolean", default=False),
    Setting("limits", "table", {}),
)
NOT_YET: Final = ("proxy", "ca_file", "bandwidth_limit")
TransportMode = Literal["auto", "websocket"]


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Checked values. ``protected``: paths that no job may touch even below a root (the agent's own files)."""

    hub: str
    token: str
    name: str
    read: tuple[str, ...]
    write: tuple[str, ...]
    protected: tuple[str, ...]
    transport_mode: TransportMode
    workers: int
    limits: Limits


def load(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None) -> config.Loaded:
    """Raw values with their origins. Without ``file`` the platform's ``flux-agent.yaml`` is read if it is there."""
    if file is None and environment.get(f"{PREFIX}_CONFIG"):
        file = Path(environment[f"{PREFIX}_CONFIG"])
    if file is None:
        usual = usual_file()
        file = usual if usual.is_file() else None
    return config.load(SETTINGS, prefix=PREFIX, flags=flags, environment=environment, file=file, separator=os.pathsep)


def usual_file() -> Path:
    """Where the configuration is looked for when none is named."""
    return Path(platformdirs.user_config_dir("fileflux")) / "flux-agent.yaml"


def check(loaded: config.Loaded, *, own_files: tuple[Path, ...] = ()) -> AgentConfig:
    """Turn raw values into a configuration to run with. Raises ConfigError with what to change."""
    values = loaded.values
    for name in NOT_YET:
        if values[name] is not None:
            raise ConfigError(f"{name} is not supported by this version: leave it out")
    if not values["hub"]:
        raise ConfigError("no hub is named: give --hub URL or FLUX_AGENT_HUB")
    if not values["token"]:
        raise ConfigError(
            "no token: give --token-file FILE or FLUX_AGENT_TOKEN; the hub shows one with `fileflux tokens create`"
        )
    overrides = dict(values["limits"])
    for name in ("heartbeat_interval", "websocket_probe_interval"):
        if values[name] is not None:
            overrides[name] = values[name]
    return AgentConfig(
        hub=check_hub(values["hub"], insecure=values["insecure"]),
        token=_check_token(values["token"]),
        name=_check_name(values["name"] or socket.gethostname()),
        read=tuple(_check_root(path, write=False) for path in values["read"]),
        write=tuple(_check_root(path, write=True) for path in values["write"]),
        protected=tuple(str(path.absolute()) for path in (usual_file().parent, *own_files)),
        transport_mode=_check_mode(values["transport_mode"]),
        workers=_check_workers(values["workers"]),
        limits=DEFAULT_LIMITS.with_overrides(overrides),
    )


def check_hub(url: str, *, insecure: bool) -> str:
    """The hub's base URL without a trailing slash. Plain HTTP only to this machine, unless ``insecure``."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"hub URL {url!r}: {error}") from None
    if parts.scheme not in ("http", "https", "ws", "wss"):
        raise ConfigError(f"hub URL {url!r} must begin with http:// or https://")
    if not parts.hostname or port == 0:
        raise ConfigError(f"hub URL {url!r} names no host and port")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("a hub URL holds no user or password: give the token with --token-file")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"hub URL {url!r} must end behind the port")
    if parts.scheme in ("https", "wss"):
        raise ConfigError(
            "https is not supported by this version: put the hub on this machine or use --insecure with http"
        )
    if not insecure and not _is_loopback(parts.hostname):
        raise ConfigError(
            f"plain http to {parts.hostname} would show the token to the network: add --insecure to allow it"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:{port or 80}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_token(token: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token or len(token) > 512:
        raise ConfigError("the token has characters that no token has: copy it again from `fileflux tokens create`")
    return token


def _check_name(name: str) -> str:
    if not name.isprintable() or len(name) > 255:
        raise ConfigError("name must be printable text of at most 255 characters")
    return name


def _check_root(path: str, *, write: bool) -> str:
    flag = "--write" if write else "--read"
    if not Path(path).is_dir():
        raise ConfigError(f"{flag} {path}: this is not a directory; make it first or correct the path")
    return str(Path(path).absolute())


def _check_mode(mode: str) -> TransportMode:
    match mode:
        case "auto" | "websocket":
            return mode
    raise ConfigError(f"transport_mode must be auto or websocket, not {mode!r}")


def _check_workers(count: int) -> int:
    if not 0 <= count <= 64:
        raise ConfigError(f"workers must be between 1 and 64 (0: one for each core), not {count}")
    return count or min(64, os.cpu_count() or 1)
