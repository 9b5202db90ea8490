from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fileflux.errors import (
    ConfigError,
    FluxError,
    LocalProtocolError,
    OverloadedError,
    TransferError,
    UnavailableError,
    WorkerDiedError,
)
from fileflux.protocol.limits import Limits
from fileflux.workers.pool import TaskResult, WorkerPool
from fileflux.workers.slots import Arena

from . import sample_tasks

FACTORY = f"{sample_tasks.__name__}:make"
QUICK = Limits(worker_restart_delay=0.01, stop_timeout=10.0)

Make = Callable[..., WorkerPool]


@pytest.fixture
def make() -> Iterator[Make]:
    pools: list[WorkerPool] = []

    def build(count: int = 1, *, start: bool = True, limits: Limits = QUICK, **more: Any) -> WorkerPool:
        pool = WorkerPool(count, FACTORY, limits=limits, **more)
        pools.append(pool)
        if start:
            pool.start()
        return pool

    yield build
    for pool in pools:
        pool.stop()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[], dict[str, str]]]:
    """Arguments of a ``hold`` task that runs until its file is gone; wait for ``running`` to know that it has begun."""
    made: list[Path] = []

    def build() -> dict[str, str]:
        path = tmp_path / f"{len(made)}.held"
        path.touch()
        made.append(path)
        return {"path": str(path)}

    yield build
    for path in made:
        path.unlink(missing_ok=True)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def wait_running(args: dict[str, str]) -> None:
    wait_for(Path(args["path"]).with_suffix(".running").exists)


def test_values_and_errors_come_back(make):
    pool = make(init={"mode": "test"})
    assert pool.run("k", "echo", {"name": "ü\udcff"})["name"] == "ü\udcff"
    assert pool.run("k", "init", {}) == {"init": {"mode": "test"}}
    with pytest.raises(TransferError, match="no room") as no_space:
        pool.run("k", "fail", {"how": "transfer"})
    assert (no_space.value.code, no_space.value.retryable) == ("no_space", True)
    with pytest.raises(TransferError) as refused:
        pool.run("k", "fail", {"how": "refused"})
    assert refused.value.code == "refused_path"
    with pytest.raises(FluxError) as conflict:
        pool.run("k", "fail", {"how": "conflict"})
    assert (conflict.value.code, type(conflict.value)) == ("conflict", FluxError)
    statistics = pool.statistics()
    assert (statistics.done, statistics.failed, statistics.alive, statistics.in_flight) == (2, 3, 1, 0)


def test_a_key_stays_with_its_worker_and_all_workers_work(make):
    pool = make(3)
    pids = pool.pids()
    assert len(set(pids)) == 3
    for number in range(30):
        key = str(number)
        assert pool.run(key, "echo", {})["pid"] == pids[pool.shard(key)]
    assert {pool.shard(str(number)) for number in range(30)} == {0, 1, 2}


def test_results_of_one_worker_come_in_the_order_of_submission(make):
    pool = make(1)
    results: queue.Queue[TaskResult] = queue.Queue()
    for number in range(200):
        pool.submit("k", "note", {"value": number}, results.put)
    last = [results.get(timeout=20) for _ in range(200)][-1]
    assert last.value == {"order": list(range(200))}


def test_arguments_are_taken_as_they_are_at_submission(make, held):
    pool, first = make(1), held()
    pool.submit("k", "hold", first, lambda _: None)
    args, results = {"n": 1}, queue.Queue()
    pool.submit("k", "echo", args, results.put)
    args["n"] = 2
    Path(first["path"]).unlink()
    assert results.get(timeout=20).value["n"] == 1


def test_workers_give_way_to_everything_else(make):
    pid = make(1).run("k", "echo", {})["pid"]
    assert psutil.Process(pid).nice() == min(psutil.Process().nice() + 10, 19)


def test_slots_are_shared(make):
    arena = Arena(1 << 20)
    pool = make(1, arena=arena)
    slot = arena.alloc(5000)
    assert pool.run("k", "fill", {"slot": [slot.offset, slot.size], "byte": 7}) == {"length": 5000}
    assert bytes(slot.view) == bytes([7]) * 5000
    with pytest.raises(FluxError, match="outside"):
        pool.run("k", "fill", {"slot": [arena.size, 1], "byte": 7})
    slot.release()
    pool.stop()
    arena.close()


def test_what_is_in_flight_dies_with_its_worker_and_what_is_queued_goes_to_the_successor(make, held):
    pool, first = make(1), held()
    old = pool.pids()[0]
    results: queue.Queue[TaskResult] = queue.Queue()
    pool.submit("k", "hold", first, results.put)
    for number in range(9):
        pool.submit("k", "echo", {"n": number}, results.put)
    wait_running(first)
    wait_for(lambda: pool.statistics().in_flight == QUICK.worker_in_flight)
    os.kill(old, signal.SIGKILL)
    got = [results.get(timeout=20) for _ in range(10)]
    lost, done = got[: QUICK.worker_in_flight], got[QUICK.worker_in_flight :]
    assert {type(result.error) for result in lost} == {WorkerDiedError}
    assert [result.value and result.value["n"] for result in done] == [3, 4, 5, 6, 7, 8]
    assert pool.pids()[0] != old
    statistics = pool.statistics()
    assert (statistics.restarts, statistics.failed, statistics.done, statistics.alive) == (1, 4, 6, 1)


