"""Where the part of a transfer stands at its destination, so that it can be discarded."""

from __future__ import annotations

from fileflux.protocol import messages as m


def discards(
    destination_path: str, landing: m.Landing, name: str, final_path: str | None, part: str
) -> list[m.DiscardPartItem]:
    """What to tell the destination. ``final_path`` is None while it has not said where the file lands.

    The agent's own path rules apply to these paths, so they are taken apart by text, not by this system's rules.
    """
    if final_path is not None:
        directories = {_parent(final_path)}
    elif landing == "below":
        directories = {_parent(f"{destination_path}/{name}")}
    else:
        # Only the destination knows whether its path is a directory.
        directories = {_parent(f"{destination_path}/{name}"), _parent(destination_path)}
    return [m.DiscardPartItem(directory, part) for directory in sorted(directories) if directory]


def _parent(path: str) -> str:
    """Everything before the last separator of either kind of system."""
    cut = max(path.rfind("/"), path.rfind("\\"))
    return path[:cut] if cut > 0 else path[: cut + 1]
