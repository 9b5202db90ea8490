"""Tasks for the tests of the pool; loaded by its worker processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from fileflux.errors import ConflictError, RefusedPathError, TransferError

order: list[Any] = []


def make(init: dict[str, Any], arena: Any) -> dict[str, Any]:
    if init.get("broken"):
        raise RuntimeError("a secret detail")
    if init.get("dies"):
        os._exit(3)

    def fill(args: dict[str, Any]) -> dict[str, Any]:
        view = arena.view(*args["slot"])
        view[:] = bytes([args["byte"]]) * len(view)
        return {"length": len(view)}

    def hold(args: dict[str, Any]) -> dict[str, Any]:
        """Say that it is running, then wait for the file to be gone."""
        path = Path(args["path"])
        path.with_suffix(".running").touch()
        while path.exists():
            time.sleep(0.002)
        return {"pid": os.getpid()}

    def fail(args: dict[str, Any]) -> dict[str, Any]:
        raise {
            "transfer": TransferError("no room", code="no_space"),
            "refused": RefusedPathError("outside"),
            "conflict": ConflictError("there already"),
            "missing": FileNotFoundError(2, "No such file", "x\udcffy"),
            "bug": ZeroDivisionError("a secret detail"),
        }[args["how"]]

    def note(args: dict[str, Any]) -> dict[str, Any]:
        order.append(args["value"])
        return {"order": list(order)}

    return {
        "echo": lambda args: {**args, "pid": os.getpid()},
        "init": lambda args: {"init": init},
        "environment": lambda args: {"names": sorted(os.environ), "gevent": "gevent" in sys.modules},
        "files": lambda args: {"fds": sorted(int(name) for name in os.listdir("/proc/self/fd"))},
        "die": lambda args: os._exit(1),
        "big": lambda args: {"text": "x" * args["size"]},
        "odd": lambda args: {"value": object()},
        "fill": fill,
        "hold": hold,
        "fail": fail,
        "note": note,
    }


not_callable = 1
