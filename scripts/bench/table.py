"""All benchmarks of the engine, one after the other, and their table in docs/performance.md.

    python scripts/bench/table.py [--json FOLDER] [--disk FOLDER]

Writes between the two marks of that page; everything else there is by hand. What takes long or needs thousands of agents is in ``make bench-load``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Row = tuple[str, str, str, bool]
"""The work, what was measured, what is required, and whether that holds."""


def end_to_end(what: str, required: float) -> Callable[[Any], list[Row]]:
    def rows(data: Any) -> list[Row]:
        made = []
        for one in data:
            ours, theirs = one["fileflux"], one["rsync"]
            unit = ("files_s", "files/s") if one["files"] > 1 else ("mb_s", "MB/s")
            speeds = f"{ours[unit[0]]:,.0f} {unit[1]}, rsync {theirs[unit[0]]:,.0f}"
            cpu = ours["cpu_s_per_gib"] / theirs["cpu_s_per_gib"]
            made.append(
                (what, f"**{one['ratio']:.2f}** ({speeds})", f"{required} times rsync", one["ratio"] >= required)
            )
            if one["files"] > 1 and one["disk"]:
                copied = one["ratio_cp"]
                made[-1] = (
                    what,
                    f"**{copied:.2f}** (of rsync {one['ratio']:.2f}; {speeds})",
                    "1.0 times `cp -r` and sync",
                    copied >= 1.0,
                )
            if one["files"] == 1 and not one["tls"] and not one["disk"]:
                passes = 3 if one["verify"] == "chunks" else 4
                of_ceiling = ours["mb_s"] / one["ceiling_mb_s"]
                limit = f"0.8 of what {passes} hash passes, two hops, read and write allow"
                made.append(
                    (
                        f"{what}: of the ceiling",
                        f"**{of_ceiling:.2f}** of {one['ceiling_mb_s']:.0f} MB/s",
                        limit,
                        of_ceiling >= 0.8,
                    )
                )
                made.append(
                    (
                        f"{what}: CPU seconds",
                        f"**{cpu:.2f}** ({ours['cpu_s_per_gib']:.1f} and {theirs['cpu_s_per_gib']:.1f} a GiB)",
                        "1.1 times rsync and ssh",
                        cpu <= 1.1,
                    )
                )
                made.append(
                    (
                        f"{what}: the hub alone",
                        f"**{one['hub_mb_s']:.0f} MB** per second of its CPU",
                        "1,000 MB/s",
                        one["hub_mb_s"] >= 1000,
                    )
                )
        return made

    return rows


def limited(data: Any) -> list[Row]:
    real, delta = data
    return [
        ("text and binaries, links of 25 MB/s", f"**{real['of_limit']:.2f}** of the link times zstd 3", "0.9", real["of_limit"] >= 0.9),
        ("the same beside `rsync -az --zc=zstd`", f"**{real['ratio']:.2f}**", "1.0", real["ratio"] >= 1.0),
        ("one chunk changed, links of 25 MB/s", f"**{delta['faster']:.1f}** times faster, {delta['chunks']:.2f} chunks sent", "10; 2 chunks", delta["faster"] >= 10 and delta["chunks"] <= 2),
    ]  # fmt: skip


def delta(data: Any) -> list[Row]:
    holds = data["ratio"] >= 1.3 and data["chunks"] <= 2
    return [("one chunk of 1 GiB changed, loopback", f"**{data['ratio']:.2f}** times faster, {data['chunks']:.2f} chunks sent", "1.3; 2 chunks", holds)]  # fmt: skip


def many(data: Any) -> list[Row]:
    fair, beside, memory = data
    return [
        (f"{fair['transfers']} equal transfers: Jain's index", f"**{fair['jain']:.2f}**", "0.9", fair["jain"] >= 0.9),
        (f"a quick pair beside {beside['slow']} slow transfers", f"**{beside['ratio']:.2f}** of its rate alone", "0.8", beside["ratio"] >= 0.8),
        (f"the hub's memory, {memory['transfers']} transfers", f"{memory['idle_mib']:.0f} + **{memory['above_mib']:.0f} MiB**", "256 MiB above idle", memory["above_mib"] <= 256),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="keep what was measured here")
    parser.add_argument("--disk", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")), help="a folder on a disk")
    options = parser.parse_args()
    folder = options.json or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    disk = ["--disk", str(options.disk / "fileflux-bench-disk")]
    big = "1 GiB random"
    works: list[tuple[str, list[str], Callable[[Any], list[Row]]]] = [
        ("random", ["end_to_end.py", "--rounds", "5", "--only", "random"], end_to_end(big, 1.1)),
        ("real", ["end_to_end.py", "--rounds", "5", "--only", "real"], end_to_end("1 GiB of text and binaries", 1.1)),
        ("full", ["end_to_end.py", "--rounds", "3", "--only", "random", "--verify", "full"], end_to_end(f"{big}, `verify: full`", 1.0)),
        ("wss", ["end_to_end.py", "--rounds", "3", "--only", "random", "--tls"], end_to_end(f"{big}, wss (TLS 1.3)", 1.0)),
        ("disk", ["end_to_end.py", "--rounds", "3", "--only", "random", *disk], end_to_end(f"{big} onto a disk; rsync with `sync -f`", 1.0)),
        ("small", ["end_to_end.py", "--rounds", "5", "--files", "10000", "--only", "small"], end_to_end("10,000 files of 4 KiB", 1.3)),
        ("small-disk", ["end_to_end.py", "--rounds", "3", "--files", "10000", "--only", "small", *disk], end_to_end("10,000 files of 4 KiB onto a disk", 1.0)),
        ("limited", ["limited.py", "--rounds", "1"], limited),
        ("delta", ["delta.py", "--rounds", "3"], delta),
        ("many", ["many.py", "--rounds", "3"], many),
    ]  # fmt: skip
    rows: list[Row] = []
    for name, command, read in works:
        began = time.monotonic()
        subprocess.run([sys.executable, str(HERE / command[0]), *command[1:], "--json", str(folder / name)], check=True)
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
        rows += read(json.loads((folder / name).read_text()))
    write(rows)
    if not options.json:
        shutil.rmtree(folder)
    return 0


def write(rows: list[Row]) -> None:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}"
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}; {machine}. The target is on tmpfs unless it says otherwise.",
        "",
        "| work | measured | required | holds |",
        "|---|---|---|---|",
        *(
            f"| {work} | {measured} | {required} | {'yes' if holds else 'no'} |"
            for work, measured, required, holds in rows
        ),
    ]
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
