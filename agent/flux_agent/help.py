"""Commands whose help begins with examples, for both command lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose help begins with its examples."""

    examples: tuple[str, ...] = ()

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_examples(self.examples, formatter)
        super().format_options(ctx, formatter)


def command_class(*examples: str) -> type[TyperCommand]:
    """A kind of command with these whole command lines as its examples."""
    return type("WithExamples", (Command,), {"examples": examples})


def write_examples(examples: Sequence[str], formatter: Any) -> None:
    """A section of help; nothing without examples."""
    if not examples:
        return
    with formatter.section("Examples"):
        for line in examples:
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
