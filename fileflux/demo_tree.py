"""The demo's source tree, and the comparison of two trees that its verdict rests on."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

BIG_FILE = "big-file.bin"
BIG_SIZE = 300 * 2**20
BLOCK = 2**20
SKIPPED_FOLDERS = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})


@dataclass(frozen=True, slots=True)
class Made:
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Difference:
    path: str
    what: str


def make_source(folder: Path, console: Console) -> Made:
    """Fill ``folder`` with the interpreter's own modules and one large file, half of it compressible. What is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / BIG_FILE).exists():
        with console.status("making the sample files"):
            _copy_modules(folder / "python")
            (folder / "empty-folder").mkdir(exist_ok=True)
            (folder / "empty-file").touch()
            _make_big_file(folder / BIG_FILE)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Made(len(sizes), sum(sizes))


def _copy_modules(target: Path) -> None:
    library = Path(sysconfig.get_paths()["stdlib"])
    for parent, folders, files in os.walk(library):
        folders[:] = [
            name for name in folders if name not in SKIPPED_FOLDERS and not (Path(parent) / name).is_symlink()
        ]
        for name in files:
            path = Path(parent) / name
            if path.suffix == ".py" and not path.is_symlink():
                copy = target / path.relative_to(library)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)


def _make_big_file(path: Path) -> None:
    """Random and repetitive blocks in turn; complete at once or not there, so that an interrupted demo starts it again."""
    unfinished = path.with_suffix(".unfinished")
    words = [b"%08x transfer of a line of text that repeats itself now and then\n" % number for number in range(4096)]
    chance = random.Random(7)  # noqa: S311  # nosec B311  # sample data, no secret
    with unfinished.open("wb") as file:
        for number in range(BIG_SIZE // BLOCK):
            if number % 2:
                file.write(os.urandom(BLOCK))
            else:
                text = b"".join(chance.choices(words, k=BLOCK // 60 + 1))
                file.write(text[:BLOCK].ljust(BLOCK))
    unfinished.rename(path)


def compare_trees(source: Path, destination: Path) -> list[Difference]:
    """What differs: names, kinds, content, mode, mtime, of files and of folders below both roots. Symbolic links are left out."""
    left, right = dict(_entries(source)), dict(_entries(destination))
    found = [Difference(path, "missing at the destination") for path in sorted(left.keys() - right.keys())]
    found += [Difference(path, "only at the destination") for path in sorted(right.keys() - left.keys())]
    for path in sorted(left.keys() & right.keys()):
        what = _difference(source / path, left[path], destination / path, right[path])
        if what:
            found.append(Difference(path, what))
    return found


def _entries(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(parent) / name
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode):
                yield str(path.relative_to(root)), status


def _difference(left: Path, a: os.stat_result, right: Path, b: os.stat_result) -> str:
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        return "another kind of entry"
    if stat.S_IMODE(a.st_mode) != stat.S_IMODE(b.st_mode):
        return f"mode {stat.S_IMODE(b.st_mode):o} instead of {stat.S_IMODE(a.st_mode):o}"
    if a.st_mtime_ns != b.st_mtime_ns:
        return "another modification time"
    if stat.S_ISREG(a.st_mode) and (a.st_size != b.st_size or _digest(left) != _digest(right)):
        return "other content"
    return ""


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
