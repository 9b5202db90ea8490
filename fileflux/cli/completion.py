"""``fileflux completion``: what makes a shell complete commands, options, and the names of agents and jobs.

The scripts call ``fileflux`` itself, which answers one candidate a line and nothing that a shell would evaluate: a name with other
characters than those of ``_PLAIN`` is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from fileflux.cli.client import HubClient

LOOK_UP_S: Final = 1.0
"""Whoever pressed Tab waits no longer for a hub that does not answer."""
_NAMES: Final = 200
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")

_ASK: Final = '_TYPER_COMPLETE_ARGS="%s" _TYPER_COMPLETE_FISH_ACTION=get-args _FILEFLUX_COMPLETE=complete_fish fileflux 2>/dev/null'
_BASH: Final = (
    r"""# eval "$(fileflux completion bash)", or in ~/.local/share/bash-completion/completions/fileflux
_fileflux_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" value help last fixed=""
    last="${line##*[[:space:]]}"
    # Where bash cuts words at a colon, what is before it stays as it is.
    [[ "$COMP_WORDBREAKS" == *:* ]] && fixed="${last%"${last##*:}"}"
    COMPREPLY=()
    while IFS=$'\t' read -r value help; do
        [[ -n "$value" ]] && COMPREPLY+=("${value#"$fixed"}")
    done < <("""
    + _ASK % "$line"
    + r""")
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *: ]] && compopt -o nospace
    return 0
}
complete -o default -F _fileflux_complete fileflux
"""
)
_ZSH: Final = (
    r"""#compdef fileflux
# eval "$(fileflux completion zsh)" behind compinit, or as the file _fileflux in a folder of $fpath
_fileflux() {
    local value help
    local -a values lines places
    while IFS=$'\t' read -r value help; do
        [[ -n "$value" ]] || continue
        if [[ "$value" == *: ]]; then places+=("$value"); else values+=("$value"); lines+=("$value  $help"); fi
    done < <("""
    + _ASK % "${words[1,$CURRENT]}"
    + r""")
    (( $#places )) && compadd -S '' -a places
    (( $#values )) && compadd -l -d lines -a values
    (( $#values + $#places )) || _files
}
if [[ "${funcstack[1]}" == _fileflux ]]; then _fileflux "$@"; else compdef _fileflux fileflux; fi
"""
)
_FISH: Final = (
    r"""# fileflux completion fish | source, or as ~/.config/fish/completions/fileflux.fish
function __fileflux_complete
    set --local line (commandline --current-process --cut-at-cursor | string collect)
    env """
    + _ASK % "$line"
    + r""" | string match --regex '.+'
end
complete --command fileflux --arguments '(__fileflux_complete)'
"""
)


class Shell(StrEnum):
    """The shells that a script is written for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS: Final = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}


def script(shell: Shell) -> str:
    """What the shell must read."""
    return _SCRIPTS[shell]


def complete_agent(context: typer.Context, incomplete: str) -> list[str]:
    """Names of agents that begin so."""
    return list(_names(context, "agents", incomplete))


def complete_job(context: typer.Context, incomplete: str) -> list[str]:
    """Names of jobs that begin so."""
    return list(_names(context, "jobs", incomplete))


def complete_place(context: typer.Context, incomplete: str) -> list[str]:
    """``AGENT:`` for each agent that begins so; a path is left to the shell."""
    if ":" in incomplete or "/" in incomplete:
        return []
    return [f"{name}:" for name in _names(context, "agents", incomplete)]


def _names(context: typer.Context, noun: str, incomplete: str) -> Iterator[str]:
    """Nothing when anything is wrong: a completion has no place for an error."""
    from fileflux.errors import FluxError

    try:
        with _client(context) as client:
            for item in client.pages(f"/api/{noun}", _NAMES):
                name = str(item.get("name", ""))
                if name.startswith(incomplete) and _PLAIN.fullmatch(name):
                    yield name
    except (FluxError, OSError):
        return


def _client(context: typer.Context) -> HubClient:
    from fileflux.cli.connect import connect
    from fileflux.cli.options import Settings

    given = context.find_root().params
    token = given.get("token")
    file = given.get("token_file")
    if file is not None and token is None:
        # click has closed what it opened for the options: a completion comes after them.
        with Path(file.name).open(encoding="utf-8", errors="replace") as anew:
            token = anew.read(4096).strip()
    client = connect(Settings(given.get("url"), token, bool(given.get("insecure")), ca_file=given.get("ca_file")))
    client.hurry(LOOK_UP_S)
    return client
