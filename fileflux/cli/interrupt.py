"""Being told to stop, by Ctrl-C or otherwise, while something is followed that others have to hear of."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TerminatedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP: as Ctrl-C, but with an exit code of its own."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def told_to_stop() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise TerminatedError, so that a terminal is left as it was and what was begun can be ended."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # Whoever has a handler of their own keeps it.
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        raise TerminatedError(number)

    numbers = [signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    # nohup has said that a hangup is not to be heard.
    before = {number: signal.signal(number, stop) for number in numbers if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