def test_the_others_go_on_when_one_dies(make):
    pool = make(2)
    keys = {pool.shard(str(number)): str(number) for number in range(20)}
    with pytest.raises(WorkerDiedError):
        pool.run(keys[0], "die", {})
    assert pool.run(keys[1], "echo", {})["pid"] in pool.pids()
    wait_for(lambda: pool.statistics().alive == 2)
    assert pool.run(keys[0], "echo", {})["pid"] == pool.pids()[0]


def test_too_much_is_refused_and_broadcasts_still_go_through(make, held):
    pool, first = make(1, limits=Limits(worker_backlog=2, worker_in_flight=1, stop_timeout=10)), held()
    pool.submit("k", "hold", first, lambda _: None)
    wait_running(first)
    results: queue.Queue[TaskResult] = queue.Queue()
    for number in range(3):
        pool.submit("k", "note", {"value": number}, results.put)
    assert isinstance(results.get(timeout=20).error, OverloadedError)
    with pytest.raises(OverloadedError):
        pool.run("k", "echo", {})
    pool.broadcast("note", {"value": "all"})
    Path(first["path"]).unlink()
    assert [results.get(timeout=20).value for _ in range(2)] == [{"order": [0]}, {"order": [0, 1]}]
    assert pool.run("k", "note", {"value": "end"}) == {"order": [0, 1, "all", "end"]}


def test_a_broadcast_reaches_every_worker(make):
    pool = make(3)
    pool.broadcast("note", {"value": "all"})
    keys = {pool.shard(str(number)): str(number) for number in range(50)}
    for key in keys.values():
        assert pool.run(key, "note", {"value": "own"}) == {"order": ["all", "own"]}


def test_run_gives_up_waiting_but_the_task_is_done(make, held):
    pool, first = make(1), held()
    with pytest.raises(UnavailableError, match=r"0\.05 s"):
        pool.run("k", "hold", first, timeout=0.05)
    Path(first["path"]).unlink()
    wait_for(lambda: pool.statistics().done == 1)


def test_stop_finishes_what_runs_and_tells_the_rest(make, held):
    pool, first = make(1), held()
    results: queue.Queue[TaskResult] = queue.Queue()
    pool.submit("k", "hold", first, results.put)
    wait_running(first)
    for number in range(6):
        pool.submit("k", "echo", {"n": number}, results.put)
    wait_for(lambda: pool.statistics().in_flight == QUICK.worker_in_flight)
    stopper = threading.Thread(target=pool.stop)
    stopper.start()
    assert {type(results.get(timeout=20).error) for _ in range(3)} == {UnavailableError}
    Path(first["path"]).unlink()
    stopper.join(20)
    rest = [results.get(timeout=20) for _ in range(4)]
    assert [result.error for result in rest] == [None] * 4
    assert pool.pids() == ()
    pool.submit("k", "echo", {}, results.put)
    assert isinstance(results.get_nowait().error, UnavailableError)


def test_stop_kills_what_does_not_end(make, held):
    pool, first = make(1), held()
    pool._limits = Limits(stop_timeout=0.2)
    results: queue.Queue[TaskResult] = queue.Queue()
    pool.submit("k", "hold", first, results.put)
    wait_running(first)
    pid = pool.pids()[0]
    pool.stop()
    assert isinstance(results.get(timeout=20).error, WorkerDiedError)
    assert not psutil.pid_exists(pid)


def test_it_can_be_started_again_and_leaves_nothing_behind(make):
    pool = make(2)
    fds, threads = psutil.Process().num_fds(), threading.active_count()
    for _ in range(3):
        pool.stop()
        pool.stop()
        pool.start()
        pool.start()
        assert pool.run("k", "echo", {})["pid"] in pool.pids()
    # The writer of a process that has ended goes a moment after it.
    wait_for(lambda: threading.active_count() == threads)
    assert psutil.Process().num_fds() == fds
    assert pool.statistics().restarts == 0


@pytest.mark.parametrize("init", [{"broken": True}, {"dies": True}])
def test_workers_that_cannot_begin(make, init):
    pool = make(2, start=False, init=init, name="hashers")
    with pytest.raises(ConfigError, match="hashers") as error:
        pool.start()
    assert "secret" not in str(error.value)
    assert pool.pids() == ()


def test_a_factory_that_is_not_there():
    pool = WorkerPool(1, "no_such_module_here:make", limits=QUICK)
    with pytest.raises(ConfigError, match="no_such_module_here"):
        pool.start()


