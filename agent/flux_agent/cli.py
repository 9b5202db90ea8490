"""The command ``flux-agent``."""

from __future__ import annotations

import sys

if sys.argv[1:2] in (["run"], ["doctor"]):
    # Before anything imports socket or threading: `run` serves many things at once, and `doctor` goes its ways; the others stay plain and quick.
    from fileflux.actors.kernel.runtime import patch

    patch()

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fileflux.errors import AuthError, ConfigError, FluxError
from flux_agent.help import command_class

if TYPE_CHECKING:
    from fileflux.config import Loaded

app = typer.Typer(
    help="FileFlux agent: moves the files of this machine for a hub.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The agent's configuration.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")

Hub = Annotated[str | None, typer.Option(help="The hub's URL, https://HOST:PORT.")]
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
Transport = Annotated[str | None, typer.Option(help="auto, websocket or polling.")]
Proxy = Annotated[
    str | None,
    typer.Option(
        help="http://HOST:PORT, or none. HTTPS_PROXY and NO_PROXY otherwise; with a password better in a file."
    ),
]
CaFile = Annotated[Path | None, typer.Option(help="The CA (PEM) of the hub's certificate; the system's CAs otherwise.")]


@app.command(
    cls=command_class(
        "flux-agent run --hub https://hub.example:8040 --token-file token --read /srv/data --write /srv/incoming",
        "flux-agent run --config /etc/flux-agent.yaml",
    )
)
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
    proxy: Proxy = None,
    ca_file: CaFile = None,
    until_stdin_ends: Annotated[
        bool, typer.Option("--until-stdin-ends", hidden=True, help="Stop with whoever holds standard input.")
    ] = False,
) -> None:
    """Connect to the hub and serve its jobs until stopped."""
    from flux_agent import config as agent_config

    flags = _flags(hub, token, token_file, name, read, write, workers, transport, proxy, ca_file, insecure=insecure)
    checked = agent_config.check(_loaded(flags, config), environment=os.environ)

    import structlog

    from fileflux.log import configure
    from flux_agent import runtime

    configure(style=checked.log_format, level=checked.log_level)
    if checked.exposed:
        structlog.get_logger("flux_agent").warning(
            "insecure_hub",
            hub=checked.hub,
            help="--insecure: everybody on the way can read the token and the files, and change them; let the hub speak TLS",
        )
    runtime.run(checked, until_stdin_ends=until_stdin_ends)


@app.command(
    cls=command_class(
        "flux-agent doctor --hub https://hub.example:8040 --token-file token --read /srv/data",
        "flux-agent doctor --config /etc/flux-agent.yaml -o json",
    )
)
def doctor(
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
    proxy: Proxy = None,
    ca_file: CaFile = None,
    output: Annotated[str, typer.Option("-o", "--output", help="table or json.")] = "table",
) -> None:
    """Go the way to the hub step by step; say what fails and what to do. Takes the options of `run`; disturbs no running agent.

    Ends with 0 when an agent would work, 2 for the configuration, 4 for the token, 5 for what may pass by itself.
    """
    from fileflux.log import configure
    from flux_agent import doctor as examination

    # What is wrong is in the report; what the parts of an agent log meanwhile would only say it twice.
    configure(level="critical")
    if output not in ("table", "json"):
        raise ConfigError(f"--output must be table or json, not {output!r}")
    flags = _flags(hub, token, token_file, name, read, write, workers, transport, proxy, ca_file, insecure=insecure)
    report = examination.examine(lambda: _loaded(flags, config), os.environ)
    typer.echo(examination.as_json(report) if output == "json" else examination.as_text(report))
    raise typer.Exit(report.exit_code)


@app.command(cls=command_class("flux-agent version"))
def version() -> None:
    """Print the version."""
    from flux_agent.version import agent_version

    typer.echo(agent_version())


@config_app.command(
    "show",
    cls=command_class("flux-agent config show", "flux-agent config show --config /etc/flux-agent.yaml --origin"),
)
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


def _loaded(flags: dict[str, Any], file: Path | None) -> Loaded:
    from flux_agent import config as agent_config

    return agent_config.load(flags, os.environ, file)


def _flags(
    hub: str | None,
    token: str | None,
    token_file: Path | None,
    name: str | None,
    read: list[str] | None,
    write: list[str] | None,
    workers: int | None,
    transport: str | None,
    proxy: str | None,
    ca_file: Path | None,
    *,
    insecure: bool,
) -> dict[str, Any]:
    return {
        "hub": hub,
        "token": token,
        "token_file": str(token_file) if token_file else None,
        "name": name,
        "read": read,
        "write": write,
        "workers": workers,
        "transport_mode": transport,
        "proxy": proxy,
        "ca_file": str(ca_file) if ca_file else None,
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
        sys.exit(4 if isinstance(error, AuthError) else 5 if error.retryable else 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
