"""Names are looked up beside the loop: a name server that is silent holds nobody longer than he wants to wait."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
import time

import gevent
import pytest

from fileflux.actors.kernel.resolver import Resolver

HERE = [(socket.AF_INET, ("127.0.0.1", 1))]


class SilentServer:
    """A look-up that waits until it is told to answer; it blocks its thread, as the system's does."""

    def __init__(self):
        self.asked = []
        self.may_answer = threading.Event()

    def __call__(self, host, port):
        self.asked.append((host, port))
        assert self.may_answer.wait(20)
        return HERE


@pytest.fixture
def silent():
    server = SilentServer()
    yield server
    server.may_answer.set()


def test_the_systems_answer():
    assert Resolver().addresses("127.0.0.1", 80, 10) == [(socket.AF_INET, ("127.0.0.1", 80))]
    assert (socket.AF_INET, ("127.0.0.1", 80)) in Resolver().addresses("localhost", 80, 10)


def test_an_error_comes_out_as_it_is():
    def fails(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    resolver = Resolver(fails)
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            resolver.addresses("a", 1, 10)


def test_a_silent_name_server_stops_neither_the_caller_nor_the_loop(silent):
    resolver = Resolver(silent)
    ticks = []

    def tick():
        while True:
            ticks.append(time.monotonic())
            gevent.sleep(0.005)

    ticking = gevent.spawn(tick)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="name servers"):
        resolver.addresses("hub.example", 443, 0.3)
    took = time.monotonic() - begun
    ticking.kill()
    assert 0.29 < took < 2
    assert max(later - earlier for earlier, later in itertools.pairwise(ticks)) < 0.2


def test_there_is_one_look_up_of_a_name_and_all_who_ask_get_its_answer(silent):
    resolver = Resolver(silent)
    for _ in range(30):
        with pytest.raises(TimeoutError):
            resolver.addresses("hub.example", 443, 0.001)
    waiting = [gevent.spawn(resolver.addresses, "hub.example", 443, 10) for _ in range(5)]
    gevent.sleep(0.01)
    silent.may_answer.set()
    gevent.joinall(waiting, timeout=10)
    assert [task.value for task in waiting] == [HERE] * 5
    assert silent.asked == [("hub.example", 443)]
    # What is known is not kept: the address may change.
    assert resolver.addresses("hub.example", 443, 10) == HERE
    assert len(silent.asked) == 2


def test_an_answer_that_came_too_late_is_there_for_the_next(silent):
    resolver = Resolver(silent)
    with pytest.raises(TimeoutError):
        resolver.addresses("hub.example", 443, 0.01)
    silent.may_answer.set()
    assert resolver.addresses("hub.example", 443, 10) == HERE
    assert len(silent.asked) == 1


PATCHED = """
from fileflux.actors.kernel.runtime import patch
patch()
import threading, time
from fileflux.actors.kernel.resolver import Resolver
import gevent

print(Resolver().addresses("localhost", 80, 10)[0][1][1])
# A thread of the system's, which nothing of the loop's reaches.
sleep = gevent.monkey.get_original("time", "sleep")
def slow(host, port):
    sleep(5)
    return []
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.01)
gevent.spawn(tick)
begun = time.monotonic()
try:
    Resolver(slow).addresses("hub.example", 443, 0.5)
except TimeoutError:
    print("timeout", 10 < ticks, time.monotonic() - begun < 3, flush=True)
"""


def test_in_a_patched_process_and_a_look_up_does_not_delay_its_end():
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PATCHED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["80", "timeout", "True", "True"], done.stderr
    assert time.monotonic() - begun < 4.5
