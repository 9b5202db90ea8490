"""The write path as the kernel sees it, and what follows when any step of it fails or is the last one.

The destination has one worker, so that its system calls have one order and "the second fsync" means the same in every run.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.conftest import Site, write_numbered
from tests.integration.harness import QUICK_LIMITS, Agent, Hub, wait_for
from tests.integration.strace import Strace, require
from tests.integration.watch import FinalNames
from tests.integration.write_order import (
    RENAMES,
    SYNCS,
    WRITE_PATH,
    check_acks,
    check_completions,
    check_inside,
    check_made_directories,
    check_renames,
)

CHUNK = 256 * 1024
CHUNKS = 6
RETRY = {"attempts": 2, "delay": 0.1, "factor": 1.0}


class OneWorkerSite(Site):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = Hub(folder).start()
        self.source = Agent(self.hub, "source", folder, workers=1).start()
        # A sync after each chunk instead of after many.
        syncing = {"FLUX_AGENT_LIMITS_SYNC_GROUP_BYTES": "1"}
        self.destination = Agent(self.hub, "destination", folder, env=syncing, workers=1).start()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneWorkerSite]:
    require()
    site = OneWorkerSite(tmp_path_factory.mktemp("syscalls"))
    try:
        yield site
    finally:
        site.stop()


class Move:
    """One file of six chunks on its way into a watched folder of its own."""

    def __init__(self, site: Site, log: Path) -> None:
        self.site = site
        self.log = log / "strace.log"
        self.source = site.source.read / f"file-{os.urandom(4).hex()}.bin"
        write_numbered(self.source, CHUNKS * CHUNK)
        self.digest = sha256(self.source)
        self.folder = site.destination.write / self.source.stem
        self.folder.mkdir()
        self.final = self.folder / self.source.name
        self.names = FinalNames(self.folder, {self.final.name: self.digest})

    def start(self, **fields: Any) -> int:
        fields = {"compression": "none", "chunk_size": CHUNK, "retry": RETRY, **fields}
        site = self.site
        return site.hub.run(site.hub.job(site.source.id, self.source, site.destination.id, f"{self.folder}/", **fields))

    def run(self, *inject: str, **fields: Any) -> tuple[dict[str, Any], Strace]:
        """Move it while the worker's calls fail as told; the ended run, and the record."""
        with self.names, Strace(self.log, [worker(self.site.destination)], WRITE_PATH, inject) as trace:
            run = self.site.hub.wait_ended(self.start(**fields), 30)
        assert trace.struck, "the fault was never met"
        return run, trace

    def check_delivered(self, run: dict[str, Any], *, retries: int) -> None:
        """Once, whole, and with so many of the job's retries used up: a death costs none, a call that fails costs one."""
        (transfer,) = self.site.hub.transfers(run["id"])
        assert run["status"] == "succeeded", (run, transfer)
        assert transfer["status"] == "completed", transfer
        assert transfer["file_hash"] == self.digest
        assert transfer["retry_count"] == retries, transfer
        assert dict(self.names.appeared) == {self.final.name: 1}, "the final name appears once"
        assert not self.names.torn
        assert os.listdir(self.folder) == [self.final.name], "no part is left"
        assert sha256(self.final) == self.digest


@pytest.fixture
def move(site: Site, tmp_path: Path) -> Move:
    return Move(site, tmp_path)


def worker(agent: Agent) -> int:
    """The PID of the agent's only worker."""

    def one() -> int | None:
        pids = agent.worker_pids()
        return pids[0] if len(pids) == 1 else None

    return int(wait_for("the worker", one, 10))


