"""Relative names that come from the other side: what is acceptable as data, whatever the system (docs/protocol.md, Paths).

A name is text as ``os.fsdecode`` gives it, with ``/`` between components on every system. Nothing in it is ever expanded: ``~``, ``$HOME``
and ``%PATH%`` are plain characters. Refused is what could leave the directory that it is to be put below, on any system, also when the
reader is not the system that the trick was made for.
"""

from __future__ import annotations

import re
from typing import Final

from fileflux.errors import RefusedPathError
from fileflux.protocol.limits import MAX_NAME_BYTES, MAX_PATH_BYTES

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_. -]*(?:/[A-Za-z0-9_-][A-Za-z0-9_. -]*)*")
"""Most names there are. Nothing that it matches breaks a rule but that of lengths; it costs a tenth of looking at each rule."""
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_RESERVED: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}
    | {port + digit for port in ("COM", "LPT") for digit in "0123456789¹²³"}
)
_NOT_PORTABLE: Final = re.compile(r'[\x00-\x1f<>:"|?*\\]')


def check_relative(name: str) -> tuple[str, ...]:
    """The components of a relative name.

    Raises RefusedPathError for an empty or absolute name, for empty, ``.`` and ``..`` components (also between backslashes), drive letters,
    NUL, text that is no file name's, more than 4,096 bytes, and components of more than 255 bytes.
    """
    if len(name) <= MAX_NAME_BYTES and _PLAIN.fullmatch(name):
        return tuple(name.split("/"))
    if not name:
        raise RefusedPathError("an empty name is not acceptable")
    if "\0" in name:
        raise RefusedPathError("a name must not hold NUL")
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise RefusedPathError("a name must not hold lone surrogates") from None
    if len(encoded) > MAX_PATH_BYTES:
        raise RefusedPathError(f"a name of {len(encoded)} bytes is longer than {MAX_PATH_BYTES}")
    if name[0] in "/\\" or _DRIVE.match(name):
        raise RefusedPathError(f"{name!r:.200} is not a relative name")
    components = tuple(name.split("/"))
    for component in components:
        if component in ("", "."):
            raise RefusedPathError(f"{name!r:.200} has an empty or '.' component")
        # On POSIX a backslash is plain data, but no system may read it as a way up.
        if ".." in component.split("\\"):
            raise RefusedPathError(f"{name!r:.200} has a '..' component")
    for component, size in zip(components, map(len, encoded.split(b"/")), strict=True):
        if size > MAX_NAME_BYTES:
            raise RefusedPathError(f"{component!r:.80} has {size} bytes, more than {MAX_NAME_BYTES}")
    return components


def check_portable(name: str) -> tuple[str, ...]:
    """As ``check_relative``, and each component can be a file name on Windows too.

    Raises RefusedPathError for device names (``CON``, ``nul.txt``, ``COM¹`` …, with blanks around them too), for ``: " < > | ? *``,
    backslashes and control characters (so no alternate data streams), and for a dot or a blank at a component's end.
    """
    components = check_relative(name)
    for component in components:
        if _NOT_PORTABLE.search(component):
            raise RefusedPathError(f"{component!r:.80} has a character that Windows does not allow")
        if component[-1] in ". ":
            raise RefusedPathError(f"{component!r:.80} ends in a dot or a blank, which Windows drops")
        if component.split(".", 1)[0].strip(" ").upper() in _RESERVED:
            raise RefusedPathError(f"{component!r:.80} is the name of a device on Windows")
    return components
