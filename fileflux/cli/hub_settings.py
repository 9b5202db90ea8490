"""What the hub is told: flag > environment (``FILEFLUX_…``, ``…_FILE`` for secrets) > ``fileflux.toml`` > default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fileflux.config import Setting, load
from fileflux.errors import ConfigError
from fileflux.log import check_logging
from fileflux.protocol.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from fileflux.serve import ServeSettings

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8040
MAX_WORKERS: Final = 256
SETTINGS: Final = (
    Setting("host", default=DEFAULT_HOST),
    Setting("port", "integer", default=DEFAULT_PORT),
    Setting("data_dir"),
    Setting("database_url", secret=True),
    Setting("workers", "integer"),
    Setting("admin_email"),
    Setting("admin_password", secret=True),
    Setting("tls", default="off"),
    Setting("tls_cert"),
    Setting("tls_key"),
    Setting("tls_name", "list", default=()),
    Setting("trusted_proxy", "list", default=()),
    Setting("log_format", default="console"),
    Setting("log_level", default="info"),
    Setting("limits", "table", default={}),
)


def hub_settings(
    flags: Mapping[str, Any], file: Path | None = None, environment: Mapping[str, str] | None = None
) -> ServeSettings:
    """Flags that are None were not given. Raises ConfigError."""
    from fileflux.serve import ServeSettings
    from fileflux.web.forwarded import network
    from fileflux.web.own_ca import check_name

    given = os.environ if environment is None else environment
    values = load(SETTINGS, prefix="FILEFLUX", flags=flags, environment=given, file=file, separator=",").values
    workers = values["workers"] if values["workers"] is not None else os.cpu_count() or 2
    if not 0 <= values["port"] <= 65_535:
        raise ConfigError(f"port must be 0 to 65535, not {values['port']}")
    if not 1 <= workers <= MAX_WORKERS:
        raise ConfigError(f"workers must be 1 to {MAX_WORKERS}, not {workers}")
    check_logging(values)
    files, auto = _tls(values)
    return ServeSettings(
        data_dir=_data_dir(values["data_dir"]),
        host=values["host"],
        port=values["port"],
        database_url=values["database_url"],
        workers=workers,
        limits=DEFAULT_LIMITS.with_overrides(values["limits"]),
        admin_email=values["admin_email"],
        admin_password=values["admin_password"],
        tls_files=files,
        tls_auto=auto,
        tls_names=tuple(check_name(name) for name in values["tls_name"]),
        trusted_proxies=tuple(network(text) for text in values["trusted_proxy"]),
        log_format=values["log_format"],
        log_level=values["log_level"],
    )


def _tls(values: Mapping[str, Any]) -> tuple[tuple[Path, Path] | None, bool]:
    """Certificate and key, and whether the hub makes both itself. The files are looked at later."""
    cert, key, mode = values["tls_cert"], values["tls_key"], values["tls"]
    if mode not in ("auto", "off"):
        raise ConfigError(
            f"tls must be auto or off, not {mode!r}; for a certificate of your own give tls_cert and tls_key"
        )
    if bool(cert) != bool(key):
        raise ConfigError(f"{'tls_key' if cert else 'tls_cert'} is missing: give --tls-cert and --tls-key together")
    if mode == "auto" and cert:
        raise ConfigError("give --tls auto, or --tls-cert and --tls-key, not both")
    if values["tls_name"] and mode != "auto":
        raise ConfigError("tls_name is for --tls auto: a certificate of your own has its names in it")
    return (Path(cert).absolute(), Path(key).absolute()) if cert else None, mode == "auto"


def _data_dir(chosen: str | None) -> Path:
    if chosen is not None:
        return Path(chosen).absolute()
    from platformdirs import user_data_path

    return user_data_path("fileflux")