def gone(pid: int) -> bool:
    """Dead; an orphan may stay a zombie for a while."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# The order of the write path


@pytest.mark.parametrize("conflict", ["overwrite", "fail"])
def test_the_order_of_the_write_path(site: Site, tmp_path: Path, conflict: str) -> None:
    """Acks leave the agent's main process and syncs are a worker's, so one strace records both.

    It stops each process at each call and writes one record, in which what causes a thing stands before it: a sync that returned before
    the worker's answer, before the ack. The ack is read from what the main process sends to its hub, unmasked. Every sync is held up for
    20 ms before it begins, so that an ack or a rename that does not wait for it comes out ahead of it.
    """
    tree = site.source.read / f"order-{conflict}"
    sizes = {"empty": 0, "one": 1, "a/two": CHUNK + 1, "a/b/five": 5 * CHUNK, "a/c/full": CHUNK}
    # These move in bundles.
    sizes |= {f"small/{number % 3}/{number}": 100 * number for number in range(20)}
    for name, size in sizes.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(os.urandom(size))
    target = site.destination.write / f"order-{conflict}" / "made" / "for it"
    main = site.destination.running.pid
    fields = {"compression": "none", "chunk_size": CHUNK, "conflict": conflict}
    with Strace(
        tmp_path / "strace.log",
        [main, worker(site.destination)],
        ("sendto", *WRITE_PATH),
        [f"{','.join(SYNCS)}:delay_enter=20000"],
        text=2**22,
    ) as trace:
        run = site.hub.wait_ended(
            site.hub.run(site.hub.job(site.source.id, tree, site.destination.id, target, **fields))
        )
    assert run["status"] == "succeeded", run
    calls = trace.calls()
    chunks = {str(target / name): max(1, -(-size // CHUNK)) for name, size in sizes.items()}
    assert check_acks(calls, main) == sum(chunks.values())
    assert check_renames(calls) == set(chunks)
    assert check_completions(calls, main) == set(chunks)
    assert check_made_directories(calls) >= {
        str(path) for path in (target.parent.parent, target.parent, target, target / "a" / "b")
    }
    check_inside(calls, site.destination.write)


def test_what_leads_outside_the_root_is_not_touched(site: Site, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (site.destination.write / "link").symlink_to(outside)
    source = site.source.read / "inside.txt"
    source.write_text("x")
    main = site.destination.running.pid
    with Strace(tmp_path / "strace.log", [main, worker(site.destination)], WRITE_PATH) as trace:
        for target in ("link/", "link/new/", f"{outside}/", f"../{outside.name}/"):
            job = site.hub.job(site.source.id, source, site.destination.id, target)
            assert site.hub.wait_ended(site.hub.run(job))["status"] == "failed", target
    assert not list(outside.iterdir())
    assert any(call.name == "openat" for call in trace.calls()), "the worker was traced"
    check_inside(trace.calls(), site.destination.write)


# Killed at a call


def points(quick: Sequence[tuple[Any, ...]], slow: Sequence[tuple[Any, ...]]) -> list[Any]:
    marked = [pytest.param(*point, marks=pytest.mark.long) for point in slow]
    return [*(pytest.param(*point) for point in quick), *marked]


KILLS = points(
    [("pwrite64", 1), ("pwrite64", 4), ("fdatasync", 1), ("fdatasync", 2), ("fsync", 1), ("fsync", 2), ("renameat", 1)],
    [
        *(("openat", number) for number in range(1, 7)),
        *(("pwrite64", number) for number in (2, 3, 5, 6)),
        ("fdatasync", 3),
        ("fchmod", 1),
        ("utimensat", 1),
    ],
)


@pytest.mark.parametrize(("call", "number"), KILLS)
def test_a_worker_killed_at_a_call(move: Move, call: str, number: int) -> None:
    """It dies as it enters the call, which is then not made: fsync 1 is that of the part, fsync 2 that of the directory after the rename."""
    run, trace = move.run(f"{call}:signal=SIGKILL:when={number}")
    assert "killed by SIGKILL" in trace.text
    move.check_delivered(run, retries=0)
    assert run["bytes_transferred"] < CHUNKS * CHUNK + 2**20


@pytest.mark.parametrize(("call", "number"), points([("renameat2", 1)], [("fsync", 1), ("fsync", 2), ("fdatasync", 1)]))
@pytest.mark.parametrize(
    "fields", [{"conflict": "fail"}, {"conflict": "rename", "verify": "reread"}], ids=["fail", "rename"]
)
def test_a_worker_killed_where_the_name_must_be_new(move: Move, call: str, number: int, fields: dict[str, str]) -> None:
    run, _ = move.run(f"{call}:signal=SIGKILL:when={number}", **fields)
    move.check_delivered(run, retries=0)


@pytest.mark.parametrize(("call", "number"), points([("mkdirat", 2), ("fsync", 2)], [("mkdirat", 1), ("fsync", 1)]))
def test_a_worker_killed_while_it_makes_parents(move: Move, call: str, number: int) -> None:
    wanted = move.folder
    move.folder = wanted / "new" / "deep"
    pid = worker(move.site.destination)
    with Strace(move.log, [pid], WRITE_PATH, [f"{call}:signal=SIGKILL:when={number}"]) as trace:
        run = move.site.hub.wait_ended(move.start(), 30)
    assert trace.struck
    assert run["status"] == "succeeded", run
    assert [path for path in wanted.rglob("*") if path.is_file()] == [move.folder / move.final.name]
    assert sha256(move.folder / move.final.name) == move.digest


# A call that fails

FAILURES = points(
    [
        ("EIO", "fdatasync", 1),
        ("EIO", "fsync", 1),
        ("EIO", "fsync", 2),
        ("ENOSPC", "pwrite64", 3),
        ("ENOSPC", "fdatasync", 2),
    ],
    [
        *((error, "pwrite64", number) for error in ("EIO", "ENOSPC", "EDQUOT") for number in (1, 6)),
        *((error, call, 1) for error in ("EIO", "ENOSPC") for call in ("renameat", "fchmod", "utimensat", "openat")),
        *((error, call, 2) for error in ("EIO", "ENOSPC") for call in ("openat", "fsync")),
        *(("EIO", "openat", number) for number in range(3, 7)),
        *(("ENOSPC", call, 1) for call in ("fsync", "fdatasync")),
    ],
)


@pytest.mark.parametrize(("error", "call", "number"), FAILURES)
def test_a_call_that_fails_once(move: Move, error: str, call: str, number: int) -> None:
    """The transfer is tried again. What a failed sync of the part was for is written anew before the file gets its name."""
    run, trace = move.run(f"{call}:error={error}:when={number}")
    move.check_delivered(run, retries=1)
    calls = trace.calls()
    assert len(check_renames(calls)) == 1
    (failed,) = (made for made in calls if made.injected)
    if call in SYNCS and failed.path.endswith(".fluxpart"):
        after = [made for made in calls if made.name == "pwrite64" and made.begin > failed.end]
        assert {made.numbers[-1] for made in after} == {index * CHUNK for index in range(CHUNKS)}
        assert run["bytes_reused"] == 0, "nothing of the part is believed"


PERSISTENT = points(
    [("ENOSPC", "pwrite64", 2), ("EIO", "fdatasync", 1)],
    [
        ("EIO", "fsync", 1),
        ("EIO", "renameat", 1),
        ("ENOSPC", "fsync", 1),
        ("EIO", "pwrite64", 1),
        ("ENOSPC", "fdatasync", 2),
    ],
)


@pytest.mark.parametrize(("error", "call", "number"), PERSISTENT)
def test_a_call_that_fails_for_good(move: Move, error: str, call: str, number: int) -> None:
    run, _ = move.run(f"{call}:error={error}:when={number}+")
    (transfer,) = move.site.hub.transfers(run["id"])
    assert run["status"] == "failed", run
    assert (transfer["status"], transfer["code"]) == ("failed", {"ENOSPC": "no_space", "EIO": "io"}[error])
    assert transfer["retry_count"] == RETRY["attempts"]
    assert not move.names.appeared, "nothing got the final name"
    wait_for("the part to be removed", lambda: not os.listdir(move.folder), 10)


# The whole agent killed around the rename


@pytest.mark.parametrize("conflict", ["overwrite", "fail", "skip"])
@pytest.mark.parametrize("renamed", [False, True], ids=["before", "after"])
def test_the_agent_killed_at_the_rename(move: Move, conflict: str, renamed: bool) -> None:
    """The worker is held for a minute as it enters or leaves the rename; meanwhile its agent dies, and it with it."""
    agent = move.site.destination
    pid = worker(agent)
    held = f"{','.join(f'?{name}' for name in RENAMES)}:{'delay_exit' if renamed else 'delay_enter'}=60000000"
    with move.names:
        with Strace(move.log, [pid], WRITE_PATH, [held]) as trace:
            run_id = move.start(conflict=conflict)
            wait_for("the rename", lambda: "renameat" in trace.text and (not renamed or move.final.exists()), 20)
            agent.running.popen.send_signal(signal.SIGKILL)
            agent.running.popen.wait()
            # It is told to die with its parent before the parent can be waited for; strace itself would keep it for the whole delay.
            trace.stop()
            wait_for("the worker's end", lambda: gone(pid), 10)
        seen = move.final.stat() if renamed else None
        assert move.final.exists() is renamed
        agent.start(wait=False)
        run = move.site.hub.wait_ended(run_id, 30)
    move.check_delivered(run, retries=0)
    now = move.final.stat()
    if seen is not None:
        assert (now.st_ino, now.st_ctime_ns) == (seen.st_ino, seen.st_ctime_ns), "it was not written a second time"
    assert run["bytes_transferred"] < CHUNKS * CHUNK + 2**20, "it was not sent a second time"


# A disk that is slow


def test_a_slow_disk_slows_its_source_and_fills_nobody(site: Site, tmp_path: Path) -> None:
    """Every sync takes 200 ms: what is sent and not yet on the disk stays within the window, whatever the link would carry."""
    source = site.source.read / "slow.bin"
    size = 2 * int(QUICK_LIMITS["WINDOW_MAX"])
    write_numbered(source, size)
    ahead: list[int] = []
    with Strace(tmp_path / "strace.log", [worker(site.destination)], SYNCS, ["fdatasync:delay_enter=200000"]) as trace:
        job = site.hub.job(
            site.source.id,
            source,
            site.destination.id,
            f"{site.destination.write}/",
            compression="none",
            chunk_size=CHUNK,
        )
        run_id = site.hub.run(job)

        def ended() -> dict[str, Any] | None:
            run = site.hub.show(run_id)
            ahead.append(run["bytes_transferred"] - run["bytes_done"])
            return run if run["status"] == "succeeded" else None

        run = wait_for("the run to end", ended, 60)
    assert sum(call.name == "fdatasync" for call in trace.calls()) > 5
    assert sha256(site.destination.write / source.name) == sha256(source)
    assert run["bytes_done"] == size
    assert 0 < max(ahead) <= int(QUICK_LIMITS["WINDOW_MAX"]) + CHUNK


# In the middle of a bundle

BUNDLED = points(
    [
        ("pwrite64:error=ENOSPC:when=3",),
        ("syncfs:error=EIO:when=1",),
        ("renameat2:error=EIO:when=2",),
        ("syncfs:signal=SIGKILL:when=1",),
        ("renameat2:signal=SIGKILL:when=3",),
    ],
    [
        ("openat:error=EIO:when=4",),
        ("fchmod:error=EIO:when=1",),
        ("utimensat:error=EIO:when=2",),
        ("fsync:error=EIO:when=1",),
        ("pwrite64:signal=SIGKILL:when=2",),
        ("fsync:signal=SIGKILL:when=1",),
    ],
)


@pytest.mark.parametrize("inject", BUNDLED)
def test_a_call_that_fails_or_kills_in_a_bundle(site: Site, tmp_path: Path, inject: str) -> None:
    """Each file arrives once and whole, by itself where the bundle could not; what a failed sync was for is written anew."""
    tree = site.source.read / f"bundle-{os.urandom(4).hex()}"
    tree.mkdir()
    for number in range(10):
        (tree / f"{number}.txt").write_bytes(os.urandom(50 * (number + 1)))
    digests = {path.name: sha256(path) for path in tree.iterdir()}
    target = site.destination.write / tree.name
    target.mkdir()
    with FinalNames(target, digests) as names:
        with Strace(tmp_path / "strace.log", [worker(site.destination)], WRITE_PATH, [inject]) as trace:
            job = site.hub.job(site.source.id, tree, site.destination.id, target, compression="none", retry=RETRY)
            run = site.hub.wait_ended(site.hub.run(job), 30)
        assert trace.struck, "the fault was never met"
    assert (run["status"], run["files_done"]) == ("succeeded", 10), run
    assert not names.torn
    assert {path.name: sha256(path) for path in target.iterdir()} == digests, "each file, and no part"
    rows = {row["filename"]: row for row in site.hub.transfers(run["id"])}
    assert {name: row["file_hash"] for name, row in rows.items()} == digests
    calls = trace.calls()
    if "syncfs:error" in inject:
        (failed,) = (made for made in calls if made.injected)
        after = {made.path for made in calls if made.name == "pwrite64" and made.begin > failed.end}
        assert len(after) == 10, "nothing of the parts is believed"
