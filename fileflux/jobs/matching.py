"""The filter tester's work: many paths against the rules of a job, in a worker. Pure, and JSON in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fileflux.jobs.selection import Choice, Selection

BUDGET_S: Final = 2.0
"""For one call: patterns and names at all their limits take seconds for a single path, and the worker has other things to do."""


def choose_paths(args: dict[str, Any], now: Callable[[], float]) -> dict[str, Any]:
    """``{include, exclude, recursive, glob, paths: [[path, is directory]]}``: ``{choices: [[wanted, by, pattern, at]]}``, one for each path.

    There are fewer when the time is up; never none. Raises ConfigError for patterns that are none.
    """
    selection = Selection(args["include"], args["exclude"], recursive=args["recursive"], glob=args["glob"])
    until = now() + BUDGET_S
    choices: list[list[Any]] = []
    for path, is_dir in args["paths"]:
        choice = selection.choose(path, is_dir=is_dir)
        choices.append([choice.wanted, choice.by, choice.pattern, choice.at])
        if now() > until:
            break
    return {"choices": choices}


def choices_of(answer: dict[str, Any]) -> list[Choice]:
    """What ``choose_paths`` answered."""
    return [Choice(*values) for values in answer["choices"]]
