from __future__ import annotations

import pytest

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.errors import LocalProtocolError


class Recorder(Actor[str]):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def on_start(self) -> None:
        self.log.append("start")
        self.ref.tell("first")

    def receive(self, message: str) -> None:
        self.log.append(message)
        match message:
            case "later":
                self.after(0.001, "timer")
                self.after(0.002, "never").cancel()
            case "long":
                self.after(3600, "never")
            case "end":
                self.stop_self()
            case "crash":
                raise RuntimeError("as asked")

    def on_stop(self) -> None:
        self.log.append("stop")


def started(log: list[str], restart="temporary"):
    supervisor = Supervisor("test", "one_for_one")
    return supervisor, supervisor.start_child(ChildSpec("recorder", lambda: Recorder(log), restart))


def test_start_messages_stop_come_in_this_order(eventually):
    log: list[str] = []
    supervisor, ref = started(log)
    assert log[0] == "start"
    ref.tell("a")
    eventually(lambda: log[-1] == "a")
    supervisor.stop(5)
    assert log == ["start", "first", "a", "stop"]
    assert not ref.alive


def test_timers_come_by_the_control_lane_unless_cancelled(eventually):
    log: list[str] = []
    supervisor, ref = started(log)
    ref.tell("later")
    eventually(lambda: "timer" in log)
    runtime.sleep(0.01)
    supervisor.stop(5)
    assert "never" not in log


def test_timers_end_with_the_actor():
    log: list[str] = []
    supervisor = Supervisor("test", "one_for_one")
    actor = Recorder(log)
    ref = supervisor.start_child(ChildSpec("recorder", lambda: actor, "temporary"))
    ref.tell("long")
    while "long" not in log:
        runtime.yield_loop()
    assert len(actor._timers) == 1
    supervisor.stop(5)
    assert actor._timers == set()


def test_stop_self_ends_after_the_message_and_drops_the_rest(eventually):
    log: list[str] = []
    supervisor, ref = started(log)
    ref.tell("end")
    ref.tell("too late")
    eventually(lambda: "stop" in log)
    assert log == ["start", "first", "end", "stop"]
    assert not ref.tell("x")
    supervisor.stop(5)


def test_on_stop_runs_after_a_crash_too(eventually):
    log: list[str] = []
    supervisor, ref = started(log)
    ref.tell("crash")
    eventually(lambda: "stop" in log)
    assert not ref.alive
    supervisor.stop(5)


def test_no_ref_before_the_start():
    with pytest.raises(LocalProtocolError, match="Recorder"):
        _ = Recorder([]).ref


def test_a_busy_actor_gives_way_to_timers(eventually):
    late: list[float] = []

    class Busy(Actor[int]):
        mailbox_size = 100_000

        def receive(self, message: int) -> None:
            sum(range(5000))

    supervisor = Supervisor("test", "one_for_one")
    ref = supervisor.start_child(ChildSpec("busy", Busy))
    for number in range(5000):
        ref.tell(number)
    timer = runtime.call_later(0.001, lambda: late.append(ref.depth))
    eventually(lambda: late)
    timer.cancel()
    assert late[0] > 100
    supervisor.stop(5)
