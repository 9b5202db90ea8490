"""What a run would do with a file, given what stands at its place. Pure; the classes are those of ``storage/plans.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fileflux.jobs.models import JobSpec

Class = Literal["new", "changed", "equal", "extra", "refused"]

NAMES = {"file": "a file", "directory": "a directory", "symlink": "a symbolic link"}
BYTES_PER_S, FILES_PER_S = 1e6, 100.0
"""What is taken for a run's speed at least: the last runs may have had next to nothing to move, or one large file."""
SAID_MAX: Final = 20
"""Paths that warnings tell of one by one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry of a listing."""

    kind: str
    size: int
    mtime_ns: int


def judge(spec: JobSpec, here: Seen, there: Seen) -> tuple[Class, str]:
    """Class and reason of a file or directory of the source for which something stands at the destination."""
    if here.kind == "directory" and there.kind == "directory":
        return "equal", ""
    moved = "symlink" if here.kind == "symlink" and spec.symlinks == "copy" else "file"
    if here.kind == "directory" or there.kind != moved:
        return "refused", f"{NAMES.get(there.kind, 'no regular file')} stands at its place"
    if (here.size, here.mtime_ns) == (there.size, there.mtime_ns):
        return "equal", ""
    if spec.conflict == "skip":
        return "refused", "another file stands there (conflict: skip)"
    if spec.conflict == "fail":
        return "refused", "another file stands there (conflict: fail)"
    if spec.conflict == "newer" and there.mtime_ns >= here.mtime_ns:
        return "refused", "the file there is not older (conflict: newer)"
    if spec.conflict == "rename":
        return "changed", "gets another name (conflict: rename)"
    return "changed", f"kept as a version (keep_versions: {spec.keep_versions})" if spec.keep_versions else ""


def estimate(sums: Mapping[str, Sequence[int]], bytes_per_s: float, files_per_s: float) -> float:
    """Seconds that a run would take at this speed. Small files cost time by their number, and those that are equal are compared."""
    size = sums["new"][1] + sums["changed"][1]
    files = sums["new"][0] + sums["changed"][0] + sums["equal"][0]
    return max(size / max(bytes_per_s, BYTES_PER_S), files / max(files_per_s, FILES_PER_S))


@dataclass(frozen=True, slots=True)
class Listings:
    """What both listings said beside their entries. ``free``: bytes at the destination, None when its agent did not say."""

    source_errors: int = 0
    source_troubles: Sequence[str] = ()
    destination_errors: int = 0
    destination_troubles: Sequence[str] = ()
    is_directory: bool = True
    onto_file: bool = False
    alike: bool = False
    """The destination's system takes different names for one."""
    free: int | None = None


def warnings(spec: JobSpec, sums: Mapping[str, Sequence[int]], seen: Listings) -> list[str]:
    """What whoever runs this should know."""
    said = _troubles(seen.source_errors, seen.source_troubles, "at the source")
    said += _troubles(seen.destination_errors, seen.destination_troubles, "at the destination")
    if seen.onto_file and seen.is_directory:
        said.append("a file stands at the destination path, and a directory is to be moved there")
    size = sums["new"][1] + sums["changed"][1]
    if seen.free is not None and size > seen.free:
        said.append(f"the destination has {seen.free} bytes free, and {size} are to be written")
    if seen.alike:
        said.append(
            "the destination takes names that differ in upper and lower case for one; here they are compared as they are"
        )
    if spec.delete_extra:
        refused = _refusal(sums, seen)
        said += [f"nothing would be removed at the destination: {refused}"] if refused else []
    return said


def _troubles(count: int, texts: Sequence[str], where: str) -> list[str]:
    said = [f"could not be listed {where}: {text}" for text in texts[:SAID_MAX]]
    return [*said, f"{count - len(said)} more paths could not be listed {where}"] if count > len(said) else said


def _refusal(sums: Mapping[str, Sequence[int]], seen: Listings) -> str:
    """As a run refuses delete_extra, as far as it is known beforehand."""
    if not seen.is_directory:
        return "the source is not a directory"
    if seen.source_errors:
        return "the source's listing had errors"
    if seen.destination_errors:
        return "the destination's listing had errors"
    if sum(sums[name][0] for name in ("new", "changed", "equal", "refused")) == 0:
        return "the source is empty"
    if seen.alike:
        return "the destination takes different names for one"
    return ""
