"""A run's listing: asks the source agent page by page what the job's path holds, and turns entries into rows.

For a pull the destination is listed first, and files that it has with the same size and time are never asked for. Its listing is kept in
memory up to ``EXISTING_MAX`` files; what lies beyond is offered as in a push, with the same result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fileflux.errors import RefusedPathError, RemoteProtocolError
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.names import check_relative
from fileflux.protocol.systems import System, destination_name
from fileflux.protocol.versions import is_version_name
from fileflux.storage.directories import NewDirectory
from fileflux.storage.transfers import NewTransfer

EXISTING_MAX = 200_000
ERRORS_MAX = 100
"""Listing errors kept word for word; more are only counted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every transfer of the run needs to know of the listing."""

    base: str
    path_type: m.PathType
    system: System = "posix"
    """What the destination's agent runs on."""

    @property
    def landing(self) -> m.Landing:
        return "onto" if self.path_type == "file" else "below"


_LINKS = {
    "link_outside": ("refused_path", "the symbolic link leads out of the source agent's root"),
    "link_loop": ("refused_path", "the symbolic links lead round in a circle"),
    "link_broken": ("not_found", "the symbolic link leads to nothing"),
}


def entry_verdict(
    entry: m.Entry, spec: JobSpec, system: System, existing: Mapping[str, tuple[int, int]]
) -> tuple[str, str, str]:
    """Status, reason and code of the row of an entry that is no directory. ``existing``: size and mtime of what the destination is known to have."""
    if entry.code == "young":
        return "skipped", f"younger than {spec.min_age_s:g} s", ""
    if entry.code in _LINKS:
        code, reason = _LINKS[entry.code]
        return "failed", reason, code
    if entry.code:
        return "skipped", f"left out by the source's agent: {entry.code}", ""
    if entry.kind == "other":
        return "skipped", "not a regular file", ""
    if entry.kind == "symlink" and spec.symlinks != "copy":
        return "skipped", "symbolic link (symlinks: skip)", ""
    if spec.keep_versions and is_version_name(entry.path):
        return "skipped", "has the name of a kept version (keep_versions)", ""
    try:
        name = destination_name(entry.path, system, spec.names)
    except RefusedPathError as error:
        return "failed", f"the destination's system cannot hold the name: {error.message}", "bad_name"
    if existing.get(name) == (entry.size, entry.mtime_ns):
        return "skipped", "equal file at the destination", ""
    return "pending", "", ""


@dataclass(slots=True)
class Listing:
    """One listing in progress. Pure: ``request`` says what to send, ``take`` digests a page."""

    spec: JobSpec
    page_size: int
    plan: Plan | None = None
    finished: bool = False
    existing_known: bool = False
    request_id: int = 0
    errors: int = 0
    error_texts: list[str] = field(default_factory=list)
    system: System = "posix"
    """Set it before the first page: it decides what names the destination can hold."""
    _page: int = 0
    _existing: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.existing_known = self.spec.type != "pull"

    @property
    def role(self) -> m.Role:
        """Which agent is asked now."""
        return "source" if self.existing_known else "destination"

    def restart(self) -> None:
        """The asked agent forgot about it: begin this part of the listing again."""
        self._page = 0
        self.request_id = 0
        if not self.existing_known:
            self._existing.clear()
        else:
            self.errors = 0
            self.error_texts.clear()

    def request(self, request_id: int) -> m.ListRequest:
        """The request for the next page; ``request_id`` is used only for the first."""
        if self.request_id == 0:
            self.request_id = request_id
        spec = self.spec
        rules = m.ListRules(spec.wanted, spec.exclude, spec.recursive)
        if not self.existing_known:
            return m.ListRequest(self.request_id, spec.destination_path, self._page, self.page_size, rules, write=True)
        both = spec.source_agent_id == spec.destination_agent_id
        destination = spec.destination_path if both else None
        rules = replace(rules, min_age_s=spec.min_age_s, symlinks=spec.symlinks)
        archive = spec.archive_path if spec.on_success == "archive" else ""
        return m.ListRequest(
            self.request_id, spec.source_path, self._page, self.page_size, rules, destination, spec.on_success, archive
        )

    def take(self, result: m.ListResult) -> tuple[list[NewTransfer], list[NewDirectory]] | None:
        """Rows of a page, or None if the page answers nothing that was asked now.

        Raises RemoteProtocolError when the page cannot be believed and FileNotFoundError when the source path cannot be listed at all.
        """
        if result.request_id != self.request_id or result.page != self._page or self.finished:
            return None
        self._page += 1
        if not self.existing_known:
            self._remember(result)
            return [], []
        if self.plan is None or result.page == 0:
            self.plan = Plan(result.base, result.path_type, self.system)
        for error in result.errors:
            if error.path == "" and result.page == 0 and not result.entries:
                # Mostly the agent names the path itself.
                path = self.spec.source_path.rstrip("/")
                raise FileNotFoundError(error.message if error.message.startswith(path) else f"{path}: {error.message}")
            self._count_error(f"{error.path}: {error.message}")
        if result.path_type == "file" and len(result.entries) > 1:
            raise RemoteProtocolError("a file has one entry", field="entries")
        files: list[NewTransfer] = []
        folders: list[NewDirectory] = []
        for entry in result.entries:
            self._sort_in(entry, files, folders)
        self.finished = result.last
        return files, folders

    def _remember(self, result: m.ListResult) -> None:
        for entry in result.entries:
            if self.spec.keep_versions and is_version_name(entry.path):
                continue
            if entry.kind in ("file", "symlink") and len(self._existing) < EXISTING_MAX:
                self._existing[entry.path] = (entry.size, entry.mtime_ns)
        if result.last or len(self._existing) >= EXISTING_MAX:
            self.existing_known = True
            self._page = 0
            self.request_id = 0

    def _sort_in(self, entry: m.Entry, files: list[NewTransfer], folders: list[NewDirectory]) -> None:
        try:
            check_relative(entry.path)
        except RefusedPathError as error:
            self._count_error(f"{entry.path}: {error.message}")
            return
        path = os.fsencode(entry.path)
        if entry.kind == "directory":
            try:
                destination_name(entry.path, self.system, self.spec.names)
                folders.append(NewDirectory(path, entry.mode, entry.mtime_ns))
            except RefusedPathError as error:
                self._count_error(f"{entry.path}: {error.message}")
            return
        status, reason, code = entry_verdict(entry, self.spec, self.system, self._existing)
        files.append(
            NewTransfer(
                path=path,
                size=entry.size,
                mtime_ns=entry.mtime_ns,
                mode=entry.mode,
                chunk_size=self.spec.chunk_size,
                status=status,
                reason=reason,
                code=code,
                kind=entry.kind,
            )
        )

    def _count_error(self, text: str) -> None:
        self.errors += 1
        if len(self.error_texts) < ERRORS_MAX:
            self.error_texts.append(text[:1000])
