"""The system's own events of directories, through watchfiles. They are hints: what they name is looked at through the roots.

Each directory is watched by itself. A recursive watch would follow symbolic links, and so walk through whatever they lead to.
"""

from __future__ import annotations

import ntpath
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fileflux.errors import TransferError

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

ADDED: Final = 1
MODIFIED: Final = 2
DELETED: Final = 3
EVENTS_MAX: Final = 5000
"""Of one answer; of more it is only said that there were more."""
_REMOTE: Final = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "webdav", "9p", "afs", "ceph", "gfs2", "lustre", "ocfs2",
        "vboxsf", "vmhgfs", "prl_fs", "virtiofs", "fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.vmhgfs-fuse", "fuse.s3fs",
        "osxfuse", "macfuse", "davfs", "beegfs", "fuse.mergerfs",
    }
)  # fmt: skip
"""File systems that others change behind this system's back."""


def remote_file_system(path: str) -> str:
    """The type of the file system below ``path`` if its events may be missing here, else empty."""
    if path.startswith("\\\\") or ntpath.splitdrive(path)[0].startswith("\\\\"):
        return "a network share"
    import psutil

    best, found = -1, ""
    for mount in psutil.disk_partitions(all=True):
        point = mount.mountpoint.rstrip(os.sep)
        if (path == point or path.startswith(point + os.sep)) and len(point) >= best:
            best, found = len(point), mount.fstype.lower()
    return found if found in _REMOTE else ""


class Events:
    """Events of these directories from now on, gathered by a thread of the library until they are taken. Raises TransferError (no_events)."""

    def __init__(self, directories: Sequence[str]) -> None:
        # Loaded when a watch is asked for: most agents never have one.
        try:
            from watchfiles._rust_notify import RustNotify
        except ImportError as error:
            raise TransferError(f"watchfiles cannot be loaded here: {error}", code="no_events") from None
        try:
            self._notify: RustNotify = RustNotify(list(directories), False, False, 0, False, True)
        except FileNotFoundError:
            raise TransferError("a directory vanished while it was about to be watched", code="not_found") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise TransferError(f"the system gives no events: {_in_words(error)}", code="no_events") from None

    def take(self) -> list[tuple[int, str]]:
        """What came since the last time; waits for a moment only. Raises TransferError (no_events)."""
        try:
            found = self._notify.watch(1, 1, 1, None)
        except (OSError, RuntimeError, ValueError) as error:
            raise TransferError(f"the system gives no events any more: {_in_words(error)}", code="no_events") from None
        return [] if isinstance(found, str) else [(int(kind), path) for kind, path in found]

    def close(self) -> None:
        self._notify.close()


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    if "limit" in text or "No space left" in text or "os error 28" in text or "os error 24" in text:
        return f"its limit of watched directories is reached (Linux: fs.inotify.max_user_watches and max_user_instances) ({text})"
    return text
