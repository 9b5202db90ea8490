"""Where the running program lies. Jobs never write there: who replaces the agent needs no permission of it any more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import fileflux
import flux_agent

VERSIONS: Final = "versions"
CURRENT: Final = "current"
CONFIG: Final = "config"
"""What the installer makes in its folder: the virtual environments, a link to the one in use, configuration and token."""


def installation(environment: Path) -> Path | None:
    """The installer's folder around a virtual environment, or None when it was made by other means."""
    home = environment.parent.parent
    if environment.parent.name != VERSIONS:
        return None
    # At its first run the installer writes the configuration before there is a version in use.
    return home if (home / CURRENT).is_symlink() or (home / CONFIG).is_dir() else None


def program_folders() -> tuple[Path, ...]:
    """The virtual environment, the installer's folder around it, and the folders that the agent's packages come from."""
    folders = [Path(package.__file__ or "").parent for package in (fileflux, flux_agent)]
    if sys.prefix != sys.base_prefix:
        # Without one the prefix is the whole system's, and the interpreter not the agent's.
        environment = Path(sys.prefix)
        folders.append(installation(environment) or environment)
    return tuple(folders)


def private_folders() -> tuple[Path, ...]:
    """Where the installer keeps what nobody else may read."""
    home = installation(Path(sys.prefix))
    return () if home is None else (home / CONFIG,)
