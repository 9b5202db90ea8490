"""What an agent's workers do: all work on files, so that the main process never reads or writes one.

``agent_tasks`` is the factory for the worker pool (``flux_agent.transfer.tasks:agent_tasks``). A task takes a dict of plain values and
returns one; it raises TransferError. ``wire`` is the transfer's wire id, ``slot`` is ``[offset, length]`` in the shared memory, hashes are
hex. A ``handle`` comes from ``*_open`` and goes unchanged into every later task of that transfer, which may then run in any worker: each
opens the file itself and makes sure that it is the same one. Listings alone, and whole-file hashes for speed, need the same worker
throughout. Paths are text as ``os.fsdecode`` gives it.

| task | arguments | value |
|---|---|---|
| source_open | wire, path, name, chunk_size, prefix, kind, follow | handle, size, mtime_ns, mode, identity, allocated (bytes on the disk, of a file with holes; else None) |
| source_chunk | wire, handle, index, have (hash or None), compression, effort (of `auto`), slot (57 bytes + chunk) | sha, size, same, frame (bytes in the slot, 0 if same), compression, times {read, hash, compress} in µs |
| source_compare | wire, handle, first, count | hashes (one after the other), times {read, hash} in µs |
| source_hash, sink_hash | wire, handle, upto (chunks) | position (chunks hashed; may be short of upto: call again), sha256 or None before the end |
| source_check | wire, handle | nothing; source_changed |
| source_close | wire | nothing |
| sink_open | wire, path, name, landing, part, size, mtime_ns, mode, chunk_size, conflict, preserve_mtime, attempt, final_path or None, have, kind, allocated or None | handle, state, final_path, basis, have_count; handle is None when state is equal or skipped |
| sink_have | wire, handle, first, count | hashes (one after the other), quick (XXH3-128 of the same chunks) |
| sink_write | wire, handle, slot (the frame) | index, size, sha; or nack (reason), index (-1: the header cannot be read) |
| sink_copy | wire, handle, index, quick | nothing; stale_have |
| sink_sync | wire, handle | nothing; after an error the part is removed: close, and open a new attempt |
| sink_commit | wire, handle, size, file_sha256 or None, ours, mtime_ns, mode, preserve_mtime, preserve_mode, conflict, attempt, reread, keep_versions | sha256, size, final_path, delivered (an earlier attempt had done it) |
| sink_close | wire, handle or None, discard | nothing |
| bundle_read | wire, path, names, sizes, mtimes, compression, effort, slot (57 bytes + all sizes) | as source_chunk; alone (indexes of files that are not what was listed; zeros stand there) |
| bundle_open | path, names, sizes, mtimes, conflict, repeated | path, states (new, equal, skipped, alone), one for each file |
| bundle_write | wire, path, names, sizes, mtimes, modes, parts, preserve_mtime, preserve_mode, slot (the frame) | sha, digests, identities (of the parts), all synced; or nack (reason) |
| bundle_commit | path, names, sizes, mtimes, parts, identities, conflict, repeated, alone | alone (indexes of files that were not published) |
| bundle_discard | path, names, parts | nothing; what is missing is no error |
| discard_part | directory, part | nothing; what is missing is no error |
| dir_apply | base, items [{path, mode or None, mtime_ns or None}] | errors [{path, code, message}] |
| delete_paths | base, items [{path, directory, size, mtime_ns}] | errors [{path, code, message}] of those that stay |
| release | path, archive, again, items [{name, on_success, identity}] | answers [{code, message}], one for each item |
| list_page | request_id, path, page, page_size, rules {include, exclude, recursive, min_age_s, symlinks}, destination or None, on_success, archive, write | the fields of ListResult; worker_died: its earlier pages were another worker's |
| list_cancel | request_id | nothing |
| browse | path ("": the roots), after (a name or None), limit | path, parent ("": the roots; None: there is nothing above), items [{name, kind, size, mtime_ns, mode, read, write}], following (a name or None) |
| watch_scan | watch, first, rules; with first also path, destination or None, on_success, archive, marker | last, files [[path, size, mtime_ns]]; with last also base, path_type, directories (absolute) |
| watch_open | watch, directories | nothing; no_events: the system gives none here |
| watch_events | watch | events [[1 added, 2 changed or 3 gone, absolute path]], more (some are missing) |
| watch_look | watch, paths | sights [[kind, size, mtime_ns, ctime_ns, mode, young_s, marked] or None], one for each path |
| watch_end | watch | nothing |
| check_roots | nothing | checks [{status, found, advice}] of each root, for `flux-agent doctor` |
| disk_usage | nothing | roots [{path, read, write, total, free}] |
"""  # noqa: E501  # a table's rows cannot be broken

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fileflux.clock import SystemClock
from fileflux.errors import RefusedPathError, RemoteProtocolError, TransferError
from fileflux.workers.slots import ArenaView
from fileflux.workers.tasks import Task, describe_os_error
from flux_agent.files.roots import Roots
from flux_agent.transfer.bundle_tasks import BundleTasks
from flux_agent.transfer.delete_tasks import DeleteTasks
from flux_agent.transfer.release_tasks import ReleaseTasks
from flux_agent.transfer.sink_tasks import SinkTasks
from flux_agent.transfer.source_tasks import SourceTasks
from flux_agent.transfer.tree_tasks import TreeTasks
from flux_agent.watch.tasks import WatchTasks


