"""Run a program of PostgreSQL so that it ends with the hub, as a user that is not root.

Run as a file of its own, by a fresh interpreter with the standard library only; it replaces itself by the program:

    launch.py PARENT_PID UID GID REACH… -- PROGRAM ARGUMENT…

- The kernel sends the program SIGINT (PostgreSQL's quick and clean stop) when the parent's thread that started it ends, however
  that happened. This is set after the change of user, which clears it.
- PostgreSQL refuses to run as root. As root this becomes UID and GID. When that user cannot get to one of the paths REACH because of a
  folder that is closed to others (/root, a new temporary folder), the program keeps the one capability that opens folders for passing and
  reading, CAP_DAC_READ_SEARCH, rather than having anybody's permissions loosened.

What goes wrong is said in one line on stderr, after MESSAGE_PREFIX, with exit code FAILED.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

assert sys.platform != "win32"  # noqa: S101  # for the type checker: nothing below exists there

FAILED = 78
MESSAGE_PREFIX = "fileflux: "

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def main(arguments: list[str]) -> NoReturn:
    """Does not return: becomes the program or exits."""
    split = arguments.index("--")
    parent, uid, gid = (int(number) for number in arguments[:3])
    reach, command = arguments[3:split], arguments[split + 1 :]
    # Its own session: Ctrl-C in the hub's terminal must not stop the database before the hub has stored how it ended.
    if os.getsid(0) != os.getpid():
        os.setsid()
    # PostgreSQL asks where it is, and the hub's folder may be closed to its user.
    os.chdir("/")
    os.umask(0o077)
    if os.geteuid() == 0:
        _become(uid, gid, [*reach, command[0]])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    # The parent may have ended before the line above.
    if os.getppid() != parent:
        _fail("the process that started it has ended")
    os.execv(command[0], command)  # noqa: S606  # nosec B606  # the hub's own arguments, and no shell is wanted


def _become(uid: int, gid: int, paths: list[str]) -> None:
    if sys.platform == "linux":
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([gid])
    # As root these set the saved ids too: there is no way back.
    os.setgid(gid)
    os.setuid(uid)
    # The change of user has emptied the effective set: from here to _keep only the plain rights of the user count.
    closed = next((folder for path in paths if (folder := _closed_folder(path)) is not None), None)
    if closed is None:
        if sys.platform == "linux":
            _keep(0)
        return
    if sys.platform != "linux" or not _keep(1 << _CAP_DAC_READ_SEARCH):
        _fail(
            f"the user with uid {uid}, as which PostgreSQL runs since it refuses to run as root, cannot enter {closed}, and the"
            " capability CAP_DAC_READ_SEARCH is not available here; choose another --data-dir, or run the hub as an ordinary user"
        )


def _closed_folder(path: str) -> str | None:
    """The topmost folder on the way to ``path``, or itself, that this user may not enter."""
    for folder in (*reversed(Path(path).parents), Path(path)):
        if not os.access(folder, os.X_OK):
            return str(folder)
    return None


def _keep(mask: int) -> bool:
    """Make ``mask`` the only capabilities of this process and of the program it becomes; False when they are not to be had."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    sets[0] = _Sets(mask, mask, mask)
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        return False
    if not mask:
        return True
    number = mask.bit_length() - 1
    return bool(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0) == 0)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        _fail(f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"{MESSAGE_PREFIX}{message}\n")
    sys.stderr.flush()
    os._exit(FAILED)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as problem:
        _fail(str(problem))
