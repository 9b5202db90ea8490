"""The chunk digest: SHA-256 over the raw chunk hashes in index order, taken as the row of known hashes grows."""

from __future__ import annotations

import hashlib

from fileflux.protocol.limits import HASH_SIZE


class ChunkDigest:
    """Collects the hashes of ``total`` chunks in any order; 33 bytes a chunk."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.prefix = 0
        """Chunks known without a gap from the first on."""
        self._hashes = bytearray(total * HASH_SIZE)
        self._known = bytearray(total)
        self._sha = hashlib.sha256()

    def add(self, index: int, sha: bytes) -> bool:
        """False when another hash is known for this chunk already; the known one stays."""
        if self._known[index]:
            start = index * HASH_SIZE
            return self._hashes[start : start + HASH_SIZE] == sha
        self.add_row(index, sha)
        return True

    def add_row(self, first: int, hashes: bytes) -> None:
        """The hashes of the chunks from ``first`` on, none of which is known yet."""
        count = len(hashes) // HASH_SIZE
        start = first * HASH_SIZE
        self._hashes[start : start + len(hashes)] = hashes
        self._known[first : first + count] = b"\1" * count
        if first == self.prefix:
            gap = self._known.find(0, first)
            end = self.total if gap < 0 else gap
            self._sha.update(memoryview(self._hashes)[start : end * HASH_SIZE])
            self.prefix = end

    def any_known(self, first: int, last: int) -> bool:
        return self._known.find(1, first, last + 1) >= 0

    def hash_of(self, index: int) -> str:
        """Hex; only for a chunk that is known."""
        return self._hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE].hex()

    @property
    def whole(self) -> bool:
        return self.prefix == self.total

    def hexdigest(self) -> str:
        """The digest; only once ``whole``."""
        return self._sha.hexdigest()
