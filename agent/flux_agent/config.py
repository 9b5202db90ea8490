"""The agent's own configuration. What may be read and written is decided here and nowhere else; the default is nothing."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import platformdirs

from fileflux import config
from fileflux.config import Setting
from fileflux.errors import ConfigError
from fileflux.log import check_logging
from fileflux.protocol.limits import BANDWIDTH_MAX, BANDWIDTH_MIN, DEFAULT_LIMITS, Limits
from flux_agent.installed import private_folders, program_folders

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
    # A proxy's URL may hold a password.
    Setting("proxy", secret=True),
    Setting("ca_file"),
    Setting("ca_pin"),
    Setting("bandwidth_limit", "integer"),
    Setting("workers", "integer", 0),
    Setting("insecure", "boolean", default=False),
    Setting("log_format", default="console"),
    Setting("log_level", default="info"),
    Setting("limits", "table", {}),
)
TransportMode = Literal["auto", "websocket", "polling"]
PROXY_VARIABLES: Final = tuple(
    spelling for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for spelling in (name, name.upper())
)
_PIN: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Checked values. What is the agent's own no job may touch, even below a root: ``protected`` is neither read nor written (configuration and
    secrets), ``program`` is not written.

    ``pin``: SHA-256 of the hub's CA certificate in hex. ``proxy``: as it was written, ``none`` for the direct way; None leaves the choice to
    ``proxy_environment``, what the environment says of proxies.
    """

    hub: str
    token: str = field(repr=False)
    name: str
    read: tuple[str, ...]
    write: tuple[str, ...]
    protected: tuple[str, ...]
    program: tuple[str, ...]
    transport_mode: TransportMode
    workers: int
    limits: Limits
    bandwidth_limit: int | None = None
    insecure: bool = False
    pin: str | None = None
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    proxy_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    log_format: str = "console"
    log_level: str = "info"

    @property
    def exposed(self) -> bool:
        """Everybody on the way to the hub can read what goes there: plain http to another machine."""
        return self.hub.startswith("http:") and not is_loopback(urlsplit(self.hub).hostname or "")


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


def check(
    loaded: config.Loaded,
    *,
    environment: Mapping[str, str] | None = None,
    roots_exist: bool = True,
) -> AgentConfig:
    """Turn raw values into a configuration to run with. Raises ConfigError with what to change.

    Of ``environment`` only what it says of proxies is used. ``roots_exist`` False leaves it to the caller to look at the roots.
    """
    values = loaded.values
    if not values["hub"]:
        raise ConfigError("no hub is named: give --hub URL or FLUX_AGENT_HUB")
    if not values["token"]:
        raise ConfigError(
            "no token: give --token-file FILE or FLUX_AGENT_TOKEN; the hub shows one with `fileflux tokens create`"
        )
    check_logging(values)
    overrides = dict(values["limits"])
    for name in ("heartbeat_interval", "websocket_probe_interval"):
        if values[name] is not None:
            overrides[name] = values[name]
    hub = check_hub(values["hub"], insecure=values["insecure"])
    token, pin = _check_token(values["token"])
    protected = _absolute(usual_file().parent, *private_folders(), *loaded.files)
    ca_file = None if values["ca_file"] is None else Path(values["ca_file"])
    program = _absolute(*program_folders(), *(() if ca_file is None else (ca_file,)))
    return AgentConfig(
        hub=hub,
        token=token,
        pin=_check_pin(pin, values["ca_pin"], hub),
        ca_file=ca_file,
        proxy=values["proxy"],
        proxy_environment={name: value for name, value in (environment or {}).items() if name in PROXY_VARIABLES},
        insecure=values["insecure"],
        name=_check_name(values["name"] or socket.gethostname()),
        read=tuple(_check_root("--read", path, protected, exists=roots_exist) for path in values["read"]),
        write=tuple(
            _check_root("--write", path, (*protected, *program), exists=roots_exist) for path in values["write"]
        ),
        protected=protected,
        program=program,
        transport_mode=_check_mode(values["transport_mode"]),
        workers=_check_workers(values["workers"]),
        bandwidth_limit=_check_bandwidth(values["bandwidth_limit"]),
        limits=DEFAULT_LIMITS.with_overrides(overrides),
        log_format=values["log_format"],
        log_level=values["log_level"],
    )


