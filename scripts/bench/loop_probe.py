"""Runs one of our commands with a clock on its main loop: ``loop_probe.py OUT COMMAND…``, OUT gets one JSON file per process.

A tracer of greenlet switches adds up the CPU time (time.thread_time) that the main thread spends between two switches. It is installed
in forked children too, so that the hub's server process is measured and not only its arbiter. SIGURG begins the measurement, a second
one ends it; the file is written when the process ends.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import sys
import time
from _thread import get_ident
from array import array

HELD = array("d")
LAST = [0.0]
# Taken before anything is patched: a patched get_ident tells greenlets apart, not threads.
MAIN = [get_ident()]
MEASURING = [False]


def trace(_event, _switch) -> None:
    if not MEASURING[0] or get_ident() != MAIN[0]:
        return
    now = time.thread_time()
    if len(HELD) < 5_000_000:
        HELD.append(now - LAST[0])
    LAST[0] = now


def install(out: str) -> None:
    import greenlet

    del HELD[:]
    MAIN[0] = get_ident()
    LAST[0] = time.thread_time()
    greenlet.settrace(trace)

    def write(*_) -> None:
        values = sorted(HELD)
        if values:
            result = {
                "pid": os.getpid(),
                "command": " ".join(sys.argv),
                "switches": len(values),
                "p50_ms": values[len(values) // 2] * 1000,
                "p999_ms": values[int(len(values) * 0.999)] * 1000,
                "max_ms": values[-1] * 1000,
                "worst_ms": [value * 1000 for value in values[-10:]],
            }
            with open(f"{out}.{os.getpid()}.json", "w") as file:
                json.dump(result, file)

    def toggle(*_) -> None:
        MEASURING[0] = not MEASURING[0]
        LAST[0] = time.thread_time()

    signal.signal(signal.SIGURG, toggle)
    atexit.register(write)


def main() -> None:
    out, module = sys.argv[1], sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    install(out)
    os.register_at_fork(after_in_child=lambda: install(out))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
