"""A run's last step: directories get their mode and time, deepest first, when everything inside them stands."""

from __future__ import annotations

import os
from dataclasses import dataclass

import structlog

from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.systems import System, encode
from fileflux.storage.directories import DirectoryRow

log = structlog.get_logger("fileflux.run")

FETCH_DIRECTORIES = 200
"""Directories in one request: with the longest paths still below the size of a message."""


@dataclass(slots=True)
class Directories:
    """``request_id`` is 0 while nothing is asked; ``due`` once every file has ended."""

    spec: JobSpec
    due: bool = False
    request_id: int = 0
    errors: int = 0
    system: System = "posix"
    _asked: tuple[bytes, ...] | None = None
    _answered: bool = False

    def lost(self) -> None:
        """The destination forgot the request: ask again."""
        self.request_id = 0

    def all_done(self, rows: tuple[DirectoryRow, ...], *, one_file: bool) -> bool:
        """Nothing is left. One request is answered even without rows: it makes the destination's folder itself."""
        return one_file or (not rows and self._answered)

    def request(self, rows: tuple[DirectoryRow, ...]) -> m.DirApply:
        """The message for these rows."""
        mode, mtime = "mode" in self.spec.preserve, "mtime" in self.spec.preserve
        items = tuple(
            m.DirItem(self._name(row.path), row.mode if mode else None, row.mtime_ns if mtime else None) for row in rows
        )
        self._asked = tuple(row.path for row in rows)
        return m.DirApply(self.request_id, self.spec.destination_path, items)

    def _name(self, path: bytes) -> str:
        name = os.fsdecode(path)
        return encode(name, self.system) if self.spec.names == "encode" else name

    def applied(self, result: m.DirApplied) -> tuple[bytes, ...] | None:
        """Paths that are done; None for an answer to nothing that was asked."""
        if result.request_id != self.request_id or self._asked is None:
            return None
        self._answered = True
        for error in result.errors:
            self.errors += 1
            log.warning("directory not set", path=error.path, code=error.code, error=error.message)
        self.request_id = 0
        return self._asked
