"""Which hub this is, over its restarts: its leases are written in this name."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path

from fileflux.errors import ConfigError


def hub_id(data_dir: Path) -> uuid.UUID:
    """Of the hub with this data folder, which only one process uses at a time; made at its first start.

    The machine's name goes into it: two machines that start from copies of one folder are two hubs.
    """
    path = data_dir / "hub-id"
    try:
        kept = uuid.UUID(path.read_text("ascii").strip())
    except FileNotFoundError:
        kept = _make(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the hub's id in {path}: {error}; remove the file to have a new one made"
        ) from None
    return uuid.uuid5(kept, socket.gethostname())


def _make(path: Path) -> uuid.UUID:
    made = uuid.uuid4()
    written = path.with_name("hub-id.new")
    try:
        written.write_text(f"{made}\n", "ascii")
        written.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror}): the hub's data folder must be writable") from error
    return made
