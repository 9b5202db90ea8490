"""A pump without gevent: turns of ``select`` until something holds. For tests of links over real sockets."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any


class SelectChannel:
    def __init__(self, pump: SelectPump, sock: Any, handler: Any) -> None:
        self.pump, self.sock, self.handler = pump, sock, handler
        self.wants_write = False

    def want_write(self, wanted: bool) -> None:
        self.wants_write = wanted

    def close(self) -> None:
        self.pump.channels.discard(self)


class SelectPump:
    def __init__(self) -> None:
        self.channels: set[SelectChannel] = set()

    def register(self, sock: Any, handler: Any) -> SelectChannel:
        channel = SelectChannel(self, sock, handler)
        self.channels.add(channel)
        return channel

    def turn(self, wait: float = 0.0) -> bool:
        """One turn for every ready socket; False if none was."""
        readers = {channel.sock: channel for channel in self.channels}
        writers = {sock: channel for sock, channel in readers.items() if channel.wants_write}
        if not readers:
            return False
        ready_in, ready_out, _ = select.select(list(readers), list(writers), [], wait)
        for sock in ready_out:
            if writers[sock] in self.channels:
                self._serve(writers[sock], writers[sock].handler.writable)
        for sock in ready_in:
            if readers[sock] in self.channels:
                self._serve(readers[sock], readers[sock].handler.readable)
        return bool(ready_in or ready_out)

    def until(self, holds: Callable[[], object], seconds: float = 20.0) -> None:
        """Turns until ``holds()``; fails when that takes too long."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise AssertionError("it did not happen")
            self.turn(0.05)

    def settle(self) -> None:
        """Turns until nothing is ready."""
        while self.turn():
            pass

    def _serve(self, channel: SelectChannel, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            channel.close()
            channel.handler.failed(error)
