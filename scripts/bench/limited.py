"""Real data over links of 25 MB/s, and one changed chunk of random data, beside rsync with zstd over a link of the same rate in the same run.

    python scripts/bench/limited.py [--mib 512] [--delta-mib 1024] [--rate 25] [--rounds 3] [--json FILE]

FileFlux: both hops limited, product defaults (``compression: auto``), ws without TLS, every chunk synced, SHA-256 at both ends. rsync: its one
hop limited, ``-az --zc=zstd``, ssh's default cipher, not synced. In random order; the ratio is the median of the pairs. The data is
what the machine's own programs and texts are.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import peers
from end_to_end import make_random, make_real
from rig import fresh, work_folder

from tests.faults.proxy import FaultProxy
from tests.faults.rules import Rule
from tests.integration.harness import Agent, Hub

MIB = 2**20
DEFAULTS = {"FLUX_AGENT_LIMITS_WINDOW_MAX": str(64 * MIB)}
HUB_DEFAULTS = {"FILEFLUX_LIMITS_WINDOW_MAX": str(64 * MIB)}
CHANGED = 8 * MIB


class Ours:
    """A hub and two agents, each behind a link of its own."""

    def __init__(self, folder: Path, rule: Rule) -> None:
        self.hub = Hub(folder, env=HUB_DEFAULTS).start()
        self.proxies = [FaultProxy(self.hub.port, rule=rule, seed=1, listen=f"127.0.0.{77 + side}") for side in (0, 1)]
        for proxy in self.proxies:
            proxy.__enter__()
        self.source, self.destination = (
            Agent(self.hub, name, folder, env=DEFAULTS, hub_url=proxy.url()).start()
            for name, proxy in zip(("source", "destination"), self.proxies, strict=True)
        )

    def move(self, file: Path, target: Path) -> tuple[float, int]:
        """Seconds, and bytes over the source's link."""
        job = self.hub.job(self.source.id, file, self.destination.id, f"{target}/")
        before, began = self.proxies[0].bytes_up, time.monotonic()
        run = self.hub.wait_ended(self.hub.run(job), 600)
        assert run["status"] == "succeeded", run
        return time.monotonic() - began, self.proxies[0].bytes_up - before

    def stop(self) -> None:
        for agent in (self.source, self.destination):
            agent.stop()
        self.hub.stop()
        for proxy in self.proxies:
            proxy.__exit__(None, None, None)


def zstd_ratio(file: Path, level: int) -> float:
    """How much smaller the codec makes it, chunk by chunk."""
    compressor = zstandard.ZstdCompressor(level=level)
    size = packed = 0
    with file.open("rb") as source:
        while chunk := source.read(8 * MIB):
            size += len(chunk)
            packed += len(compressor.compress(chunk))
    return size / packed


def rsync(ssh: peers.Ssh, port: int, source: Path, destination: Path, *options: str) -> float:
    shell = ssh.shell.replace(f"-p {ssh.port}", f"-p {port}")
    began = time.monotonic()
    command = ["rsync", "-az", "--zc=zstd", *options, "-e", shell, f"{source}", f"root@127.0.0.1:{destination}/"]
    subprocess.run(command, check=True)
    return time.monotonic() - began


def change(file: Path, size: int) -> None:
    """Another content in one chunk in the middle, and another time."""
    with file.open("r+b") as output:
        output.seek(size // 2 // CHANGED * CHANGED)
        output.write(random.randbytes(CHANGED))


def pairs(rounds: int, ours: Any, theirs: Any) -> tuple[float, float, float]:
    """Medians of both, and of the ratios pair by pair."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for who in random.sample(("ours", "theirs"), 2):
            times[who].append((ours if who == "ours" else theirs)())
    ratios = [peer / own for own, peer in zip(times["ours"], times["theirs"], strict=True)]
    return statistics.median(times["ours"]), statistics.median(times["theirs"]), statistics.median(ratios)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--delta-mib", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=25.0, help="MB/s of each link")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lacking = peers.missing()
    if lacking:
        raise SystemExit(f"not on this machine: {', '.join(lacking)}")
    size, delta_size, rate = options.mib * MIB, options.delta_mib * MIB, options.rate * 1e6
    folder = work_folder("limited", max(5 * size, 4 * delta_size))
    folder.chmod(0o755)
    rule = Rule.link(bandwidth=rate)
    ssh, ours = peers.Ssh(folder / "ssh"), Ours(folder, rule)
    peer_link = FaultProxy(ssh.port, rule=rule, seed=1, listen="127.0.0.1")
    try:
        with peer_link:
            rows = [
                measure(ours, ssh, peer_link, folder, size, rate, options.rounds),
                measure_delta(ours, delta_size, options.rounds),
            ]
    finally:
        ours.stop()
        ssh.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    return 0


def measure(
    ours: Ours, ssh: peers.Ssh, peer_link: FaultProxy, folder: Path, size: int, rate: float, rounds: int
) -> dict[str, Any]:
    """Text and binaries, beside rsync."""
    make_real(ours.source.read, size)
    file = ours.source.read / "real.bin"
    packs = zstd_ratio(file, 3)
    target, peer_target = ours.destination.write / "t", folder / "peer"

    def move() -> float:
        return ours.move(file, fresh(target))[0]

    def peer() -> float:
        return rsync(ssh, peer_link.port, file, fresh(peer_target))

    own, theirs, ratio = pairs(rounds, move, peer)
    limit = rate * packs
    print(
        f"{size // MIB} MiB of text and binaries, links of {rate / 1e6:.0f} MB/s; zstd 3 makes it {packs:.2f} times smaller"
    )
    print(
        f"  FileFlux {size / own / 1e6:6.1f} MB/s, {size / own / limit:.2f} of link x zstd 3 (required 0.9);"
        f" rsync -az --zc=zstd {size / theirs / 1e6:6.1f} MB/s; ratio {ratio:.2f} (required 1.0)"
    )
    file.unlink()
    shutil.rmtree(target)
    shutil.rmtree(peer_target)
    return {"work": "limited", "seconds": own, "rsync": theirs, "ratio": ratio, "of_limit": size / own / limit}


def measure_delta(ours: Ours, size: int, rounds: int) -> dict[str, Any]:
    """Random data, whole and then again and again with one chunk changed."""
    make_random(ours.source.read, size)
    file, target = ours.source.read / "random.bin", fresh(ours.destination.write / "t")
    whole, moved = ours.move(file, target)[0], []

    def again() -> float:
        change(file, size)
        seconds, bytes_up = ours.move(file, target)
        moved.append(bytes_up)
        return seconds

    delta = statistics.median(again() for _ in range(rounds))
    print(
        f"{size // MIB} MiB of random data: {whole:.1f} s; again with one chunk of {CHANGED // MIB} MiB changed: {delta:.2f} s, {whole / delta:.1f} times faster (required 10);"
        f" {max(moved) / CHANGED:.2f} chunks over the source's link (required 2)"
    )
    return {"work": "limited delta", "seconds": delta, "faster": whole / delta, "chunks": max(moved) / CHANGED}


if __name__ == "__main__":
    sys.exit(main())
