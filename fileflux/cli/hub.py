"""``fileflux serve``, ``demo``, ``migrate`` and ``version``: the commands that need no hub."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fileflux.serve import ServeSettings

DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Where the hub keeps its data.")]
DatabaseOption = Annotated[str | None, typer.Option("--database-url", help="A PostgreSQL instead of the embedded one.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A TOML or YAML file; flags and environment go before it.")
]

DATABASE_WAIT_S = 30.0
"""A PostgreSQL that starts at the same time gets so long."""


def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; 127.0.0.1 if not set.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="8040 if not set; 0: any free one.")] = None,
    data_dir: DataDirOption = None,
    database_url: DatabaseOption = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Worker processes for chunks.")] = None,
    tls: Annotated[
        str | None, typer.Option("--tls", help="auto: TLS by a CA of the hub's own; agents pin it by their token.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="The certificate and its chain (PEM).")] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="The certificate's key (PEM, not encrypted).")
    ] = None,
    tls_name: Annotated[
        list[str] | None, typer.Option("--tls-name", help="With --tls auto: one more name or address of this hub.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option("--trusted-proxy", metavar="CIDR", help="Believe X-Forwarded-For and -Proto from there."),
    ] = None,
    log_format: Annotated[str | None, typer.Option("--log-format", help="console or json.")] = None,
    config: ConfigOption = None,
) -> None:
    """Run the hub until it is told to stop. Every option can also be set in the environment (FILEFLUX_…) or in the file."""
    from fileflux.cli.hub_settings import hub_settings
    from fileflux.serve import serve as run_hub

    flags = {
        "host": host,
        "port": port,
        "data_dir": None if data_dir is None else str(data_dir),
        "database_url": database_url,
        "workers": workers,
        "tls": tls,
        "tls_cert": None if tls_cert is None else str(tls_cert),
        "tls_key": None if tls_key is None else str(tls_key),
        "tls_name": tls_name,
        "trusted_proxy": trusted_proxy,
        "log_format": log_format,
    }
    run_hub(hub_settings(flags, config))


class Transport(StrEnum):
    """As ``flux-agent run --transport`` takes them."""

    AUTO = "auto"
    WEBSOCKET = "websocket"
    POLLING = "polling"


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the verified result.")] = False,
    data_dir: DataDirOption = None,
    transport: Annotated[
        Transport, typer.Option("--transport", help="How the agents reach the hub; auto: WebSocket where it works.")
    ] = Transport.AUTO,
    showcase: Annotated[
        bool,
        typer.Option(
            "--showcase", help="A small company instead: six agents and many jobs, to look at in the browser."
        ),
    ] = False,
) -> None:
    """A hub, two agents and a job that moves a real directory, all on this machine."""
    from fileflux.demo import main as run_demo

    if once and showcase:
        raise typer.BadParameter("--showcase does not end by itself: leave out --once")
    raise typer.Exit(run_demo(once=once, data_dir=data_dir, transport=transport.value, showcase=showcase))


def migrate(data_dir: DataDirOption = None, database_url: DatabaseOption = None, config: ConfigOption = None) -> None:
    """Bring the database to this version's schema. `fileflux serve` does so itself."""
    from fileflux.cli.hub_settings import hub_settings

    flags = {"data_dir": None if data_dir is None else str(data_dir), "database_url": database_url}
    settings = hub_settings(flags, config)
    if settings.database_url:
        _migrate(settings.database_url, settings)
        return
    import os

    from fileflux.serve import lock_data_dir
    from fileflux.storage.embedded import EmbeddedPostgres

    lock = lock_data_dir(settings.data_dir)
    postgres = EmbeddedPostgres(settings.data_dir)
    try:
        _migrate(postgres.start(), settings)
    finally:
        postgres.stop()
        os.close(lock)


def version() -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        print(of("fileflux"))
    except PackageNotFoundError:
        print("unknown (run from a checkout that is not installed)")


def _migrate(url: str, settings: ServeSettings) -> None:
    from fileflux.storage.migrate import migrate as run_migrations
    from fileflux.storage.pool import Database

    database = Database(url, settings.limits)
    try:
        database.wait_until_ready(DATABASE_WAIT_S)
        print(f"{run_migrations(database)} migrations applied", file=sys.stderr)
    finally:
        database.close()
