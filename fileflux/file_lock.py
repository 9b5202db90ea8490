"""An exclusive lock on an open file, which lasts until every process that inherited the descriptor has closed it."""

from __future__ import annotations

import sys

from fileflux.errors import ConfigError

if sys.platform == "win32":

    def take(descriptor: int) -> bool:
        """The hub does not run on Windows."""
        del descriptor
        raise ConfigError("the hub runs on Linux and macOS; on Windows run an agent only")

else:
    import fcntl

    def take(descriptor: int) -> bool:
        """Take the lock if nobody has it; False when another does."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
