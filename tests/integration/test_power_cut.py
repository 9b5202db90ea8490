"""The destination's machine loses power: what its disk holds then, and not what its memory held.

Its file system is a real one in an image file. A copy of that file, made while everybody is dead, is the disk as the power cut leaves it: what was
not synced was never written to it. Mounting the copy replays the journal, as the next start of the machine would.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from flux_agent.files.guard import is_part_name
from tests.agent.files.mounts import mounted
from tests.integration.harness import Agent, Hub, wait_for

MIB = 2**20
DISK = 320 * MIB
LARGE, SMALL = 4, 800
CUTS = 2


class Place:
    """A hub, a source, and a destination whose write root is a disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk.img"
        self.hub = Hub(folder).start()
        self.source = Agent(self.hub, "source", folder).start()
        self.destination = Agent(self.hub, "destination", folder)

    def stop(self) -> None:
        for part in (self.source, self.destination, self.hub):
            part.stop()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4 (e2fsprogs)")
    place = Place(tmp_path)
    try:
        with place.image.open("wb") as image:
            image.truncate(DISK)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(place.image)], check=True)
        # The journal is written when somebody syncs, and not in the middle of the copy because five seconds are over.
        with mounted("-o", "loop,commit=600", str(place.image), on=place.destination.write):
            place.destination.start()
            yield place
            place.destination.stop()
    finally:
        place.stop()


def cut(place: Place, copy: Path) -> None:
    """The destination's agent dies with the power; the disk is what ``copy`` holds."""
    workers = [psutil.Process(pid) for pid in place.destination.worker_pids()]
    place.destination.running.kill()
    for worker in workers:
        # It may have noticed.
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    psutil.wait_procs(workers, timeout=10)
    shutil.copyfile(place.image, copy)


def check(place: Place, copy: Path, content: dict[str, bytes], completed: set[str], mount: Path) -> int:
    """Every final name has its whole content, and what the hub calls completed is there. Returns the number of files."""
    with mounted("-o", "loop", str(copy), on=mount):
        found = {
            str(path.relative_to(mount / "to")): path.read_bytes()
            for path in (mount / "to").rglob("*")
            if path.is_file() and not is_part_name(path.name)
        }
    torn = [name for name, data in found.items() if data != content[name]]
    assert not torn, f"{len(torn)} of {len(found)} files are not whole, such as {torn[0]}: {len(found[torn[0]])} bytes"
    assert not completed - found.keys(), "the hub says that they are there"
    return len(found)


@pytest.mark.timeout(300)
def test_the_disk_of_a_power_cut_holds_whole_files_and_all_that_were_promised(place: Place, tmp_path: Path) -> None:
    content = {f"large-{number}.bin": os.urandom(24 * MIB) for number in range(LARGE)}
    content |= {f"small/{number}.txt": os.urandom(random.Random(number).randrange(1, 9000)) for number in range(SMALL)}
    (place.source.read / "small").mkdir()
    for name, data in content.items():
        (place.source.read / name).write_bytes(data)
    mount, copy = tmp_path / "after", tmp_path / "copy.img"
    mount.mkdir()
    hub, seen = place.hub, 0
    job = hub.job(
        place.source.id, place.source.read, place.destination.id, place.destination.write / "to", compression="none"
    )
    run = hub.run(job)
    whole = sum(map(len, content.values()))
    for number in range(CUTS):
        wanted = whole * (number + 1) // (CUTS + 1)
        wait_for(f"{wanted} bytes", lambda wanted=wanted: hub.show(run)["bytes_done"] >= wanted, 60)
        cut(place, copy)
        rows = hub.transfers(run)
        completed = {str(row["filename"]) for row in rows if row["status"] == "completed"}
        seen += check(place, copy, content, completed, mount)
        place.destination.start()
    assert hub.wait_ended(run, 60)["status"] == "succeeded"
    assert seen > 0, "every cut came before the first file"
    cut(place, copy)
    assert check(place, copy, content, set(content), mount) == len(content)
