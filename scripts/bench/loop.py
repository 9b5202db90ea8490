"""The loop rule: how long hub and agents hold their main loop while files move.

Prints, for each process, CPU time between two greenlet switches: p99.9 (limit 20 ms) and the longest (limit 50 ms), start-up left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from end_to_end import make_random, make_real, make_small
from rig import Rig, fresh, work_folder

P999_MS, MAX_MS = 20.0, 50.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--transport", default="auto")
    options = parser.parse_args()
    folder = work_folder("loop", 6 * options.mib * 2**20)
    out = fresh(folder / "out")
    source, destination = fresh(folder / "source"), fresh(folder / "destination")
    probe = [str(Path(__file__).resolve().parent / "loop_probe.py"), str(out / "loop")]
    rig = Rig(folder / "rig", source, destination, prefix=probe, transport=options.transport)
    try:
        make_random(fresh(source / "data"), options.mib * 2**20)
        make_real(source / "data", options.mib * 2**20)
        make_small(fresh(source / "data" / "small"), options.files)
        signal_all(rig, signal.SIGURG)
        rig.move(source / "data", fresh(destination / "data"))
        signal_all(rig, signal.SIGURG)
    finally:
        rig.stop()
    ok = True
    for path in sorted(out.glob("*.json")):
        result = json.loads(path.read_text())
        held = result["p999_ms"] <= P999_MS and result["max_ms"] <= MAX_MS
        ok = ok and held
        print(
            f"{result['command'][:60]:<60} {result['switches']:>9} switches  p50 {result['p50_ms']:6.3f} ms"
            f"  p99.9 {result['p999_ms']:6.2f} ms ({result['p999_ms'] / P999_MS:.2f} of the limit)"
            f"  max {result['max_ms']:6.2f} ms ({result['max_ms'] / MAX_MS:.2f})  {'ok' if held else 'TOO LONG'}"
        )
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if ok else 1


def signal_all(rig: Rig, number: int) -> None:
    """Only our Python main processes know these signals; workers and PostgreSQL are left alone."""
    for process in rig.trees():
        words = process.cmdline()
        if any("loop_probe.py" in word for word in words):
            os.kill(process.pid, number)


if __name__ == "__main__":
    sys.exit(main())
