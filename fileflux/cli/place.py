r"""``AGENT:PATH``, or a path on this machine: how the two are told apart.

As scp does it: a place names an agent when it has a colon and no slash before the first one. So ``./a:b`` and ``/srv/a:b`` are files of this
machine, and so is ``report.pdf``. On Windows a backslash counts as a slash, and one letter with a colon and a slash behind it, as in
``C:\data``, is a drive.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from fileflux.errors import ConfigError

_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Place:
    """``agent`` is None for this machine."""

    agent: str | None
    path: str


def parse_place(text: str, *, windows: bool = os.name == "nt") -> Place:
    """Raises ConfigError for a place without a path."""
    before, colon, path = text.partition(":")
    local = not colon or "/" in before or (windows and ("\\" in before or _DRIVE.match(text) is not None))
    if local:
        if not text:
            raise ConfigError("an empty path; write AGENT:PATH, or a path on this machine")
        return Place(None, text)
    if not before or not path:
        raise ConfigError(f"{text!r} is not AGENT:PATH, as in web-1:/srv/data; a file of that name is ./{text}")
    return Place(before, path)


def parse_agent_place(text: str) -> tuple[str, str]:
    """A place that must be on an agent, as (agent, path). Raises ConfigError."""
    place = parse_place(text)
    if place.agent is None:
        raise ConfigError(f"{text!r} is not AGENT:PATH, as in web-1:/srv/data")
    return place.agent, place.path
