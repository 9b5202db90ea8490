"""What single steps of the engine give: the product as it is beside copies of it with one thing changed, on the same file in one run.

    python scripts/bench/steps.py [--mib 1024] [--rounds 5] [--disk FOLDER] [--json FILE]

Each variant is a hub and two agents of its own, started from a copy of the sources in which one line differs; they move the same random file in
random order. The ratio is the variant's median to that of the product as it is: above 1 the variant is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from end_to_end import GIB, make_random
from rig import Rig, fresh, work_folder

ROOT = Path(__file__).resolve().parents[2]
EARLY = """
            import ctypes
            ctypes.CDLL(None).sync_file_range(self._fd, ctypes.c_int64(offset), ctypes.c_int64(len(view)), 2)
"""
BUFFERS = """
    for option in (32, 33):
        plain.setsockopt(socket.SOL_SOCKET, option, 8 * 1024 * 1024)
"""


@dataclass(frozen=True)
class Change:
    """``old`` in ``file`` becomes ``new``; an environment instead where there is a setting."""

    name: str
    file: str = ""
    old: str = ""
    new: str = ""
    env: tuple[tuple[str, str], ...] = ()


CHANGES = (
    Change("as it is"),
    Change(
        "pieces of 256 KiB instead of 1 MiB",
        env=(("FLUX_AGENT_LIMITS_PIECE_MAX", str(256 * 1024)), ("FILEFLUX_LIMITS_PIECE_MAX", str(256 * 1024))),
    ),
    Change(
        "malloc's own thresholds",
        "fileflux/actors/kernel/memory.py",
        'if sys.platform == "linux":',
        'if sys.platform == "none":',
    ),
    Change(
        "socket buffers of 8 MiB (SO_SNDBUFFORCE, SO_RCVBUFFORCE)",
        "fileflux/actors/kernel/descriptors.py",
        "    plain.setblocking(False)\n",
        "    plain.setblocking(False)\n" + BUFFERS,
    ),
    Change(
        "memory of frames not used again",
        "fileflux/protocol/websocket_frames.py",
        "if len(memory) == size and",
        "if False and",
    ),
    Change(
        "a turn of its own for the rest of a frame",
        "fileflux/protocol/websocket.py",
        "        budget = RECEIVE_REST\n",
        "        budget = 0\n",
    ),
    Change(
        "sync_file_range behind each write",
        "agent/flux_agent/files/posix.py",
        "                done += os.pwrite(self._fd, view[done:], offset + done)\n",
        "                done += os.pwrite(self._fd, view[done:], offset + done)\n" + EARLY,
    ),
)


def variant(folder: Path, change: Change) -> str:
    """A copy of the sources with the change; what has to stand in PYTHONPATH for it."""
    for part in ("fileflux", "agent"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    if change.file:
        path = folder / change.file
        text = path.read_text()
        if change.old not in text:
            raise SystemExit(f"{change.file} does not have {change.old!r} any more: mend scripts/bench/steps.py")
        path.write_text(text.replace(change.old, change.new, 1))
    return f"{folder}:{folder / 'agent'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", type=Path, help="a folder on a disk instead of tmpfs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    size = options.mib * 2**20
    folder = fresh(options.disk / "bench") if options.disk else work_folder("steps", 4 * size)
    source, destination = fresh(folder / "source"), fresh(folder / "destination")
    make_random(source, size)
    rigs: dict[str, Rig] = {}
    found: dict[str, list[tuple[float, float]]] = {change.name: [] for change in CHANGES}
    try:
        for number, change in enumerate(CHANGES):
            own = fresh(folder / f"v{number}")
            with patch.dict(os.environ, {"PYTHONPATH": variant(own, change), **dict(change.env)}):
                rigs[change.name] = Rig(own / "rig", source, destination)
        for _ in range(options.rounds + 1):
            for name in random.sample(list(rigs), len(rigs)):
                seconds, cpu, _ = rigs[name].move(source, fresh(destination / "t"))
                found[name].append((seconds, cpu))
    finally:
        for rig in rigs.values():
            rig.stop()
        shutil.rmtree(folder, ignore_errors=True)
    base = found[CHANGES[0].name]
    rows = []
    for name, times in found.items():
        # The first of each is for warming up.
        faster = statistics.median(own[0] / other[0] for own, other in zip(base[1:], times[1:], strict=True))
        cpu = statistics.median(one[1] for one in times[1:]) * GIB / size
        seconds = statistics.median(one[0] for one in times[1:])
        rows.append({"step": name, "faster": faster, "cpu_s_per_gib": cpu, "MB/s": size / seconds / 1e6})
        print(f"  {name:58} {faster:5.2f}  {size / seconds / 1e6:6.1f} MB/s  {cpu:5.2f} CPU s/GiB")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
