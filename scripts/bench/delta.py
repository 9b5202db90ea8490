"""The same file again with one chunk changed, beside the whole file in the same run; over loopback, product defaults, target on tmpfs.

    python scripts/bench/delta.py [--mib 1024] [--rounds 5] [--json FILE]

Behind a limited link it is measured by ``limited.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from end_to_end import make_random
from rig import Rig, fresh, work_folder

MIB = 2**20
CHUNK = 8 * MIB


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = work_folder("delta", 6 * options.mib * MIB)
    source, destination = fresh(folder / "source"), fresh(folder / "destination")
    make_random(source, options.mib * MIB)
    file = source / "random.bin"
    rig = Rig(folder / "rig", source, destination)
    rounds = []
    try:
        rig.move(source, fresh(destination / "warm"))
        for number in range(options.rounds):
            target = fresh(destination / "data")
            whole, _, _ = rig.move(source, target)
            with file.open("r+b") as changed:
                changed.seek(number % (options.mib * MIB // CHUNK) * CHUNK + 1000)
                changed.write(os.urandom(1))
            again, cpu, run = rig.move(source, target)
            if (target / "random.bin").read_bytes() != file.read_bytes():
                raise RuntimeError("what was moved is not what is there")
            rounds.append({"whole": whole, "again": again, "cpu": cpu, "chunks": run["bytes_transferred"] / CHUNK})
    finally:
        rig.stop()
        shutil.rmtree(folder, ignore_errors=True)
    ratio = statistics.median(one["whole"] / one["again"] for one in rounds)
    chunks = max(one["chunks"] for one in rounds)
    whole, again = (statistics.median(one[name] for one in rounds) for name in ("whole", "again"))
    print(
        f"one chunk of {options.mib} MiB changed, loopback: {again:.2f} s instead of {whole:.2f} s, {chunks:.2f} chunks on the wire"
    )
    print(f"  {ratio:.2f} times faster (required: 1.3, and at most 2 chunks)")
    if options.json:
        options.json.write_text(json.dumps({"ratio": ratio, "chunks": chunks, "rounds": rounds}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
