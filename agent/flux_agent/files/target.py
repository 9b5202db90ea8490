"""Where a job writes to, for the listing of its source at the same agent.

A copy of a directory into itself would find its own results and never end. What the job calls its two paths does not matter: they are
compared by what the roots lead to, and by identity where the target exists.
"""

from __future__ import annotations

from fileflux.errors import FluxError
from flux_agent.files.roots import Place, Roots


class Target:
    """The destination path of a job. One that this agent may not write to is nowhere: the transfers will say why."""

    def __init__(self, roots: Roots, path: str) -> None:
        self._roots = roots
        self._place: Place | None
        try:
            self._place = roots.resolve(path, write=True)
        except FluxError:
            self._place = None

    def identity(self) -> tuple[int, int] | None:
        """Of the directory that stands there now."""
        return None if self._place is None else self._identity_of(self._place)

    def is_at(self, place: Place) -> bool:
        """Whether it is this very place."""
        if self._place is None:
            return False
        if place.real == self._place.real:
            return True
        own = self.identity()
        return own is not None and own == self._identity_of(place)

    def below(self, place: Place) -> tuple[str, ...] | None:
        """The way to it from a directory above it."""
        if self._place is None:
            return None
        base, own = place.real, self._place.real
        return own[len(base) :] if own[: len(base)] == base else None

    def _identity_of(self, place: Place) -> tuple[int, int] | None:
        try:
            found = self._roots.find_directory(place)
        except FluxError:
            return None
        if found is None:
            return None
        with found:
            return found.status().identity
