"""1 GiB of random data beside magic-wormhole through its own relay, which is the peer of the same shape; over loopback, targets on tmpfs.

    python scripts/bench/wormhole.py --bin FOLDER [--mib 1024] [--rounds 3] [--json FILE]

``--bin``: where ``wormhole`` and ``twist`` are, with magic-wormhole, its mailbox server and its transit relay installed. Both of its sides
run with ``--no-listen``, so that all bytes go through the relay. It encrypts and does not sync; FileFlux: ws, SHA-256, synced.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from end_to_end import make_random
from rig import Rig, fresh, work_folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Wormhole:
    """The two servers, and one transfer per call of ``move``."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._wormhole = str(programs / "wormhole")
        mailbox, relay = free_port(), free_port()
        self._servers = [
            subprocess.Popen(
                [str(programs / "twist"), *command],
                cwd=fresh(folder / command[0]),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in (
                ["wormhole-mailbox", f"--port=tcp:{mailbox}:interface=127.0.0.1"],
                ["transitrelay", f"--port=tcp:{relay}:interface=127.0.0.1"],
            )
        ]
        self._options = [
            f"--relay-url=ws://127.0.0.1:{mailbox}/v1",
            f"--transit-helper=tcp:127.0.0.1:{relay}",
        ]
        self._count = 0
        for port in (mailbox, relay):
            self._wait(port)

    @staticmethod
    def _wait(port: int) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError("a server of magic-wormhole does not listen")

    def move(self, file: Path, target: Path) -> float:
        self._count += 1
        code = f"{self._count}-bench-mark"
        send = [self._wormhole, *self._options, "send", "--no-listen", "--hide-progress", f"--code={code}", str(file)]
        receive = [self._wormhole, *self._options, "receive", "--no-listen", "--hide-progress", "--accept-file", code]
        began = time.monotonic()
        with subprocess.Popen(send, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
            subprocess.run(receive, cwd=target, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if sender.wait(60):
                raise RuntimeError("wormhole send failed")
        return time.monotonic() - began

    def stop(self) -> None:
        for server in self._servers:
            server.terminate()
            server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = work_folder("wormhole", 5 * options.mib * 2**20)
    source, destination = fresh(folder / "source"), fresh(folder / "destination")
    make_random(source, options.mib * 2**20)
    file = source / "random.bin"
    peer = Wormhole(options.bin.resolve(), folder)
    rig = Rig(folder / "rig", source, destination)
    times: dict[str, list[float]] = {"fileflux": [], "wormhole": []}
    try:
        rig.move(source, fresh(destination / "warm"))
        for _ in range(options.rounds):
            for who in random.sample(("fileflux", "wormhole"), 2):
                target = fresh(destination / "data")
                seconds = rig.move(source, target)[0] if who == "fileflux" else peer.move(file, target)
                if (target / "random.bin").stat().st_size != file.stat().st_size:
                    raise RuntimeError(f"{who} did not move the file")
                times[who].append(seconds)
    finally:
        rig.stop()
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)
    ratio = statistics.median(theirs / ours for ours, theirs in zip(times["fileflux"], times["wormhole"], strict=True))
    size = options.mib * 2**20
    speeds = {who: size / statistics.median(spent) / 1e6 for who, spent in times.items()}
    print(
        f"{options.mib} MiB random: FileFlux {speeds['fileflux']:.0f} MB/s, magic-wormhole {speeds['wormhole']:.0f} MB/s; ratio {ratio:.2f} (required 1.5)"
    )
    if options.json:
        options.json.write_text(json.dumps({"ratio": ratio, **speeds}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
