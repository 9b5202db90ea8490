"""Where files go that were moved with ``on_success: archive``, and whether a job may take files away from its source at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fileflux.errors import FluxError, TransferError
from fileflux.protocol.messages import OnSuccess
from flux_agent.files.faults import shown
from flux_agent.files.roots import Place, Roots
from flux_agent.files.system import absolute_components

ARCHIVE: Final = ".fileflux-archive"
"""Made in the source's folder unless the job names another place. No listing shows what is in a folder of this name."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a job does with files of its source that have arrived. ``archive``: below the source's folder unless it is absolute."""

    on_success: OnSuccess = "keep"
    archive: str = ""

    def archive_path(self, base: str) -> str:
        """Of the folder ``base``."""
        archive = self.archive or ARCHIVE
        return archive if absolute_components(archive) is not None else f"{base}/{archive}"

    def check(self, roots: Roots, base: Place) -> None:
        """Raises TransferError unless files may be taken away from ``base``, and renamed from there into the archive."""
        if self.on_success == "keep":
            return
        writable(roots, base.path, "", self.on_success)
        if self.on_success != "archive":
            return
        archive = writable(roots, self.archive_path(base.path), "", self.on_success)
        if archive.real == base.real:
            raise TransferError(
                f"{shown(archive.path)} is the source itself: choose another archive", code="refused_path"
            )
        if _device(roots, archive) != _device(roots, base):
            raise other_file_system(archive.path)


def writable(roots: Roots, path: str, name: str, on_success: OnSuccess) -> Place:
    """As ``Roots.resolve`` for writing; the refusal says what for."""
    try:
        return roots.resolve(path, name, write=True)
    except FluxError as error:
        if error.code != "outside_roots":
            raise
        message = f"{shown(path)} is not below one of this agent's write roots, which on_success: {on_success} needs"
        raise TransferError(message, code="outside_roots") from None


def other_file_system(path: str) -> TransferError:
    """Archiving is a rename, which works inside one file system only."""
    return TransferError(
        f"{shown(path)} is on another file system than the source: choose an archive on the same one", code="io",
        retryable=False,
    )  # fmt: skip


def _device(roots: Roots, place: Place) -> int | None:
    """Of the nearest directory on the way to ``place`` that exists."""
    for depth in range(len(place.components), -1, -1):
        found = roots.find_directory(Place(place.root, place.components[:depth]))
        if found is not None:
            with found:
                return found.status().device
    return None
