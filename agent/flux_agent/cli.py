"""The command ``flux-agent``."""

from __future__ import annotations

import sys

if "run" in sys.argv[1:2]:
    # Before anything imports socket or threading: only `run` serves many things at once, the other commands stay plain and quick.
    from fileflux.actors.kernel.runtime import patch

    patch()

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from fileflux.errors import ConfigError, FluxError

app = typer.Typer(
    help="FileFlux agent: moves the files of this machine for a hub.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The agent's configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")

Hub = Annotated[str | None, typer.Option(help="The hub's URL, http://HOST:PORT.")]
Token = Annotated[str | None, typer.Option(help="The agent's token; better in a file, other users see command lines.")]
TokenFile = Annotated[Path | None, typer.Option(help="A file that holds the token.")]
Name = Annotated[str | None, typer.Option(help="The name shown at the hub; the host's name otherwise.")]
Read = Annotated[
    list[str] | None, typer.Option(help="A directory that jobs may read. May be repeated; none by default.")
]
Write = Annotated[
    list[str] | None, typer.Option(help="A directory that jobs may write. May be repeated; none by default.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A YAML or TOML file; flags and environment go before it.")
]
Workers = Annotated[int | None, typer.Option(help="Worker processes for chunks; one for each core otherwise.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Allow plain http to other machines.")]
Transport = Annotated[str | None, typer.Option(help="auto or websocket.")]


@app.command()
def run(
    hub: Hub = None,
    token: Token = None,
    token_file: TokenFile = None,
    name: Name = None,
    read: Read = None,
    write: Write = None,
    config: ConfigFile = None,
    workers: Workers = None,
    insecure: Insecure = False,
    transport: Transport = None,
) -> None:
    """Connect to the hub and serve its jobs until stopped."""
    from flux_agent import config as agent_config

    loaded = agent_config.load(
        _flags(hub, token, token_file, name, read, write, workers, transport, insecure=insecure), os.environ, config
    )
    own = tuple(path for path in (config, token_file) if path is not None)
    checked = agent_config.check(loaded, own_files=own)

    from fileflux.log import configure
    from flux_agent import runtime

    configure()
    runtime.run(checked)


@app.command()
def version() -> None:
    """Print the version."""
    from flux_agent.version import agent_version

    typer.echo(agent_version())


@config_app.command("show")
def config_show(
    config: ConfigFile = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
) -> None:
    """Print the configuration that `run` would use, as JSON. Secrets are not shown."""
    from flux_agent import config as agent_config

    loaded = agent_config.load({}, os.environ, config)
    shown: dict[str, object] = {}
    for setting in agent_config.SETTINGS:
        value = loaded.values[setting.name]
        visible = "(set)" if setting.secret and value else value
        shown[setting.name] = {"value": visible, "origin": loaded.origins[setting.name]} if origin else visible
    typer.echo(json.dumps(shown, indent=2))


def _flags(
    hub: str | None,
    token: str | None,
    token_file: Path | None,
    name: str | None,
    read: list[str] | None,
    write: list[str] | None,
    workers: int | None,
    transport: str | None,
    *,
    insecure: bool,
) -> dict[str, object]:
    return {
        "hub": hub,
        "token": token,
        "token_file": str(token_file) if token_file else None,
        "name": name,
        "read": read,
        "write": write,
        "workers": workers,
        "transport_mode": transport,
        "insecure": insecure or None,
    }


def main() -> None:
    """Entry point: one line on stderr and the documented exit code for every error."""
    try:
        app()
    except ConfigError as error:
        sys.stderr.write(f"flux-agent: {error}\n")
        sys.exit(2)
    except FluxError as error:
        sys.stderr.write(f"flux-agent: {error}\n")
        sys.exit(5 if error.retryable else 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
