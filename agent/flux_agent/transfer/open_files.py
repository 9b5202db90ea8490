"""Files that a worker keeps open between the tasks of a transfer, and whole-file hashes that go on from task to task.

Both are only memory: any worker can open any file again from its handle, and a hash that was lost starts over. So they are bounded, and
what was not used for longest goes first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from xxhash import xxh3_128

from fileflux.errors import TransferError
from fileflux.protocol.frames import total_chunks
from fileflux.protocol.limits import MIB
from flux_agent.files.links import SourceFile

OPEN_MAX: Final = 32
"""Transfers with open files in one worker; each has up to three descriptors."""
HASHES_MAX: Final = 1024
READ_STEP: Final = MIB
HASH_TASK_MAX: Final = 256 * MIB
"""One task hashes no more than this, about 0.2 s, also when it has to start over."""


class Closeable(Protocol):
    def close(self) -> None: ...


class Digest(Protocol):
    """What ``hashlib`` and ``xxhash`` make."""

    def update(self, data: memoryview, /) -> None: ...


T = TypeVar("T", bound=Closeable)
Key = tuple[int, str]
"""Wire id, and what tells it from the same number of another hub process."""


class OpenFiles(Generic[T]):
    """Open files by wire id."""

    def __init__(self) -> None:
        self._open: OrderedDict[Key, T] = OrderedDict()

    def get(self, key: Key, reopen: Callable[[], T]) -> T:
        """What is open under ``key``; opened by ``reopen`` if nothing is."""
        found = self._open.get(key)
        if found is None:
            found = reopen()
            self.put(key, found)
        self._open.move_to_end(key)
        return found

    def put(self, key: Key, opened: T) -> None:
        """Keep it; it is closed by ``close`` or when its place is needed."""
        self._open[key] = opened
        while len(self._open) > OPEN_MAX:
            _, oldest = self._open.popitem(last=False)
            oldest.close()

    def close(self, wire: int) -> None:
        """Close what is open for this wire id."""
        for key in [key for key in self._open if key[0] == wire]:
            self._open.pop(key).close()


class _State:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.position = 0


class FileHashes:
    """SHA-256 of whole files, taken chunk by chunk in order."""

    def __init__(self) -> None:
        self._states: OrderedDict[Key, _State] = OrderedDict()
        self._buffer = bytearray(READ_STEP)

    def advance(
        self, key: Key, file: SourceFile, size: int, chunk_size: int, upto: int, short_code: str
    ) -> tuple[int, str | None]:
        """Hash on to chunk ``upto`` or as far as one task may go: how many chunks are in now, and the hash once all are.

        Raises TransferError(short_code) when the file ends too early.
        """
        total = total_chunks(size, chunk_size)
        state = self._states.setdefault(key, _State())
        self._states.move_to_end(key)
        if len(self._states) > HASHES_MAX:
            self._states.popitem(last=False)
        goal = min(upto, total, state.position + max(1, HASH_TASK_MAX // chunk_size))
        if goal > state.position:
            start, end = state.position * chunk_size, min(goal * chunk_size, size)
            try:
                self.feed(state.hash, file, start, end - start, short_code)
            except BaseException:
                del self._states[key]
                raise
            state.position = goal
        return state.position, state.hash.hexdigest() if state.position == total else None

    def forget(self, wire: int) -> None:
        """Drop what was begun for this wire id."""
        for key in [key for key in self._states if key[0] == wire]:
            del self._states[key]

    def digest(self, file: SourceFile, start: int, length: int, short_code: str) -> bytes:
        """SHA-256 of a part of a file. Raises TransferError(short_code) when the file ends too early."""
        fresh = hashlib.sha256()
        self.feed(fresh, file, start, length, short_code)
        return fresh.digest()

    def fingerprints(self, file: SourceFile, start: int, length: int, short_code: str) -> tuple[bytes, bytes]:
        """SHA-256 and XXH3-128 of a part of a file, read once. Raises as ``digest``."""
        sha, quick = hashlib.sha256(), xxh3_128()
        self.feed(sha, file, start, length, short_code, lambda view, _offset: quick.update(view))
        return sha.digest(), quick.digest()

    def feed(
        self,
        into: Digest,
        file: SourceFile,
        start: int,
        length: int,
        short_code: str,
        each: Callable[[memoryview, int], Any] | None = None,
    ) -> None:
        """As ``digest``, into a hash of the caller's; ``each`` gets every read part and its offset."""
        done = 0
        with memoryview(self._buffer) as buffer:
            while done < length:
                with buffer[: min(READ_STEP, length - done)] as view:
                    if file.read_into(view, start + done) < len(view):
                        raise TransferError(f"the file ends before byte {start + length}", code=short_code)
                    into.update(view)
                    if each is not None:
                        each(view, start + done)
                    done += len(view)