def check_hub(url: str, *, insecure: bool) -> str:
    """The hub's base URL, ``http(s)://host:port``. Plain HTTP only to this machine, unless ``insecure``."""
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
    scheme = "https" if parts.scheme in ("https", "wss") else "http"
    host = _check_host(parts.hostname)
    if scheme == "http" and not insecure and not is_loopback(host):
        raise ConfigError(
            f"plain http to {host} would show the token to the network: use https://, or add --insecure to allow it"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port or (443 if scheme == 'https' else 80)}"


def _check_host(host: str) -> str:
    """As it goes over the network: names with other letters become their ASCII form."""
    if ":" in host:
        return host
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[a-z0-9_.-]{1,253}", name, re.IGNORECASE):
        raise ConfigError(f"hub URL: {host!r} is no host name")
    return name


def is_loopback(host: str) -> bool:
    """Whether what goes there stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_token(token: str) -> tuple[str, str | None]:
    """The token that is sent, and the pin behind its dot."""
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token or len(token) > 512:
        raise ConfigError("the token has characters that no token has: copy it again from `fileflux tokens create`")
    secret, dot, pin = token.partition(".")
    if dot and not _PIN.fullmatch(pin.lower()):
        raise ConfigError("the token is cut or changed behind its dot: copy it again from `fileflux tokens create`")
    return secret, pin.lower() if dot else None


def _check_pin(from_token: str | None, given: str | None, hub: str) -> str | None:
    """The one pin that holds, in lower-case hex."""
    pin = from_token
    if given is not None:
        pin = given.strip().lower().removeprefix("sha256:").replace(":", "")
        if not _PIN.fullmatch(pin):
            raise ConfigError(
                "ca_pin must be sha256:<64 hexadecimal digits>, the hash of the hub's CA certificate (DER)"
            )
        if from_token not in (None, pin):
            raise ConfigError("ca_pin and the token name different CAs: leave ca_pin out")
    if pin is not None and hub.startswith("http:"):
        raise ConfigError(
            f"the token names the hub's CA, so the hub speaks TLS: write https:{hub.removeprefix('http:')}"
        )
    return pin


def _check_name(name: str) -> str:
    if not name.isprintable() or len(name) > 255:
        raise ConfigError("name must be printable text of at most 255 characters")
    return name


def _absolute(*paths: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(path.absolute()) for path in paths))


def _check_root(flag: str, path: str, own: tuple[str, ...], *, exists: bool) -> str:
    if exists and not Path(path).is_dir():
        raise ConfigError(f"{flag} {path}: this is not a directory; make it first or correct the path")
    real = Path(path).resolve()
    for owned in own:
        if real.is_relative_to(Path(owned).resolve()):
            raise ConfigError(
                f"{flag} {path}: {owned} is the agent's own, where no job may go; choose another directory"
            )
    return str(Path(path).absolute())


def _check_mode(mode: str) -> TransportMode:
    match mode:
        case "auto" | "websocket" | "polling":
            return mode
    raise ConfigError(f"transport_mode must be auto, websocket or polling, not {mode!r}")


def _check_bandwidth(limit: int | None) -> int | None:
    if limit is not None and not BANDWIDTH_MIN <= limit <= BANDWIDTH_MAX:
        raise ConfigError(f"bandwidth_limit is in bytes per second, at least {BANDWIDTH_MIN}, not {limit}")
    return limit


def _check_workers(count: int) -> int:
    if not 0 <= count <= 64:
        raise ConfigError(f"workers must be between 1 and 64 (0: one for each core), not {count}")
    return count or min(64, os.cpu_count() or 1)
