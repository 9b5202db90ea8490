"""Opening the receiving end: where the file will stand, whether it is wanted there, and what of it is there already.

The first attempt applies the conflict policy here. A later one may find its own delivery at the final name, made just before a crash;
it finds out by content, so it decides when it commits (``sink_commit.py``).
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fileflux.errors import RefusedPathError, TransferError
from fileflux.protocol.frames import total_chunks
from fileflux.protocol.limits import MAX_PATH_BYTES
from fileflux.protocol.messages import MovedKind
from flux_agent.files import publish
from flux_agent.files.faults import naming, shown
from flux_agent.files.guard import is_part_name, part_name
from flux_agent.files.handles import Directory, File, Status
from flux_agent.files.roots import Place, Roots

Verdict = Literal["go", "equal", "skipped"]


@dataclass(frozen=True, slots=True)
class SinkHandle:
    """An opened sink for the other workers. ``components`` lead from the root to the final name.

    ``old``: device, inode, size, mtime and ctime of the file at the final name whose chunks are compared (basis ``final``).
    ``kind: symlink``: what arrives is the text of a link.
    """

    root: int
    components: list[str]
    token: str
    directory: list[int]
    part: str
    part_identity: list[int]
    size: int
    chunk_size: int
    basis: str | None
    old: list[int] | None
    kind: MovedKind = "file"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class OpenSink:
    """The open files of a sink."""

    def __init__(self, directory: Directory, part: File) -> None:
        self.directory = directory
        self.part = part
        self.old: File | None = None

    def close(self) -> None:
        self.part.close()
        self.directory.close()
        if self.old is not None:
            self.old.close()


def old_identity(status: Status) -> list[int]:
    """What tells one version of a file from another."""
    return [*status.identity, status.size, status.mtime_ns, status.ctime_ns]


def open_sink(roots: Roots, default_mode: int, args: dict[str, Any]) -> tuple[dict[str, Any], OpenSink | None]:
    """The value of ``sink_open``, and what was opened unless nothing is to be sent."""
    total = total_chunks(args["size"], args["chunk_size"])
    place = _final_place(roots, args)
    if args.get("kind") == "symlink" and args["size"] > MAX_PATH_BYTES:
        raise TransferError(f"{shown(place.path)}: no link has a text of {args['size']} bytes", code="refused_path")
    part = part_name(args["part"])
    existing: Status | None = None
    found = roots.find_directory(place.parent)
    if found is not None:
        with found, naming(place.path):
            existing = found.status_of(place.name)
            if existing is not None:
                roots.refuse_own(existing, place)
                verdict, place = _decide(found, existing, place, args)
                if verdict != "go":
                    return _value(verdict, place), None
                existing = found.status_of(place.name)
    directory = roots.open_directory(place.parent, create=True)
    file: File | None = None
    try:
        with naming(place.path):
            held = directory.status_of(part)
            # Holes are not filled here either.
            needed = min(args["size"], size if (size := args.get("allocated")) is not None else args["size"])
            publish.check_space(directory, needed, held.allocated if held is not None else 0, place.path)
            file, taken_over = publish.open_part(
                directory, part, (args["mode"] & publish.PERMISSIONS, default_mode), place.path
            )
            opened = OpenSink(directory, file)
            status = file.status()
            limit = args["size"] if args["have"] else 0
            if status.size > limit:
                # A part of an older version, or one that must not be believed.
                file.truncate(limit)
                status = file.status()
            basis, have, old = _basis(args, total, status if taken_over else None, existing)
            handle = SinkHandle(
                place.root.index,
                list(place.components),
                secrets.token_hex(8),
                list(directory.status().identity),
                part,
                list(status.identity),
                args["size"],
                args["chunk_size"],
                basis,
                old,
                args.get("kind", "file"),
            )
    except BaseException:
        if file is not None:
            file.close()
        directory.close()
        raise
    return _value("resume" if basis == "part" else "new", place, handle, have), opened


def _value(state: str, place: Place, handle: SinkHandle | None = None, have: int = 0) -> dict[str, Any]:
    return {
        "handle": None if handle is None else handle.to_json(),
        "state": state,
        "final_path": place.path,
        "basis": None if handle is None else handle.basis,
        "have_count": have,
    }


def _final_place(roots: Roots, args: dict[str, Any]) -> Place:
    path: str = args["path"]
    if args["final_path"]:
        place = roots.resolve(args["final_path"], write=True)
    elif args["landing"] == "onto" and not path.endswith("/") and not _is_directory(roots, path):
        place = roots.resolve(path, write=True)
    else:
        place = roots.resolve(path, args["name"], write=True)
    if not place.components:
        raise TransferError(f"{shown(place.path)} is a directory", code="not_regular")
    if is_part_name(place.name):
        raise RefusedPathError(f"{shown(place.path)} has the name of a part file")
    return place


def _is_directory(roots: Roots, path: str) -> bool:
    place = roots.resolve(path, write=True)
    if not place.components:
        return True
    parent = roots.find_directory(place.parent)
    if parent is None:
        return False
    with parent, naming(place.path):
        seen = parent.status_of(place.name)
    return seen is not None and seen.kind == "directory"


def _decide(directory: Directory, existing: Status, place: Place, args: dict[str, Any]) -> tuple[Verdict, Place]:
    """What stands at the final name and the job's policy: go on (perhaps under another name), or leave it."""
    conflict, first = args["conflict"], args["attempt"] <= 1
    if conflict == "rename" and args["final_path"] is None:
        # A name that was chosen before any frame could come was stored, so this one was never delivered to.
        if _is_equal(existing, args):
            return "equal", place
        name = publish.free_name(directory, place.name, place.path)
        return "go", Place(place.root, (*place.components[:-1], name))
    publish.check_replaceable(existing, directory.status(), place.path, args.get("kind", "file"))
    if first and _is_equal(existing, args):
        return "equal", place
    if not first and existing.size == args["size"]:
        # This may be the very file, delivered by an earlier attempt.
        return "go", place
    if conflict == "skip" or (conflict == "newer" and existing.mtime_ns >= args["mtime_ns"]):
        return "skipped", place
    if conflict in ("fail", "rename"):
        raise TransferError(f"{shown(place.path)} exists already", code="exists")
    if existing.kind == "file":
        publish.check_not_read_only(existing, place.path)
    return "go", place


def _is_equal(existing: Status, args: dict[str, Any]) -> bool:
    known = existing.kind, existing.size, existing.mtime_ns
    return known == (args.get("kind", "file"), args["size"], args["mtime_ns"])


def _basis(
    args: dict[str, Any], total: int, part: Status | None, existing: Status | None
) -> tuple[str | None, int, list[int] | None]:
    """What chunks are compared with: the part, the file at the final name or nothing; how many; which version of that file."""
    if not args["have"]:
        return None, 0, None
    if part is not None:
        return "part", _covered(part.size, args, total), None
    if existing is not None and existing.kind == "file":
        have = _covered(existing.size, args, total)
        return ("final", have, old_identity(existing)) if have else (None, 0, None)
    return None, 0, None


def _covered(held: int, args: dict[str, Any], total: int) -> int:
    """Chunks of the wanted file that ``held`` bytes hold in full length."""
    return total if held >= args["size"] else held // int(args["chunk_size"])
