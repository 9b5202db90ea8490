"""The memory of a process: freed blocks are kept, and what is there for good is left out of garbage collections.

A fresh 8 MiB allocation costs page faults that halve the throughput of a link.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
KEEP_BYTES: Final = 64 * 1024 * 1024


def keep_freed_memory() -> None:
    """Raise malloc's thresholds where the C library has them (glibc); elsewhere nothing happens. Once per process."""
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):
            return
        mallopt(M_MMAP_THRESHOLD, KEEP_BYTES // 2)
        mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)


def settle() -> None:
    """Call once when everything is loaded: what lives now lives as long as the process, and is not looked through again by the collector.

    A full collection of a hub took 40 to 60 ms of its loop, nearly all of it for modules and tables that never go away.
    """
    gc.collect()
    gc.freeze()