def agent_tasks(init: dict[str, Any], arena: ArenaView | None) -> Mapping[str, Task]:
    """The tasks of an agent with these ``read`` and ``write`` roots; its own paths are ``protected`` and ``program``.

    Raises ConfigError for roots that are not absolute paths.
    """
    roots = Roots(init["read"], init["write"], init.get("protected", ()), init.get("program", ()))
    source = SourceTasks(roots, arena, SystemClock())
    sink = SinkTasks(roots, arena)
    tree = TreeTasks(roots)
    bundle = BundleTasks(roots, arena, SystemClock())
    watch = WatchTasks(roots)
    tasks: dict[str, Task] = {
        "source_open": source.open,
        "source_chunk": source.chunk,
        "source_compare": source.compare,
        "source_hash": source.hash,
        "source_check": source.check,
        "source_close": source.close,
        "sink_open": sink.open,
        "sink_have": sink.have,
        "sink_write": sink.write,
        "sink_copy": sink.copy,
        "sink_sync": sink.sync,
        "sink_hash": sink.hash,
        "sink_commit": sink.commit,
        "sink_close": sink.close,
        "bundle_read": bundle.read,
        "bundle_open": bundle.open,
        "bundle_write": bundle.write,
        "bundle_commit": bundle.commit,
        "bundle_discard": bundle.discard,
        "delete_paths": DeleteTasks(roots).delete_paths,
        "release": ReleaseTasks(roots).release,
        "discard_part": tree.discard_part,
        "dir_apply": tree.dir_apply,
        "list_page": tree.list_page,
        "list_cancel": tree.list_cancel,
        "browse": tree.browse,
        "watch_scan": watch.scan,
        "watch_open": watch.open,
        "watch_events": watch.events,
        "watch_look": watch.look,
        "watch_end": watch.end,
        "check_roots": tree.check_roots,
        "disk_usage": tree.disk_usage,
    }
    return {name: _as_transfer_error(task) for name, task in tasks.items()}


def _as_transfer_error(task: Task) -> Task:
    def run(args: dict[str, Any]) -> dict[str, Any]:
        try:
            return task(args)
        except RefusedPathError as error:
            raise TransferError(error.message, code="refused_path") from None
        except RemoteProtocolError as error:
            raise TransferError(error.message, code="protocol") from None
        except OSError as error:
            raise describe_os_error(error) from None

    return run
