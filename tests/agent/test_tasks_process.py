"""The same tasks where they run for real: in worker processes with shared memory."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from fileflux.errors import TransferError, WorkerDiedError
from fileflux.protocol.limits import DEFAULT_LIMITS, HEADER_SIZE
from fileflux.workers.pool import WorkerPool
from fileflux.workers.slots import Arena

from .files.tasks_bench import CHUNK, PART, sha, text


def test_a_file_moves_between_roots_through_worker_processes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    content = text(6 * CHUNK + 1)
    (source / "f").write_bytes(content)
    arena = Arena(4 * CHUNK)
    init = {"read": [str(source)], "write": [str(target)], "protected": []}
    pool = WorkerPool(2, "flux_agent.transfer.tasks:agent_tasks", init, arena, DEFAULT_LIMITS, "files")
    pool.start()
    try:
        opened = pool.run(
            "1", "source_open", {"wire": 1, "path": "", "name": "f", "chunk_size": CHUNK, "prefix": False}, 20
        )
        common = {
            "mtime_ns": opened["mtime_ns"],
            "mode": opened["mode"],
            "conflict": "overwrite",
            "attempt": 1,
            "preserve_mtime": True,
        }
        sink = pool.run(
            "2",
            "sink_open",
            {
                "wire": 1,
                "path": "",
                "name": "d/f",
                "landing": "below",
                "part": PART,
                "size": len(content),
                "chunk_size": CHUNK,
                "final_path": None,
                "have": True,
                **common,
            },
            20,
        )
        assert json.dumps(sink)
        slot = arena.alloc(HEADER_SIZE + CHUNK)
        assert slot is not None
        for index in range(7):
            where = [slot.offset, slot.size]
            args = {
                "wire": 1,
                "handle": opened["handle"],
                "index": index,
                "have": None,
                "compression": "auto",
                "slot": where,
            }
            frame = pool.run(f"1:{index}", "source_chunk", args, 20)["frame"]
            written = pool.run(
                f"2:{index}", "sink_write", {"wire": 1, "handle": sink["handle"], "slot": [slot.offset, frame]}, 20
            )
            assert written["index"] == index
            if index == 3:
                os.kill(pool.pids()[0], signal.SIGKILL)
                for key in range(20):
                    # Some keys belong to the worker that is gone; its successor knows the file by its handle.
                    with suppress(WorkerDiedError):
                        pool.run(f"k{key}", "source_check", {"wire": 1, "handle": opened["handle"]}, 20)
        slot.release()
        pool.run("2:sync", "sink_sync", {"wire": 1, "handle": sink["handle"]}, 20)
        done = pool.run(
            "2",
            "sink_commit",
            {
                "wire": 1,
                "handle": sink["handle"],
                "size": len(content),
                "file_sha256": None,
                "ours": sha(content),
                "preserve_mode": True,
                "reread": False,
                **common,
            },
            20,
        )
        assert done["sha256"] == sha(content)
        assert (target / "d" / "f").read_bytes() == content
        with pytest.raises(TransferError) as caught:
            pool.run(
                "1", "source_open", {"wire": 2, "path": "/etc", "name": "x", "chunk_size": CHUNK, "prefix": False}, 20
            )
        assert (caught.value.code, caught.value.retryable) == ("outside_roots", False)
    finally:
        pool.stop()
        arena.close()
