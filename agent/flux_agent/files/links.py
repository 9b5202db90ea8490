"""Symbolic links: where one leads inside its root, and which texts a new one may have.

Nothing here lets the system follow a link. Each component is looked at from the handle of the directory it stands in, so what comes out is a
place without links, which is then opened like any other: if something changes meanwhile, the open fails.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Protocol

from fileflux.errors import TransferError
from flux_agent.files.faults import naming, shown
from flux_agent.files.handles import Directory, Status
from flux_agent.files.roots import Place, Roots
from flux_agent.files.system import absolute_components

LINKS_MAX: Final = 40
"""Links on one way, as Linux has it."""
OUTSIDE: Final = "link_outside"
LOOP: Final = "link_loop"
BROKEN: Final = "link_broken"
REASONS: Final = {
    OUTSIDE: "the symbolic link leads out of this agent's root",
    LOOP: "the symbolic links lead round in a circle",
    BROKEN: "the symbolic link leads to nothing",
}


class SourceFile(Protocol):
    """As much of an open file as is needed to read it."""

    def status(self) -> Status: ...

    def read_into(self, view: memoryview, offset: int) -> int: ...

    def is_hole(self, offset: int, length: int) -> bool: ...

    def close(self) -> None: ...


class OpenLink:
    """A symbolic link as if it were a file that holds the text of its target. Opened anew for each look: links have no handles."""

    def __init__(self, roots: Roots, place: Place) -> None:
        self._roots = roots
        self._place = place

    def status(self) -> Status:
        """Raises TransferError (not_regular) when it is no link any more."""
        with self._roots.open_directory(self._place.parent) as directory, naming(self._place.path):
            return self._checked(directory)

    def read_into(self, view: memoryview, offset: int) -> int:
        with self._roots.open_directory(self._place.parent) as directory, naming(self._place.path):
            self._checked(directory)
            text = os.fsencode(directory.read_link(self._place.name))[offset : offset + len(view)]
        view[: len(text)] = text
        return len(text)

    def is_hole(self, offset: int, length: int) -> bool:
        """A text has none."""
        del offset, length
        return False

    def close(self) -> None:
        """Nothing is open."""

    def _checked(self, directory: Directory) -> Status:
        status = directory.status_of(self._place.name)
        if status is None:
            raise TransferError(f"{shown(self._place.path)} does not exist", code="not_found")
        if status.kind != "symlink":
            raise TransferError(f"{shown(self._place.path)} is not a symbolic link", code="not_regular")
        return status


class LinkError(TransferError):
    """A link that cannot be followed; ``why`` is one of OUTSIDE, LOOP and BROKEN."""

    def __init__(self, place: Place, why: str) -> None:
        code = "not_found" if why == BROKEN else "refused_path"
        super().__init__(f"{shown(place.path)}: {REASONS[why]}", code=code)
        self.why = why


def follow(roots: Roots, place: Place) -> Place:
    """The same place with no symbolic link on its way, inside the same root; the last component need not exist.

    Raises LinkError, and what opening directories raises.
    """
    if _is_plain(roots, place):
        return place
    done: list[str] = []
    left = list(reversed(place.components))
    links = 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            # What is done holds no link, so this is the real way up.
            if not done:
                raise LinkError(place, OUTSIDE)
            done.pop()
            continue
        target = _target(roots, Place(place.root, tuple(done)), name)
        if target is None:
            done.append(name)
            continue
        links += 1
        if links > LINKS_MAX:
            raise LinkError(place, LOOP)
        absolute = absolute_components(target)
        if absolute is not None:
            done.clear()
            left.extend(reversed(_inside(place, absolute)))
        else:
            left.extend(reversed(target.split("/")))
    return Place(place.root, tuple(done))


def look(roots: Roots, place: Place) -> tuple[Place, Status]:
    """Where ``place`` leads and what stands there. Raises LinkError (BROKEN when nothing does), and what opening directories raises."""
    try:
        real = follow(roots, place)
        if not real.components:
            with roots.open_directory(real) as root:
                return real, root.status()
        with roots.open_directory(real.parent) as directory, naming(place.path):
            status = directory.status_of(real.name)
    except TransferError as error:
        if error.code in ("not_found", "not_regular"):
            raise LinkError(place, BROKEN) from None
        raise
    if status is None:
        raise LinkError(place, BROKEN)
    return real, status


def check_target(place: Place, target: str) -> None:
    """Whether a link with this text may be made at ``place``: only one that stays below the root, whatever else is a link there.

    So ``..`` may stand at its beginning only, and an absolute one has to name something below the root. Raises TransferError.
    """
    absolute = absolute_components(target)
    if absolute is None:
        parts = [part for part in target.split("/") if part not in ("", ".")]
        up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
        safe = ".." not in parts[up:] and up <= len(place.components) - 1
    else:
        safe = ".." not in absolute and any(
            absolute[: len(form)] == form for form in (place.root.components, place.root.real)
        )
    if not target or "\0" in target or not safe:
        raise TransferError(
            f"{shown(place.path)}: a link to {shown(target)[:200]} may lead out of this agent's root",
            code="refused_path",
        )


def _is_plain(roots: Roots, place: Place) -> bool:
    """Whether no component is a link: as a rule, and found out at the price of one open."""
    if not place.components:
        return True
    try:
        with roots.open_directory(place.parent) as directory:
            seen = _status_of(directory, place)
    except TransferError:
        return False
    return seen is None or seen.kind != "symlink"


def _status_of(directory: Directory, place: Place) -> Status | None:
    with naming(place.path):
        return directory.status_of(place.name)


def _target(roots: Roots, parent: Place, name: str) -> str | None:
    """The text of the link ``name``; None if it is none, or nothing."""
    place = parent.below((name,))
    with roots.open_directory(parent) as directory, naming(place.path):
        seen = directory.status_of(name)
        return directory.read_link(name) if seen is not None and seen.kind == "symlink" else None


def _inside(place: Place, absolute: Sequence[str]) -> tuple[str, ...]:
    """The way from the root to an absolute target."""
    for form in (place.root.components, place.root.real):
        if tuple(absolute[: len(form)]) == form:
            return tuple(absolute[len(form) :])
    raise LinkError(place, OUTSIDE)
