"""Long work in a request, done in parts, so that whoever else is ready runs in between: nothing may hold the loop for 20 ms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from fileflux.actors.kernel import runtime
from fileflux.protocol.limits import MIB


def now_and_then(every: int) -> Callable[[], None]:
    """A function to call once for each of many things: every so many calls it lets others run."""
    done = 0

    def breathe() -> None:
        nonlocal done
        done += 1
        if done % every == 0:
            runtime.yield_loop()

    return breathe


def sha256_of(content: bytes) -> bytes:
    """The digest of a body of any size."""
    found = hashlib.sha256(content[:MIB])
    for start in range(MIB, len(content), MIB):
        runtime.yield_loop()
        found.update(content[start : start + MIB])
    return found.digest()
