"""What the destination's system can hold as a file name, and which names are the same there. Pure; docs/how-to/file-policies.md.

Where a name cannot be held it is refused or encoded: as in URLs, ``%XX`` with upper-case digits for each byte of a character's UTF-8, and
for a ``%`` that two such digits follow. So ``decode`` gives back every name, encoded or not.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

from fileflux.errors import RefusedPathError
from fileflux.protocol.limits import MAX_NAME_BYTES
from fileflux.protocol.names import check_portable, check_relative

System = Literal["posix", "windows", "macos"]

_PERCENT: Final = re.compile(r"%(?=[0-9A-F]{2})")
_WINDOWS_CHARACTER: Final = re.compile(r'[\x00-\x1f<>:"|?*\\\udc80-\udcff]')
_NO_TEXT: Final = re.compile(r"[\udc80-\udcff]")
_SHORT_NAME: Final = re.compile(r"([^.~ ]{1,6})~([0-9]{1,2})(\.[^.]{1,3})?")
"""Windows gives long names such second ones: ``PROGRA~1`` may be another file there."""


def system_of(os_name: str) -> System:
    """By what an agent says of itself (``agent_info``, ``os``); a system that is not known is taken for a POSIX one."""
    name = os_name.strip().lower()
    if name.startswith("windows"):
        return "windows"
    return "macos" if name.startswith(("darwin", "macos")) else "posix"


def check_name(path: str, system: System) -> None:
    """Raises RefusedPathError unless every component of a relative path can be a file name there."""
    if system == "windows":
        for component in check_portable(path):
            if _SHORT_NAME.fullmatch(component):
                raise RefusedPathError(f"{component!r:.80} is what Windows may call another file")
    components = check_relative(path)
    if system != "posix" and any(_NO_TEXT.search(component) for component in components):
        raise RefusedPathError(f"{path!r:.200} is not UTF-8, which that system's names have to be")


def encode(path: str, system: System) -> str:
    """The name that stands for ``path`` there. Raises RefusedPathError when even that is too long."""
    encoded = "/".join(_encode_component(component, system) for component in check_relative(path))
    check_name(encoded, system)
    return encoded


def decode(path: str) -> str:
    """The inverse of ``encode``, whatever the system."""
    if "%" not in path:
        return path
    raw = path.encode("utf-8", "surrogateescape")
    plain = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), raw)
    return plain.decode("utf-8", "surrogateescape")


def destination_name(path: str, system: System, names: Literal["reject", "encode"]) -> str:
    """What a file of the source is called at the destination. Raises RefusedPathError when it cannot be held there."""
    if names == "encode":
        return encode(path, system)
    check_name(path, system)
    return path


def falls_together(system: System) -> bool:
    """Whether different names may be one there. A Linux disk that ignores case is not known to be one."""
    return system != "posix"


def fold(path: str, system: System) -> str:
    """Equal for names that are one there; rather for too many than for too few."""
    if system == "posix":
        return path
    if system == "macos":
        return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
    # NTFS compares character by character and does not normalise.
    return path.upper() if path.isascii() else "".join(map(_upper, path))


def _upper(character: str) -> str:
    upper = character.upper()
    return upper if len(upper) == 1 else character


def _encode_component(component: str, system: System) -> str:
    text = _PERCENT.sub("%25", component)
    if system == "posix":
        return text
    if system == "macos":
        return _NO_TEXT.sub(_escaped, text)
    text = _WINDOWS_CHARACTER.sub(_escaped, text)
    if text[-1] in ". ":
        text = text[:-1] + _escape(text[-1])
    if _SHORT_NAME.fullmatch(text):
        text = text.replace("~", "%7E", 1)
    try:
        check_portable(text)
    except RefusedPathError:
        if len(text.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
            raise
        # What is left is the name of a device.
        text = _escape(text[0]) + text[1:]
    return text


def _escaped(found: re.Match[str]) -> str:
    return _escape(found[0])


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
