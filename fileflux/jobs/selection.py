"""Which of the paths below a source a job looks at, path by path: what a walk of the agent would do, asked about one path, with the reason.

The walk itself (``flux_agent/files/walk.py``) never sees what is below a directory that it does not enter; here every path can be asked
about, whether there is such a file or not. Both give the same answer, which a test holds them to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fileflux.jobs.filters import Decision, Glob, compile_glob, compile_rules, is_glob

PART_NAME: Final = re.compile(r"\.[0-9a-f]{32}\.fluxpart")
"""What a transfer writes to before its file has its name; never listed."""
ARCHIVE: Final = ".fileflux-archive"
"""Where files go with ``on_success: archive`` unless the job names a place; never listed."""

By = Literal["exclude", "include", "no_include", "nothing", "not_recursive", "glob", "part_file", "archive"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether a path is among what a job moves, and what decided it: as in ``filters.Decision``, and

    ``not_recursive``: it is in the directory ``at``, which a job with ``recursive: false`` does not enter; ``glob``: ``pattern``, the end of the
    source path, does not match it; ``part_file`` and ``archive``: ``at`` has a name that is never listed.
    """

    wanted: bool
    by: By
    pattern: str = ""
    at: str = ""


class Selection:
    """Raises ConfigError for patterns that are none. ``glob``: the part of the source path that is one, empty for none."""

    def __init__(
        self, include: Sequence[str], exclude: Sequence[str], *, recursive: bool = True, glob: str = ""
    ) -> None:
        self._rules = compile_rules(include, exclude)
        self._recursive = recursive
        self._glob = glob
        self._globs: tuple[Glob, ...] = compile_glob(glob) if glob else ()

    def choose(self, path: str, *, is_dir: bool = False) -> Choice:
        """About a path relative to the base of the listing."""
        parts = path.split("/")
        never = _never_listed(parts)
        if never is not None:
            return never
        decision = self._rules.decide(path, is_dir)
        if decision.by == "exclude":
            return _as_choice(decision)
        for depth in range(1, len(parts)):
            if not self._enters(parts[:depth]):
                return self._not_entered("/".join(parts[:depth]))
        if self._globs and not self._matched(parts, is_dir=is_dir):
            return Choice(False, "glob", self._glob)
        if is_dir and not self._recursive:
            return Choice(False, "not_recursive", at=path)
        return _as_choice(decision)

    def _enters(self, parts: Sequence[str]) -> bool:
        matched = not self._globs or self._matched(parts, is_dir=True)
        return (self._recursive and matched) or any(glob.may_match_below(parts) for glob in self._globs)

    def _not_entered(self, at: str) -> Choice:
        return Choice(False, "glob", self._glob, at) if self._globs else Choice(False, "not_recursive", at=at)

    def _matched(self, parts: Sequence[str], *, is_dir: bool) -> bool:
        """What is inside of a directory that the glob matches is matched with it."""
        if any(self._fits(parts[:depth], is_dir=True) for depth in range(1, len(parts))):
            return True
        return self._fits(parts, is_dir=is_dir)

    def _fits(self, parts: Sequence[str], *, is_dir: bool) -> bool:
        return any(glob.fits(parts, is_dir=is_dir) for glob in self._globs)


def glob_of(source_path: str) -> str:
    """The end of a source path from its first component with a character of a meaning on; empty when there is none.

    The agent takes a path that exists as it is, so it is a glob only if its listing says so.
    """
    separator = r"[\\/]+" if re.match(r"[A-Za-z]:[\\/]|\\\\", source_path) else "/+"
    names = [name for name in re.split(separator, source_path) if name]
    first = next((place for place, name in enumerate(names) if is_glob(name)), None)
    return "" if first is None else "/".join(names[first:])


def in_words(choice: Choice) -> str:
    """What decided, as the end of a sentence."""
    match choice.by:
        case "exclude":
            return f"the exclude pattern {choice.pattern} matches {choice.at}"
        case "include":
            return f"the include pattern {choice.pattern} matches it"
        case "no_include":
            return "none of the include patterns matches it"
        case "not_recursive":
            return f"the job does not look into directories (recursive: false), and {choice.at} is one"
        case "glob":
            where = f", nor anything below {choice.at}" if choice.at else ""
            return f"the source path's own pattern {choice.pattern} does not match it{where}"
        case "part_file":
            return f"{choice.at} has the name of a transfer's own part file"
        case "archive":
            return f"{choice.at} is where the job's files are archived"
        case "nothing":
            return "no rule leaves it out"


def _never_listed(parts: Sequence[str]) -> Choice | None:
    for depth, name in enumerate(parts, 1):
        at = "/".join(parts[:depth])
        if PART_NAME.fullmatch(name):
            return Choice(False, "part_file", at=at)
        if name == ARCHIVE and depth < len(parts):
            return Choice(False, "archive", at=at)
    return None


def _as_choice(decision: Decision) -> Choice:
    return Choice(decision.wanted, decision.by, decision.pattern, decision.at)
