"""Names of a run that are one name at its destination: another letter case, or another way to write the same character.

Pure. Each name claims its folded form; the first that claims one holds it, in whatever page of a listing the next one comes. A directory may
be claimed often, a file once, and neither where the other is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fileflux.protocol.systems import System, fold


@dataclass(frozen=True, slots=True)
class Claim:
    """``path`` is the name at the destination; ``key`` is the same for all that fall together."""

    key: bytes
    path: bytes
    directory: bool = False


def claims_of(files: Iterable[str], directories: Iterable[str], system: System) -> tuple[Claim, ...]:
    """What a page of a listing claims: its files, its directories and every directory above them. One claim for each name, in their order."""
    found: dict[tuple[str, bool], None] = {}
    for path in files:
        for above in _above(path):
            found[above, True] = None
        found[path, False] = None
    for path in directories:
        for above in (*_above(path), path):
            found[above, True] = None
    return tuple(Claim(_key(path, system), os.fsencode(path), directory) for path, directory in found)


def clash(path: str, claims: Mapping[tuple[bytes, bool], bytes], holders: Mapping[bytes, Claim]) -> str | None:
    """Why a file must not be moved, if another name holds its place.

    ``claims``: the key of each name of the page; ``holders``: who holds a key.
    """
    own = os.fsencode(path)
    holder = holders.get(claims.get((own, False), b""))
    if holder is not None and (holder.directory or holder.path != own):
        return f"{path} would be {_what(holder)} at the destination"
    for above in _above(path):
        holder = holders.get(claims.get((os.fsencode(above), True), b""))
        if holder is not None and not holder.directory:
            return f"{path}: its directory {above} would be {_what(holder)} at the destination"
    return None


def by_name(claims: Iterable[Claim]) -> dict[tuple[bytes, bool], bytes]:
    """Claims for ``clash``."""
    return {(claim.path, claim.directory): claim.key for claim in claims}


def _what(holder: Claim) -> str:
    return f"the same {'directory' if holder.directory else 'file'} as {os.fsdecode(holder.path)}"


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _key(path: str, system: System) -> bytes:
    return hashlib.sha256(fold(path, system).encode("utf-8", "surrogatepass")).digest()
