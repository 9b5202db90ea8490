from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from fileflux.actors.kernel import runtime
from fileflux.errors import UnavailableError


def test_result_gives_the_first_value_and_ignores_later_ones():
    result: runtime.Result[int] = runtime.Result()
    runtime.spawn(result.set, 1)
    assert result.get(5) == 1
    result.set(2)
    result.set_error(ValueError("late"))
    assert result.get() == 1


def test_result_may_be_none_and_raises_what_was_set():
    nothing: runtime.Result[None] = runtime.Result()
    nothing.set(None)
    assert nothing.get(0) is None
    failed: runtime.Result[None] = runtime.Result()
    failed.set_error(KeyError("x"))
    with pytest.raises(KeyError):
        failed.get()


def test_result_that_never_comes_is_unavailable():
    with pytest.raises(UnavailableError, match=r"0\.01 s"):
        runtime.Result().get(0.01)


def test_in_thread_runs_elsewhere_and_the_loop_goes_on():
    begun, go_on = threading.Event(), threading.Event()

    def work(value: int) -> tuple[int, int]:
        begun.set()
        assert go_on.wait(5)
        return value, threading.get_ident()

    def release() -> None:
        while not begun.is_set():
            runtime.sleep(0.001)
        go_on.set()

    runtime.spawn(release)
    value, thread = runtime.in_thread(work, 7)
    assert value == 7
    assert thread != threading.get_ident()


def test_in_thread_raises_the_error_of_the_call():
    with pytest.raises(ZeroDivisionError):
        runtime.in_thread(lambda: 1 // 0)


def test_timers_fire_once_and_not_after_cancel():
    fired: list[str] = []
    cancelled = runtime.spawn_later(0.001, lambda: fired.append("cancelled"))
    cancelled.cancel()
    cancelled.cancel()
    done = runtime.Event()
    timer = runtime.call_later(0.002, lambda: fired.append("called"))
    runtime.spawn_later(0.005, done.set)
    assert done.wait(5)
    timer.cancel()
    assert fired == ["called"]


def test_lock_keeps_others_out():
    lock, order = runtime.Lock(), []

    def work(name: str) -> None:
        with lock:
            order.append(name)
            runtime.yield_loop()
            order.append(name)

    tasks = [runtime.spawn(work, name) for name in ("a", "b")]
    for task in tasks:
        task.join(5)
    assert order == ["a", "a", "b", "b"]


def test_patch_makes_the_standard_library_cooperative_and_may_be_repeated():
    code = (
        "from fileflux.actors.kernel.runtime import patch\n"
        "patch(); patch()\n"
        "import threading, time\n"
        "order = []\n"
        "t = threading.Thread(target=lambda: order.append('thread'))\n"
        "t.start(); time.sleep(0.01); t.join()\n"
        "import gevent.monkey\n"
        "assert gevent.monkey.is_module_patched('threading')\n"
        "assert order == ['thread']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)}, timeout=60)
