"""End to end: FileFlux from agent to agent through the hub, beside ``rsync -a`` over ssh on the same files in the same run.

Prints MB/s, CPU seconds per GiB and the ratio of the medians, pair by pair in random order. FileFlux: ws without TLS, every chunk and file
hashed, synced before it is acknowledged. rsync: ssh's default cipher, not synced, or with ``--disk`` followed by ``sync -f``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers
from ceiling import ceiling
from rig import Rig, fresh, work_folder

GIB = 2**30
REAL_PLACES = ("/usr/lib", "/usr/share", "/usr/bin", "/usr/include")


def make_random(folder: Path, size: int) -> None:
    with (folder / "random.bin").open("wb") as file:
        for _ in range(size // 2**20):
            file.write(os.urandom(2**20))


def make_real(folder: Path, size: int) -> None:
    """One file of text and binaries as they are on this machine, in pieces of a fixed order."""
    left = size
    with (folder / "real.bin").open("wb") as output:
        while left > 0:
            for place in REAL_PLACES:
                for parent, folders, files in os.walk(place):
                    folders.sort()
                    for name in sorted(files):
                        path = Path(parent) / name
                        if left <= 0 or path.is_symlink() or not path.is_file() or path.stat().st_size > 64 * 2**20:
                            continue
                        data = path.read_bytes()[:left]
                        output.write(data)
                        left -= len(data)


def make_small(folder: Path, count: int) -> None:
    chance = random.Random(1)
    for number in range(count):
        parent = folder / f"{number // 500:03d}"
        parent.mkdir(exist_ok=True)
        (parent / f"{number:05d}.dat").write_bytes(chance.randbytes(4096))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=1024, help="size of the two large files")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--only", choices=("random", "real", "small"))
    parser.add_argument("--verify", choices=("chunks", "full"), default="chunks")
    parser.add_argument("--tls", action="store_true", help="wss instead of ws")
    parser.add_argument("--disk", type=Path, help="a folder on a disk instead of tmpfs; rsync is followed by sync -f")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = fresh(options.disk / "bench") if options.disk else work_folder("e2e", 6 * options.mib * 2**20)
    lacking = peers.missing()
    if lacking:
        print(f"not on this machine: {', '.join(lacking)}; the rows of rsync stay empty")
    rows = []
    ssh = None if lacking else peers.Ssh(folder / "ssh")
    source, destination = fresh(folder / "source"), fresh(folder / "destination")
    rig = Rig(folder / "rig", source, destination, tls=options.tls)
    try:
        works = {
            "random": lambda path: make_random(path, options.mib * 2**20),
            "real": lambda path: make_real(path, options.mib * 2**20),
            "small": lambda path: make_small(path, options.files),
        }
        for name, make in works.items():
            if options.only in (None, name):
                rows.append(measure(name, make, rig, ssh, source, destination, folder, options))
    finally:
        rig.stop()
        if ssh is not None:
            ssh.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    return 0


def measure(name, make, rig, ssh, source, destination, folder, options) -> dict:
    data = fresh(source / name)
    make(data)
    files = [path for path in data.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    for path in files:
        path.read_bytes()
    ours, theirs, ratios, copies, hub, limits = [], [], [], [], [], []
    for _ in range(options.rounds):
        pair = {}
        order = ["fileflux"] + (["rsync"] if ssh else []) + (["cp"] if options.disk else [])
        random.shuffle(order)
        for who in order:
            target = fresh(destination / name)
            if who == "fileflux":
                hub_before = rig.hub_cpu()
                wall, cpu, run = rig.move(data, target, verify=options.verify)
                hub.append(rig.hub_cpu() - hub_before)
                limits.append(ceiling(folder, 3 if options.verify == "chunks" else 4))
                if len(files) > 1:
                    wall = rig.until_last_file(run)
            elif who == "rsync":
                wall, cpu = ssh.rsync(data, target, sync=bool(options.disk))
            else:
                wall, cpu = copy(data, target), 0.0
            pair[who] = wall
            if who != "cp":
                (ours if who == "fileflux" else theirs).append((wall, cpu))
        if options.disk:
            copies.append(pair["cp"] / pair["fileflux"])
        if ssh:
            ratios.append(pair["rsync"] / pair["fileflux"])
    shutil.rmtree(data)
    shutil.rmtree(destination / name, ignore_errors=True)
    row = {
        "work": name,
        "tls": options.tls,
        "verify": options.verify,
        "ceiling_mb_s": statistics.median(limits),
        "hub_mb_s": size / statistics.median(hub) / 1e6,
        "disk": bool(options.disk),
        "files": len(files),
        "bytes": size,
        "ratio": statistics.median(ratios) if ratios else None,
        "ratio_cp": statistics.median(copies) if copies else None,
    }
    for who, times in (("fileflux", ours), ("rsync", theirs)):
        if times:
            wall = statistics.median(time for time, _ in times)
            row[who] = {
                "seconds": wall,
                "mb_s": size / wall / 1e6,
                "files_s": len(files) / wall,
                "cpu_s_per_gib": statistics.median(cpu for _, cpu in times) / (size / GIB),
            }
    report(row)
    return row


def copy(source: Path, target: Path) -> float:
    began = time.monotonic()
    subprocess.run(["cp", "-r", f"{source}/.", str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)
    return time.monotonic() - began


def report(row: dict) -> None:
    where = "disk" if row["disk"] else "tmpfs"
    print(f"\n{row['work']}: {row['files']} files, {row['bytes'] / 2**20:.0f} MiB, target on {where}")
    link = "wss, TLS 1.3" if row["tls"] else "ws, no TLS"
    synced = "then sync -f" if row["disk"] else "not synced"
    for who, how in (("fileflux", f"{link}, synced, SHA-256"), ("rsync", f"ssh default cipher, {synced}")):
        if who in row:
            values = row[who]
            print(
                f"  {who:<9} {values['mb_s']:7.1f} MB/s {values['files_s']:8.0f} files/s"
                f" {values['cpu_s_per_gib']:7.2f} CPU s/GiB   ({how})"
            )
        else:
            print(f"  {who:<9} -")
    if row["ratio"] is not None:
        print(f"  ratio to rsync: {row['ratio']:.2f}")
    if row["ratio_cp"] is not None:
        print(f"  ratio to cp -r and sync -f, without a network: {row['ratio_cp']:.2f}")
    if row["files"] == 1 and "fileflux" in row:
        of_ceiling = row["fileflux"]["mb_s"] / row["ceiling_mb_s"]
        print(
            f"  {of_ceiling:.2f} of {row['ceiling_mb_s']:.0f} MB/s, which the primitives of this run allow (ceiling.py, verify: {row['verify']});"
            f" the hub relays {row['hub_mb_s']:.0f} MB per second of its CPU"
        )


if __name__ == "__main__":
    sys.exit(main())
