"""What the doctor says of the roots. Looks at file systems, which may hang: inside a running agent a worker does it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from flux_agent.doctor_report import Check

CONFIGURATION: Final = 2
"""Exit code: the configuration has to be changed."""


def check_roots(roots: Iterable[tuple[str, bool, bool]]) -> list[Check]:
    """A check for each root, given as path, readable and writable."""
    checks = [_root(Path(path), read=read, write=write) for path, read, write in roots]
    return checks or [
        Check("root", "warn", "this agent may touch no directory", "add --read DIR and --write DIR"),
    ]


def _root(path: Path, *, read: bool, write: bool) -> Check:
    rights = " and ".join(name for name, given in (("read", read), ("write", write)) if given)
    if not path.is_dir():
        return Check(
            "root", "fail", f"{path} ({rights}) is not a directory", "make it, or correct the path", CONFIGURATION
        )
    missing = [
        name
        for name, wanted, mode in (("readable", read, os.R_OK | os.X_OK), ("writable", write, os.W_OK | os.X_OK))
        if wanted and not os.access(path, mode)
    ]
    if missing:
        advice = "give this user the permission, or run the agent as another"
        return Check("root", "fail", f"{path} is not {' and not '.join(missing)} for this user", advice, CONFIGURATION)
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Check("root", "fail", f"{path}: {error.strerror}", "check the file system", CONFIGURATION)
    found = f"{path} ({rights}), {free / 2**30:.1f} GiB free"
    return Check("root", "ok", found) if free or not write else Check("root", "warn", found, "the disk is full")
