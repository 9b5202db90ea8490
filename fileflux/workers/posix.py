"""How a worker process and its channel come to be on POSIX systems.

Plain ``subprocess`` over a socket pair: ``multiprocessing`` queues freeze every greenlet of a cooperative parent, and a fork without exec
would carry the parent's loop, locks and sockets into the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from typing import Final

from fileflux.workers.link import WorkerLink

NICE: Final = 10
"""Workers have work for every core that there is; who answers people and peers is served first (docs/decisions/0010-workers-give-way.md)."""
_PR_SET_PDEATHSIG: Final = 1
_MMAP_THRESHOLD: Final = 32 * 1024 * 1024
"""The most that glibc accepts. Below it every fresh buffer of a chunk would be mapped and faulted in anew, at a quarter of the speed."""


def start_child(arena: tuple[int, int] | None) -> tuple[subprocess.Popen[bytes], WorkerLink]:
    """Start ``fileflux.workers.child``; ``arena`` is (descriptor, size). Raises OSError.

    On Linux the child dies with the *thread* that calls this: it has to live as long as the child may.
    """
    ours, theirs = socket.socketpair()
    try:
        passed = [theirs.fileno()]
        arguments = [str(theirs.fileno()), str(os.getpid()), "-", "0"]
        if arena is not None:
            passed.append(arena[0])
            arguments[2:] = [str(arena[0]), str(arena[1])]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fileflux.workers.child", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=passed,
            env=_environment(),
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, WorkerLink(ours)


def attach(descriptor: int) -> WorkerLink:
    """The child's end of the channel."""
    sock = socket.socket(fileno=descriptor)
    # A cooperative parent made it non-blocking, and that goes with the descriptor.
    sock.setblocking(True)
    return WorkerLink(sock)


def give_way() -> None:
    """In the child: whatever else runs on this machine goes first, by NICE steps of the system's priority."""
    if sys.platform != "win32":  # for the type checker
        os.nice(NICE)


def live_only_with(parent: int) -> None:
    """In the child: ends with its parent, whatever the parent dies of, and leaves the keyboard's and the service manager's signals to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A service manager signals the whole group: the parent still needs its workers to finish what is in hand.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the request above; there is nobody to tell.
        os._exit(1)


def _environment() -> dict[str, str]:
    # Settings of the hub and the agent, secrets among them, are not for workers.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("FILEFLUX_", "FLUX_AGENT_"))}
    # The child finds modules where this process found them, and nowhere else: -P keeps the working directory out.
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109  # a string is needed
    environment["MALLOC_MMAP_THRESHOLD_"] = str(_MMAP_THRESHOLD)
    environment["MALLOC_TRIM_THRESHOLD_"] = str(2 * _MMAP_THRESHOLD)
    return environment
