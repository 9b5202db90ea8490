"""Every command shows examples, every example is one that the command would take, and docs/cli.md is what the commands say."""

from __future__ import annotations

import shlex

import pytest

from scripts import cli_reference
from tests.cli.conftest import Command

pytestmark = pytest.mark.unit


COMMANDS = dict(cli_reference.every_command())


def test_the_page_is_current() -> None:
    """If it is not: .venv/bin/python scripts/cli_reference.py writes it."""
    assert cli_reference.PAGE.read_text() == cli_reference.page()


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_come_first_and_would_be_taken(name: str, fileflux: Command) -> None:
    command = COMMANDS[name]
    assert command.examples
    assert command.help
    for example in command.examples:
        words = shlex.split(example.replace('eval "$(', "").replace(')"', ""))
        ends = [words.index(end) for end in (">", "<", "|") if end in words]
        words = words[: min(ends, default=len(words))]
        assert words[: 1 + len(name.split())] == ["fileflux", *name.split()]
        command.make_context(name, words[1 + len(name.split()) :], resilient_parsing=False)
    code, out, _ = fileflux(*name.split(), "--help")
    assert code == 0
    assert out.index("Examples:") < out.index("Options:")


def test_the_root_has_examples_too(fileflux: Command) -> None:
    out = fileflux("--help")[1]
    assert out.index("Examples:") < out.index("Options:") < out.index("Commands:")
    assert fileflux()[1] == out
