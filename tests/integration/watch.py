"""Watches a folder with inotify: which final names appeared, how often, and whether they were whole at that moment."""

from __future__ import annotations

import ctypes
import hashlib
import os
import select
import struct
import threading
from collections import Counter
from pathlib import Path
from typing import Self

IN_CREATE, IN_MOVED_TO = 0x100, 0x80
_EVENT = struct.Struct("iIII")


class FinalNames:
    """Use as a context manager. ``appeared`` counts names that are no parts; ``torn`` lists those with another hash than expected."""

    def __init__(self, folder: Path, expected: dict[str, str]) -> None:
        self._folder = folder
        self._expected = expected
        self.appeared: Counter[str] = Counter()
        self.torn: list[str] = []
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._libc.inotify_add_watch(self._fd, os.fsencode(folder), IN_CREATE | IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        self._drain()
        for fd in (self._fd, self._stop_read, self._stop_write):
            os.close(fd)

    def _loop(self) -> None:
        while True:
            ready, _, _ = select.select([self._fd, self._stop_read], [], [])
            if self._fd in ready:
                self._drain()
            if self._stop_read in ready:
                return

    def _drain(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            _, _, _, length = _EVENT.unpack_from(data, position)
            name = data[position + 16 : position + 16 + length].rstrip(b"\0").decode()
            position += 16 + length
            if not name.endswith(".fluxpart"):
                self._look(name)

    def _look(self, name: str) -> None:
        self.appeared[name] += 1
        with (self._folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self._expected.get(name):
            self.torn.append(name)
