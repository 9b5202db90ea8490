"""``fileflux completion``."""

from __future__ import annotations

from typing import Annotated

import typer

from fileflux.cli.command import Plain, verb
from fileflux.cli.completion import Shell, script


def add_to(app: typer.Typer) -> None:
    """Make this a command of ``app``."""
    verb(
        app,
        "completion",
        'eval "$(fileflux completion bash)"',
        'eval "$(fileflux completion zsh)"',
        "fileflux completion fish > ~/.config/fish/completions/fileflux.fish",
    )(completion)


def completion(_call: Plain, shell: Annotated[Shell, typer.Argument()]) -> None:
    """Print the script that makes a shell complete commands, options, and the names of agents and jobs."""
    print(script(shell), end="")
