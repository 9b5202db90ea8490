"""Files on Windows: not built yet.

Opening one component at a time from a directory's handle needs ``NtCreateFile`` with ``RootDirectory``; until that exists the agent says
so instead of comparing strings.
"""

from __future__ import annotations

from typing import NoReturn

from fileflux.errors import ConfigError
from flux_agent.files.handles import Directory


def _missing() -> NoReturn:
    raise ConfigError("this version of the agent cannot move files on Windows: run it on Linux or macOS")


def absolute_components(path: str) -> tuple[str, ...] | None:  # noqa: ARG001  # the same signature on every system
    """Raises ConfigError."""
    _missing()


def join(components: tuple[str, ...]) -> str:  # noqa: ARG001  # the same signature on every system
    """Raises ConfigError."""
    _missing()


def open_root(path: str) -> Directory:  # noqa: ARG001  # the same signature on every system
    """Raises ConfigError."""
    _missing()


def own_user() -> int:
    """Raises ConfigError."""
    _missing()


def default_mode() -> int:
    """Raises ConfigError."""
    _missing()
