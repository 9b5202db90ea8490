"""Where the agent may read and write: only below the directories that its own configuration lists.

A path is resolved in two steps. Its spelling only chooses a root; what is reached is decided by opening one component after the other
from the root's handle, never through a symbolic link. So a link, a rename or a mount in between can make an open fail, but not leave the
root. A root is opened by its path each time: a directory that was replaced or mounted since is then the root, and a transfer that had
begun in the old one notices by its identity.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fileflux.errors import ConfigError, RefusedPathError, TransferError
from fileflux.protocol.limits import MAX_PATH_BYTES
from fileflux.protocol.names import check_relative
from flux_agent.files.faults import shown, transfer_error
from flux_agent.files.guard import Protected, auto_run_in, refuse_auto_run
from flux_agent.files.handles import Directory, File, Status
from flux_agent.files.system import absolute_components, join, open_root


@dataclass(frozen=True, slots=True)
class Root:
    """A directory of the configuration; ``index`` is its place among all roots, the same in every process with this configuration.

    ``real``: what its links led to when the agent started. Jobs may name it so, too.
    """

    index: int
    components: tuple[str, ...]
    real: tuple[str, ...]
    read: bool
    write: bool

    @property
    def path(self) -> str:
        return join(self.components)


@dataclass(frozen=True, slots=True)
class ListedRoot:
    """A root as its agent's configuration has it, perhaps in both lists."""

    path: str
    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory by its way from a root; it need not exist."""

    root: Root
    components: tuple[str, ...]

    @property
    def path(self) -> str:
        return join(self.root.components + self.components)

    @property
    def name(self) -> str:
        """The last component. Not for a root itself."""
        return self.components[-1]

    @property
    def parent(self) -> Place:
        """Not for a root itself."""
        return Place(self.root, self.components[:-1])

    @property
    def real(self) -> tuple[str, ...]:
        """The same for every root that leads here: below a root no link is followed, so only the root's own path can hold one."""
        return self.root.real + self.components

    def below(self, components: tuple[str, ...]) -> Place:
        return Place(self.root, self.components + components)


