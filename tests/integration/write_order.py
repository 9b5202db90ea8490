"""What must come before what on the write path, checked in a record of system calls."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.integration.strace import Call, websocket_messages, worker_requests

SYNCS = ("fsync", "fdatasync", "syncfs")
RENAMES = ("rename", "renameat", "renameat2")
CHANGES = ("pwrite64", "pwritev", "write", "ftruncate", "fallocate", "copy_file_range", "fchmod", "utimensat")
NAMES = (
    *RENAMES,
    "open",
    "openat",
    "creat",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
)
WRITE_PATH = (*SYNCS, *CHANGES, *NAMES)


def check_acks(calls: list[Call], main: int) -> int:
    """Every chunk that is acknowledged was written, then synced, then acknowledged. Returns how many there were."""
    opened = {
        request["args"]["wire"]: (request["args"], call)
        for call, request in worker_requests(calls, main)
        if request.get("task") in ("sink_open", "bundle_write")
    }
    acked = 0
    for ack, message in websocket_messages(calls, main):
        if message["type"] != "chunk_ack":
            continue
        for item in message["payload"]["items"]:
            args, asked = opened[item["transfer_id"]]
            if "parts" in args:
                acked += check_bundle_ack(calls, args, ack)
                continue
            part = f"/.{args['part']}.fluxpart"
            for first, last in item["chunks"]:
                for index in range(first, last + 1):
                    start = index * args["chunk_size"]
                    writes = [
                        call
                        for call in calls
                        if call.name in ("pwrite64", "copy_file_range")
                        and call.path.endswith(part)
                        and start <= call.offset < start + args["chunk_size"]
                    ]
                    assert sum(call.result or 0 for call in writes) == min(args["chunk_size"], args["size"] - start)
                    written = max((call.end for call in writes), default=asked.end)
                    assert any(
                        call.name in SYNCS
                        and call.path.endswith(part)
                        and call.ok
                        and written < call.begin
                        and call.end < ack.begin
                        for call in calls
                    ), f"chunk {index} was acknowledged without a sync after its write"
                    acked += 1
    return acked


def check_bundle_ack(calls: list[Call], args: dict[str, Any], ack: Call) -> int:
    """Every part of the bundle was written, then all were synced, then the bundle was acknowledged. Returns how many there were."""
    for part, size in zip(args["parts"], args["sizes"], strict=True):
        name = f"/.{part}.fluxpart"
        changes = [call for call in calls if call.name in CHANGES and call.path.endswith(name)]
        assert sum(call.result or 0 for call in changes if call.name == "pwrite64") == size
        changed = max(call.end for call in changes)
        assert any(
            call.name == "syncfs" and call.ok and changed < call.begin and call.end < ack.begin for call in calls
        ), f"{part} was acknowledged without a sync after its write"
    return len(args["parts"])


def check_renames(calls: list[Call]) -> set[str]:
    """Every rename takes a part whose last change was synced. Returns the final names."""
    finals = set()
    for rename in calls:
        if rename.name not in RENAMES or not rename.ok:
            continue
        part, final = rename.paths
        assert part.endswith(".fluxpart")
        assert not final.endswith(".fluxpart")
        # A later attempt makes a part of the same name again; an open file is shown under the name that it has at that time.
        changed = max(
            call.end for call in calls if call.name in CHANGES and call.path == part and call.begin < rename.begin
        )
        assert not any(call.name in CHANGES and call.path == final for call in calls), f"{final} was changed in place"
        assert any(
            (call.name == "syncfs" or (call.name == "fsync" and call.path == part))
            and call.ok
            and changed < call.begin
            and call.end < rename.begin
            for call in calls
        ), f"{final} was not synced before it got its name"
        assert directory_synced(calls, final, rename.end), f"the name {final} was not synced"
        finals.add(final)
    return finals


def check_completions(calls: list[Call], main: int) -> set[str]:
    """``transfer_complete`` and ``bundle_complete`` leave when the names are on the disk. Returns the final paths."""
    finals = set()
    committed = {
        request["args"]["wire"]: [f"{request['args']['path']}/{name}" for name in request["args"]["names"]]
        for _, request in worker_requests(calls, main)
        if request.get("task") == "bundle_commit"
    }
    for complete, message in websocket_messages(calls, main):
        if message["type"] not in ("transfer_complete", "bundle_complete"):
            continue
        for item in message["payload"]["items"]:
            paths = [item["final_path"]] if "final_path" in item else committed[item["transfer_id"]]
            for path in paths:
                (rename,) = (call for call in calls if call.name in RENAMES and call.ok and call.paths[1] == path)
                assert directory_synced(calls, path, rename.end, complete.begin)
                finals.add(path)
    return finals


def directory_synced(calls: list[Call], name: str, after: int, before: int = 2**60) -> bool:
    return any(
        call.name == "fsync"
        and call.path == os.path.dirname(name)
        and call.ok
        and after < call.begin
        and call.end < before
        for call in calls
    )


def check_made_directories(calls: list[Call]) -> set[str]:
    """A directory's own name is on the disk before anything is made in it. Returns the directories that were made."""
    made = {call.paths[0]: call for call in calls if call.name == "mkdirat" and call.ok}
    for path, mkdir in made.items():
        used = min(
            (
                call.begin
                for call in calls
                if call.name == "mkdirat" or (call.name == "openat" and "O_CREAT" in call.args)
                if call.paths[0].startswith(f"{path}/")
            ),
            default=2**60,
        )
        assert directory_synced(calls, path, mkdir.end, used), f"the name {path} was not synced"
    return set(made)


def check_inside(calls: list[Call], root: Path) -> None:
    """Nothing was made, changed, renamed or removed outside the root, nor was that tried."""
    for call in calls:
        if call.name in NAMES and (
            not call.name.startswith("open") or "O_RDONLY" not in call.args or "O_CREAT" in call.args
        ):
            assert all(below(path, root) for path in call.paths), call
        # Standard output and error are the log.
        if call.name in CHANGES and call.path.startswith("/") and not call.args.startswith(("1<", "2<")):
            assert below(call.path, root), call


def below(path: str, root: Path) -> bool:
    return path == str(root) or path.startswith(f"{root}/")
