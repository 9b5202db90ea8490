"""Workers on Windows: not there yet, and this module says so instead of failing half-way.

What is missing: descriptors cannot be inherited by number (a duplicated socket or a named pipe has to carry the channel), the arena needs a
named mapping, and a job object has to end the children with their parent.
"""

from __future__ import annotations

import subprocess

from fileflux.errors import ConfigError
from fileflux.workers.link import WorkerLink

_MISSING = "worker processes are not available on Windows yet; run this on Linux or macOS"


def start_child(arena: tuple[int, int] | None) -> tuple[subprocess.Popen[bytes], WorkerLink]:  # noqa: ARG001  # the same shape as in posix.py
    """Raises ConfigError."""
    raise ConfigError(_MISSING)


def attach(descriptor: int) -> WorkerLink:  # noqa: ARG001  # the same shape as in posix.py
    """Raises ConfigError."""
    raise ConfigError(_MISSING)


def live_only_with(parent: int) -> None:  # noqa: ARG001  # the same shape as in posix.py
    """Raises ConfigError."""
    raise ConfigError(_MISSING)


def give_way() -> None:
    """Raises ConfigError."""
    raise ConfigError(_MISSING)
