"""What is refused inside the roots too: names that systems run by themselves, and the agent's own folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from fileflux.errors import RefusedPathError
from flux_agent.files.faults import shown
from flux_agent.files.system import absolute_components

_PART: Final = re.compile(r"[0-9a-f]{32}")
_PART_NAME: Final = re.compile(r"\.[0-9a-f]{32}\.fluxpart")

_RUN_ANYWHERE: Final = frozenset(
    {
        ".ssh", "authorized_keys", "authorized_keys2", ".rhosts", ".shosts", ".netrc", ".pam_environment", ".forward",
        ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile",
        ".zlogin", ".zlogout", ".cshrc", ".tcshrc", ".login", ".kshrc", ".inputrc", ".xinitrc", ".xsession", ".xsessionrc", ".xprofile",
        ".vimrc", ".exrc", ".emacs", ".gdbinit", ".gitconfig",
        "cron.d", "cron.hourly", "cron.daily", "cron.weekly", "cron.monthly", "crontab", "crontabs",
        "init.d", "rc.d", "rc.local", "profile.d", "sudoers", "sudoers.d", "ld.so.preload", "ld.so.conf.d", "inittab",
        "autostart", "launchagents", "launchdaemons", "startup",
    }
)  # fmt: skip
_RUN_INSIDE: Final = frozenset(
    {
        (".config", "fish"),
        ("systemd", "system"),
        ("systemd", "user"),
        (".git", "hooks"),
        ("udev", "rules.d"),
        ("spool", "cron"),
    }
)
"""Pairs of a directory and what in it is run."""


def part_name(part: str) -> str:
    """The file name of a part. Raises RefusedPathError unless ``part`` is 32 lower-case hex digits."""
    if not _PART.fullmatch(part):
        raise RefusedPathError("a part is named by 32 hex digits")
    return f".{part}.fluxpart"


def is_part_name(name: str) -> bool:
    """Whether a file of this name is a part of some transfer."""
    return name.endswith(".fluxpart") and _PART_NAME.fullmatch(name) is not None


def refuse_auto_run(components: Sequence[str]) -> None:
    """Raises RefusedPathError for a name below a root that a system, a shell or a tool would run or trust by itself.

    A root that lies inside such a directory was listed by somebody on purpose, so only components below the root are given.
    """
    lowered = [component.casefold() for component in components]
    for position, component in enumerate(lowered):
        if component in _RUN_ANYWHERE or tuple(lowered[position : position + 2]) in _RUN_INSIDE:
            raise RefusedPathError(
                f"{shown('/'.join(components))}: {shown(components[position])} is run or trusted by systems; "
                "list that very directory as a write root if this is wanted"
            )


def auto_run_in(directory: Sequence[str]) -> frozenset[str]:
    """Names, case-folded, that ``refuse_auto_run`` refuses in a directory that it does not refuse itself."""
    parent = directory[-1].casefold() if directory else ""
    return _RUN_ANYWHERE | {name for above, name in _RUN_INSIDE if above == parent}


class Protected:
    """What belongs to the agent itself: ``private`` is neither read nor written, ``program`` is not written; by whatever name it is reached."""

    def __init__(self, private: Iterable[str], program: Iterable[str] = ()) -> None:
        self._private = _forms(private)
        self._all = self._private | _forms(program)

    def refuse_path(self, components: tuple[str, ...], *, write: bool) -> None:
        """By spelling: also for what does not exist yet. Raises RefusedPathError."""
        if any(components[: len(own)] == own for own in self._of(write=write).values()):
            raise RefusedPathError(f"{shown('/'.join(components))} belongs to the agent itself")

    def names_in(self, forms: Iterable[tuple[str, ...]], *, write: bool) -> frozenset[str]:
        """By spelling, the names that ``refuse_path`` refuses in a directory which is spelled in these ways."""
        return frozenset(
            own[-1] for form in forms for own in self._of(write=write).values() if own and own[:-1] == form
        )

    def identities(self, *, write: bool) -> set[tuple[int, int]]:
        """``Status.identity`` of those that exist now."""
        # Looked up each time: they may be made, or replaced, while the agent runs.
        found: set[tuple[int, int]] = set()
        for path in self._of(write=write):
            try:
                seen = path.stat()
            except OSError:
                continue
            found.add((seen.st_dev, seen.st_ino))
        return found

    def _of(self, *, write: bool) -> dict[Path, tuple[str, ...]]:
        return self._all if write else self._private


def _forms(paths: Iterable[str]) -> dict[Path, tuple[str, ...]]:
    """Each path as it is written and as its links lead, with its components."""
    forms = (form for path in map(Path, paths) for form in (path.absolute(), path.resolve()))
    return {form: absolute_components(str(form)) or () for form in forms}