def test_a_pool_has_workers():
    with pytest.raises(ConfigError):
        WorkerPool(0, FACTORY)


def test_arguments_that_are_not_json_are_refused_at_once(make):
    pool = make()
    with pytest.raises(LocalProtocolError):
        pool.submit("k", "echo", {"data": b"bytes"}, lambda _: None)
    with pytest.raises(LocalProtocolError):
        pool.broadcast("echo", {"data": b"bytes"})


def test_an_error_in_done_is_the_callers_own(make):
    pool = make()

    def broken(_: TaskResult) -> None:
        raise RuntimeError("as asked")

    pool.submit("k", "echo", {}, broken)
    assert pool.run("k", "echo", {"n": 1})["n"] == 1


def test_children_get_no_secrets_no_loop_and_only_their_own_descriptors(make, monkeypatch):
    monkeypatch.setenv("FLUX_AGENT_TOKEN", "ffx_x")
    monkeypatch.setenv("FILEFLUX_DATABASE_URL", "postgresql://x")
    arena = Arena(4096)
    with open(os.devnull) as extra:
        os.set_inheritable(extra.fileno(), False)
        pool = make(2, arena=arena)
        seen = pool.run("k", "environment", {})
        fds = pool.run("k", "files", {})["fds"]
    assert not [name for name in seen["names"] if name.startswith(("FLUX", "FILEFLUX"))]
    assert not seen["gevent"]
    # Standard streams, channel, arena and its mapping's duplicate, and the folder that is being listed.
    assert len(fds) <= 7
    pool.stop()
    arena.close()


def test_signals_to_the_whole_group_are_the_parents_to_handle(make):
    pool = make()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pool.pids()[0], number)
    assert pool.run("k", "echo", {"n": 1})["n"] == 1
    assert pool.statistics().restarts == 0


PARENT = """
import sys
if sys.argv[2] == "patched":
    from fileflux.actors.kernel.runtime import patch
    patch()
import threading, time
from fileflux.workers.pool import WorkerPool
from fileflux.protocol.limits import Limits
pool = WorkerPool(2, sys.argv[1], limits=Limits(worker_restart_delay=0.01))
pool.start()
"""


def run_parent(code: str, mode: str, *more: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", PARENT + code, FACTORY, mode, *more], stdout=subprocess.PIPE, text=True, env=env
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills busy children with their parent")
@pytest.mark.parametrize("mode", ["plain", "patched"])
def test_children_end_when_the_parent_is_killed_even_while_busy(mode, held):
    args = held()
    code = """
pool.submit("k", "hold", {"path": sys.argv[3]}, print)
print(*pool.pids(), flush=True)
time.sleep(60)
"""
    parent = run_parent(code, mode, args["path"])
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    wait_running(args)
    assert all(psutil.pid_exists(pid) for pid in pids)
    parent.kill()
    parent.wait(20)
    parent.stdout.close()
    wait_for(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="a child dies with the thread that started it on Linux only")
@pytest.mark.parametrize("mode", ["plain", "patched"])
def test_children_outlive_the_thread_that_called_start(mode):
    code = """
pool.stop()
thread = threading.Thread(target=pool.start)
thread.start()
thread.join()
before = pool.pids()
time.sleep(0.2)
assert pool.run("k", "echo", {"n": 1})["n"] == 1
assert pool.pids() == before and pool.statistics().restarts == 0
pool.stop()
print("fine", flush=True)
"""
    parent = run_parent(code, mode)
    out, _ = parent.communicate(timeout=60)
    # A worker's death is logged before it.
    assert (out.splitlines()[-1:], parent.returncode) == (["fine"], 0)


def test_under_a_cooperative_standard_library_the_loop_goes_on(tmp_path):
    code = """
import os, signal
from pathlib import Path
ticks = []
def tick():
    while True:
        ticks.append(1)
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
path = Path(sys.argv[3])
path.touch()
results = []
pool.submit("k", "hold", {"path": str(path)}, results.append)
for number in range(500):
    pool.submit(str(number), "echo", {"n": number}, results.append)
running = path.with_suffix(".running")
while not running.exists():
    time.sleep(0.001)
before = len(ticks)
while len(ticks) < before + 50:
    time.sleep(0.001)
assert len(results) < 501
path.unlink()
assert pool.run("k", "echo", {"n": 1})["n"] == 1
os.kill(pool.pids()[0], signal.SIGKILL)
while pool.statistics().restarts == 0 or pool.statistics().alive < 2:
    time.sleep(0.001)
assert all(pool.run(str(n), "echo", {"n": n})["n"] == n for n in range(20))
while len(results) < 501:
    time.sleep(0.001)
pool.stop()
print("fine", flush=True)
"""
    parent = run_parent(code, "patched", str(tmp_path / "x.held"))
    out, _ = parent.communicate(timeout=60)
    # A worker's death is logged before it.
    assert (out.splitlines()[-1:], parent.returncode) == (["fine"], 0)
