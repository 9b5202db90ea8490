"""The version of this agent."""

from __future__ import annotations

from importlib import metadata


def agent_version() -> str:
    """Of the installed distribution; ``0`` from a bare checkout."""
    try:
        return metadata.version("fileflux")
    except metadata.PackageNotFoundError:
        return "0"
