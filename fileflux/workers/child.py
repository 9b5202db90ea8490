"""The worker process: ``python -m fileflux.workers.child CHANNEL PARENT ARENA|- SIZE``, started by the pool only.

Plain Python without a loop: it takes one request after the other and answers each. The first message names the factory of its tasks.
Requests are ``{"id", "task", "args"}``; answers ``{"id", "value"}`` or ``{"id", "error": {"code", "message", "retryable"}}``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fileflux.errors import LocalProtocolError
from fileflux.workers.link import WorkerLink, encode
from fileflux.workers.slots import ArenaView
from fileflux.workers.tasks import Task, describe_error

if sys.platform == "win32":
    from fileflux.workers.windows import attach, give_way, live_only_with
else:
    from fileflux.workers.posix import attach, give_way, live_only_with

Factory = Callable[[dict[str, Any], ArenaView | None], Mapping[str, Task]]


def load_factory(name: str) -> Factory:
    """The function behind ``module:function``. Raises LocalProtocolError when there is none."""
    module, _, function = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise LocalProtocolError(f"no task factory {name}: {error}") from None
    if not callable(factory):
        raise LocalProtocolError(f"{name} is not a task factory")
    found: Factory = factory
    return found


def answer(tasks: Mapping[str, Task], request: dict[str, Any]) -> bytes:
    """Carry out one request; the encoded answer. Never raises an Exception: whatever goes wrong is an answer too."""
    number = request.get("id")
    try:
        task = tasks.get(str(request.get("task")))
        if task is None:
            raise LocalProtocolError(f"no task {request.get('task')!r}")
        return encode({"id": number, "value": task(request["args"])})
    except Exception as error:  # noqa: BLE001  # described for whoever asked
        return encode({"id": number, "error": describe_error(error)})


def serve(link: WorkerLink, arena: ArenaView | None) -> int:
    """Serve until the parent closes the channel; the exit code."""
    first = link.receive()
    if first is None:
        return 0
    try:
        tasks = load_factory(first["factory"])(first["init"], arena)
    except Exception as error:  # noqa: BLE001  # described for the pool
        link.send({"error": describe_error(error)})
        return 1
    link.send({"ready": True})
    while (request := link.receive()) is not None:
        link.send_encoded(answer(tasks, request))
    return 0


def main(arguments: Sequence[str]) -> int:
    channel, parent, arena, size = arguments
    live_only_with(int(parent))
    give_way()
    link = attach(int(channel))
    try:
        return serve(link, None if arena == "-" else ArenaView(int(arena), int(size)))
    except OSError:
        # The parent is gone; it took the answer's reader with it.
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
