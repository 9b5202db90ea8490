"""Writes docs/cli.md from the commands themselves. ``--check`` only says whether it is current."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from fileflux.cli.main import tree

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
SHARED_NAMES = ("output", "as_json", "fields")
SHARED = """Commands that print records take these too: `-o table|json|yaml`, `--json` for short, and `--fields A,B` for these fields only, in this order.
Data goes to stdout, progress and errors to stderr; a table is cut to the width of a terminal, and never in a pipe."""
HEAD = """# The command `fileflux`

Every command with its options, as `fileflux COMMAND --help` shows them. Written by `scripts/cli_reference.py`: change the commands, not this page.
Exit codes and configuration are in the [reference](reference.md), first steps in [how to use the command line](how-to/command-line.md).
"""


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text() == text:
            return 0
        print(f"{PAGE.name} is not current: run .venv/bin/python scripts/cli_reference.py")
        return 1
    PAGE.write_text(text)
    return 0


def page() -> str:
    """The whole page."""
    root = tree()
    groups = _groups(root)
    parts = [HEAD, "## Before every command", _options(root), SHARED, "## Commands without a noun"]
    for name, command in root.commands.items():
        if name not in groups:
            parts += _command(f"fileflux {name}", command)
    for name, group in groups.items():
        parts += [f"## `fileflux {name}`", str(group.help)]
        for verb, command in group.commands.items():
            parts += _command(f"fileflux {name} {verb}", command)
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def every_command() -> Iterator[tuple[str, Any]]:
    """Each command as it is called behind ``fileflux``, and Typer's object: ``("runs list", …)``."""
    groups = _groups(tree())
    yield from ((name, command) for name, command in tree().commands.items() if name not in groups)
    for name, group in groups.items():
        yield from ((f"{name} {verb}", command) for verb, command in group.commands.items())


def _groups(root: Any) -> dict[str, Any]:
    return {name: command for name, command in root.commands.items() if hasattr(command, "commands")}


def _command(path: str, command: Any) -> Iterator[str]:
    yield f"### `{' '.join([path, *_arguments(command)])}`"
    yield inspect.cleandoc(command.help or "")
    yield "```sh\n" + "\n".join(command.examples) + "\n```"
    yield _options(command)
    if any(parameter.name == "as_json" for parameter in command.params):
        yield "Prints records."


def _arguments(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name.upper()
            yield name if parameter.required else f"[{name}]"


def _options(command: Any) -> str:
    prints = any(parameter.name == "as_json" for parameter in command.params)
    rows = [
        f"| `{parameter.metavar or parameter.name.upper()}` | {_cell(parameter.help)} |"
        for parameter in command.params
        if parameter.param_type_name == "argument" and parameter.help
    ]
    rows += [
        _option(parameter)
        for parameter in command.params
        if parameter.param_type_name == "option"
        and not parameter.hidden
        and not (prints and parameter.name in SHARED_NAMES)
    ]
    return "\n".join(["| option | what it says |", "|---|---|", *rows]) if rows else ""


def _option(parameter: Any) -> str:
    names = ", ".join(parameter.opts)
    if parameter.secondary_opts:
        names += f" / {', '.join(parameter.secondary_opts)}"
    value = "" if parameter.is_flag or parameter.count else f" {_metavar(parameter)}"
    text = _cell(parameter.help or "")
    default = parameter.default
    if default not in (None, False, 0, "") and not callable(default):
        text += f" {getattr(default, 'value', default)} if not given."
    if parameter.envvar:
        text += f" `{parameter.envvar}`"
    return f"| `{names}{value}` | {text.strip()} |"


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "/".join(str(choice.value) for choice in kind)
    return str(parameter.name).upper()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