class Roots:
    """The roots of one agent. ``protected`` and ``program`` are its own files and folders: see ``guard.Protected``.

    Raises ConfigError for a root that is not an absolute path without ``..``. All other methods raise TransferError or RefusedPathError,
    and nothing else.
    """

    def __init__(
        self, read: Sequence[str], write: Sequence[str], protected: Sequence[str] = (), program: Sequence[str] = ()
    ) -> None:
        self._protected = Protected(protected, program)
        self._roots: list[Root] = []
        self._read = self._add(read, write=False)
        self._write = self._add(write, write=True)

    def resolve(self, path: str, name: str = "", *, write: bool) -> Place:
        """``path`` comes from a job: absolute, or relative to the first root. ``name`` came from the other agent and is put below it.

        Codes: outside_roots, refused_path.
        """
        components = (*self._absolute(path, write=write), *(check_relative(name) if name else ()))
        fitting = [
            (len(form), root)
            for form, root in (self._write if write else self._read)
            if components[: len(form)] == form
        ]
        if not fitting:
            kind = "write" if write else "read"
            raise TransferError(f"{shown(path)} is not below one of this agent's {kind} roots", code="outside_roots")
        depth, root = max(fitting, key=lambda found: found[0])
        if write:
            refuse_auto_run(components[depth:])
        place = Place(root, components[depth:])
        for form in {components, root.components + place.components, place.real}:
            self._protected.refuse_path(form, write=write)
        return place

    def refused_in(self, directory: Place, *, write: bool) -> tuple[frozenset[str], frozenset[str]]:
        """Names of files that ``resolve`` refuses in a directory that it gave, besides what ``check_relative`` does: as they are, and case-folded."""
        forms = {directory.root.components + directory.components, directory.real}
        auto_run = auto_run_in(directory.components) if write else frozenset[str]()
        return self._protected.names_in(forms, write=write), auto_run

    def place(self, root_index: int, components: Sequence[str]) -> Place:
        """A place that ``resolve`` gave before, perhaps in another process."""
        return Place(self._roots[root_index], tuple(components))

    def open_directory(self, place: Place, *, create: bool = False) -> Directory:
        """Open it, component by component. With ``create`` what is missing is made, and each new name is on the disk before the next.

        Codes: not_found, not_regular (a component is no directory), refused_path (a symbolic link, or not for agents), and what the
        system says.
        """
        own = self._protected.identities(write=place.root.write)
        current = self._open_root(place.root, own)
        try:
            for depth, name in enumerate(place.components, 1):
                following = self._step(current, name, Place(place.root, place.components[:depth]), own, create=create)
                current.close()
                current = following
        except BaseException:
            current.close()
            raise
        return current

    def find_directory(self, place: Place) -> Directory | None:
        """As ``open_directory``; None when it is missing."""
        try:
            return self.open_directory(place)
        except TransferError as error:
            if error.code == "not_found":
                return None
            raise

    def open_file(self, directory: Directory, place: Place) -> tuple[File, Status]:
        """Open a regular file for reading, from the handle of its directory.

        Looked at before it is opened, since opening a device can have effects, and again afterwards, since it may have been replaced.
        Codes: as for ``open_directory``; not_regular also for FIFOs, sockets and devices.
        """
        path = place.path
        try:
            seen = directory.status_of(place.name)
            if seen is None:
                raise TransferError(f"{shown(path)} does not exist", code="not_found")
            self.check_file(seen, place)
            file = directory.open_file(place.name)
            try:
                status = file.status()
                self.check_file(status, place)
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise transfer_error(error, path) from None
        return file, status

    def check_file(self, status: Status, place: Place) -> None:
        """Raises TransferError unless it is a regular file that may be touched."""
        path = place.path
        if status.kind == "symlink":
            raise TransferError(f"{shown(path)} is a symbolic link: name what it points to", code="refused_path")
        if status.kind != "file":
            what = "a directory" if status.kind == "directory" else "not a regular file"
            raise TransferError(f"{shown(path)} is {what}", code="not_regular")
        self.refuse_own(status, place)

    def refuse_own(self, status: Status, place: Place) -> None:
        """Raises TransferError for what belongs to the agent itself, whatever its name here."""
        if status.identity in self._protected.identities(write=place.root.write):
            raise TransferError(f"{shown(place.path)} belongs to the agent itself", code="refused_path")

    def own_identities(self, *, write: bool) -> set[tuple[int, int]]:
        """``Status.identity`` of the agent's own files and folders, as they are now: those that are not written, or those that are not read."""
        return self._protected.identities(write=write)

    def listed(self) -> list[ListedRoot]:
        """Each root once, with what jobs may do there: one may be in both lists of the configuration."""
        rights: dict[str, tuple[bool, bool]] = {}
        for root in self._roots:
            read, write = rights.get(root.path, (False, False))
            rights[root.path] = (read or root.read, write or root.write)
        return [ListedRoot(path, read, write) for path, (read, write) in rights.items()]

    def usage(self) -> list[dict[str, Any]]:
        """``{path, read, write, total, free}`` of each root."""
        lines = []
        for root in self.listed():
            total = free = 0
            with suppress(OSError), open_root(root.path) as directory:
                total, free = directory.space()
            lines.append({"path": root.path, "read": root.read, "write": root.write, "total": total, "free": free})
        return lines

    def _add(self, paths: Sequence[str], *, write: bool) -> list[tuple[tuple[str, ...], Root]]:
        forms: list[tuple[tuple[str, ...], Root]] = []
        for path in paths:
            components = absolute_components(path)
            if components is None or ".." in components or "\0" in path:
                raise ConfigError(f"root {path!r} must be an absolute path without '..'")
            real = absolute_components(os.path.realpath(path)) or components
            root = Root(len(self._roots), components, real, read=not write, write=write)
            self._roots.append(root)
            forms.extend((form, root) for form in dict.fromkeys((components, real)))
        return forms

    def _absolute(self, path: str, *, write: bool) -> tuple[str, ...]:
        roots = self._write if write else self._read
        if not roots:
            kind = "write" if write else "read"
            raise TransferError(
                f"this agent has no {kind} roots: start it with --{kind} DIRECTORY", code="outside_roots"
            )
        try:
            size = len(path.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            size = -1
        if "\0" in path or not 0 <= size <= MAX_PATH_BYTES:
            raise RefusedPathError(f"a path has at most {MAX_PATH_BYTES} bytes, no NUL and no lone surrogates")
        components = absolute_components(path)
        if components is None:
            components = roots[0][0] + (absolute_components("/" + path) or ())
        if ".." in components:
            raise RefusedPathError(f"{shown(path)}: '..' is not followed")
        return components

    def _open_root(self, root: Root, own: set[tuple[int, int]]) -> Directory:
        try:
            directory: Directory = open_root(root.path)
        except OSError as error:
            raise transfer_error(error, root.path) from None
        try:
            _check_directory(directory, directory.status(), None, root.path, own)
        except BaseException:
            directory.close()
            raise
        return directory

    def _step(
        self, current: Directory, name: str, place: Place, own: set[tuple[int, int]], *, create: bool
    ) -> Directory:
        try:
            try:
                following = current.open_directory(name)
            except FileNotFoundError:
                if not create:
                    raise
                current.make_directory(name)
                following = current.open_directory(name)
        except NotADirectoryError as error:
            if _is_symlink(current, name):
                message = f"{shown(place.path)} is a symbolic link: symbolic links are not followed"
                raise TransferError(message, code="refused_path") from None
            raise transfer_error(error, place.path) from None
        except OSError as error:
            raise transfer_error(error, place.path) from None
        try:
            _check_directory(following, following.status(), current.status(), place.path, own)
        except BaseException:
            following.close()
            raise
        return following


def _check_directory(
    directory: Directory, status: Status, parent: Status | None, path: str, own: set[tuple[int, int]]
) -> None:
    if status.identity in own:
        raise TransferError(f"{shown(path)} belongs to the agent itself", code="refused_path")
    if (parent is None or parent.device != status.device) and directory.of_the_kernel:
        raise TransferError(f"{shown(path)} holds objects of the kernel, not files", code="refused_path")


def _is_symlink(directory: Directory, name: str) -> bool:
    try:
        seen = directory.status_of(name)
    except OSError:
        return False
    return seen is not None and seen.kind == "symlink"
