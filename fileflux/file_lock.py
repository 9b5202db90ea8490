"""Exclusive locks on files, which last until every process that inherited the descriptor has closed it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fileflux.errors import ConfigError, UnavailableError

_POLL_S: Final = 0.02

if sys.platform == "win32":
    import msvcrt

    def take(descriptor: int) -> bool:
        """The hub does not run on Windows."""
        del descriptor
        raise ConfigError("the hub runs on Linux and macOS; on Windows run an agent only")

    def _take(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def take(descriptor: int) -> bool:
        """Take the lock if nobody has it; False when another does."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    _take = take


@contextmanager
def held(path: Path, patience: float) -> Iterator[None]:
    """Hold the lock ``path``, a file that is made for its owner alone and stays, also on Windows.

    Raises UnavailableError when another process holds it for longer than ``patience`` seconds, OSError when the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + patience
        while not _take(descriptor):
            if time.monotonic() >= deadline:
                raise UnavailableError(f"another process has held {path} for {patience:.0f} s; end it, or try again")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)
