from __future__ import annotations

from typing import Any

import pytest

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.errors import ConflictError, NotFoundError, UnavailableError


class Child(Actor[str]):
    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name = name
        self.log = log

    def on_start(self) -> None:
        self.log.append(f"+{self.name}")

    def receive(self, message: str) -> None:
        match message:
            case "crash":
                raise RuntimeError("as asked")
            case "end":
                self.stop_self()
            case "hang":
                runtime.sleep(3600)

    def on_stop(self) -> None:
        self.log.append(f"-{self.name}")


class Plain:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def start(self) -> None:
        self.log.append(f"+{self.name}")

    def stop(self) -> None:
        self.log.append(f"-{self.name}")


def spec(name: str, log: list[str], restart="permanent") -> ChildSpec:
    return ChildSpec(name, lambda: Child(name, log), restart)


def three(strategy, log: list[str], **more: Any) -> Supervisor:
    supervisor = Supervisor("test", strategy, [spec(name, log) for name in "abc"], **more)
    supervisor.start()
    assert log == ["+a", "+b", "+c"]
    log.clear()
    return supervisor


def test_stops_in_the_reverse_order():
    log: list[str] = []
    supervisor = three("one_for_one", log)
    supervisor.start_service("d", Plain("d", log))
    supervisor.start_child(spec("e", log))
    supervisor.stop(5)
    assert log == ["+d", "+e", "-e", "-d", "-c", "-b", "-a"]
    supervisor.stop(5)
    assert supervisor.statistics().state == "stopped"


def test_one_for_one_restarts_only_the_one(eventually):
    log: list[str] = []
    supervisor = three("one_for_one", log)
    ref = supervisor.ref("b")
    ref.tell("crash")
    eventually(lambda: log == ["-b", "+b"])
    assert ref.alive
    supervisor.stop(5)


def test_rest_for_one_restarts_those_behind_it_in_order(eventually):
    log: list[str] = []
    supervisor = three("rest_for_one", log)
    supervisor.start_service("d", Plain("d", log))
    log.clear()
    supervisor.ref("b").tell("crash")
    eventually(lambda: log == ["-b", "-d", "-c", "+b", "+c", "+d"])
    statistics = supervisor.statistics()
    assert statistics.restarts == 3
    assert [(child.name, child.restarts) for child in statistics.children] == [("a", 0), ("b", 1), ("c", 1), ("d", 1)]
    supervisor.stop(5)


def test_restart_kinds(eventually):
    log: list[str] = []
    supervisor = Supervisor("test", "one_for_one")
    permanent = supervisor.start_child(spec("permanent", log))
    transient = supervisor.start_child(spec("transient", log, "transient"))
    temporary = supervisor.start_child(spec("temporary", log, "temporary"))
    permanent.tell("end")
    transient.tell("crash")
    temporary.tell("crash")
    eventually(lambda: log.count("+permanent") == 2 and log.count("+transient") == 2 and "-temporary" in log)
    eventually(lambda: transient.alive)
    transient.tell("end")
    eventually(lambda: log.count("-transient") == 2)
    assert [child.name for child in supervisor.statistics().children] == ["permanent"]
    assert not temporary.tell("x")
    supervisor.start_child(spec("temporary", log, "temporary"))
    supervisor.stop(5)


def test_too_many_restarts_stop_everything_and_are_told(eventually):
    log: list[str] = []
    told: list[Exception] = []
    supervisor = three("one_for_one", log, max_restarts=2, on_give_up=told.append)
    for number in range(3):
        eventually(lambda: supervisor.ref("b").alive)
        supervisor.ref("b").tell("crash")
        eventually(lambda number=number: log.count("-b") > number)
    eventually(lambda: told)
    assert [type(error) for error in told] == [RuntimeError]
    assert log[-2:] == ["-c", "-a"]
    with pytest.raises(UnavailableError):
        supervisor.start_child(spec("late", log))


def test_giving_up_is_a_crash_for_the_supervisor_above(eventually):
    log: list[str] = []
    below = Supervisor("below", "one_for_one", [spec("x", log)], max_restarts=0)
    above = Supervisor("above", "rest_for_one")
    above.start_service("below", below)
    above.start_child(spec("y", log))
    below.ref("x").tell("crash")
    eventually(lambda: log == ["+x", "+y", "-x", "-y", "+x", "+y"])
    assert below.statistics().state == "running"
    above.stop(5)
    assert log[-2:] == ["-y", "-x"]


def test_a_start_that_fails_stops_what_was_started_and_is_raised():
    log: list[str] = []

    class Broken(Actor[str]):
        def on_start(self) -> None:
            raise ValueError("no")

    supervisor = Supervisor("test", "one_for_one", [spec("a", log), ChildSpec("b", Broken), spec("c", log)])
    with pytest.raises(ValueError, match="no"):
        supervisor.start()
    assert log == ["+a", "-a"]


def test_a_dynamic_start_that_fails_leaves_nothing():
    def broken() -> Actor[str]:
        raise ValueError("no")

    supervisor = Supervisor("test", "one_for_one")
    with pytest.raises(ValueError, match="no"):
        supervisor.start_child(ChildSpec("b", broken))
    assert supervisor.statistics().children == ()
    supervisor.stop(5)


def test_a_restart_that_fails_is_tried_again(eventually):
    log: list[str] = []
    lives: list[int] = []

    def factory() -> Child:
        lives.append(1)
        if len(lives) == 2:
            raise ValueError("not yet")
        return Child("a", log)

    supervisor = Supervisor("test", "rest_for_one", [ChildSpec("a", factory), spec("b", log)])
    supervisor.start()
    supervisor.ref("a").tell("crash")
    eventually(lambda: log == ["+a", "+b", "-a", "-b", "+a", "+b"])
    supervisor.stop(5)


def test_one_that_hangs_is_killed_and_the_others_still_stop_in_order(eventually):
    log: list[str] = []
    supervisor = three("one_for_one", log)
    supervisor.ref("b").tell("hang")
    runtime.yield_loop()
    supervisor.stop(0.05)
    assert log == ["-c", "-b", "-a"]


def test_names_are_unique_and_refs_exist_before_the_start():
    log: list[str] = []
    supervisor = Supervisor("test", "rest_for_one", [spec("a", log)])
    ref = supervisor.ref("a")
    assert not ref.tell("x")
    supervisor.start()
    assert ref.tell("x")
    with pytest.raises(ConflictError):
        supervisor.start_child(spec("a", log))
    with pytest.raises(NotFoundError):
        supervisor.ref("nobody")
    supervisor.stop(5)


def test_stop_child_forgets_it():
    log: list[str] = []
    supervisor = three("one_for_one", log)
    supervisor.stop_child("b")
    supervisor.stop_child("nobody")
    assert log == ["-b"]
    with pytest.raises(NotFoundError):
        supervisor.ref("b")
    supervisor.stop(5)


def test_it_can_be_started_again_with_the_children_it_was_made_with():
    log: list[str] = []
    supervisor = three("one_for_one", log)
    supervisor.start_child(spec("d", log))
    supervisor.stop(5)
    log.clear()
    supervisor.start()
    assert log == ["+a", "+b", "+c"]
    supervisor.stop(5)


def test_thousands_of_children_are_cheap():
    class Idle(Actor[str]):
        def receive(self, message: str) -> None:
            self.stop_self()

    supervisor = Supervisor("test", "one_for_one")
    refs = [supervisor.start_child(ChildSpec(f"s{number}", Idle, "temporary")) for number in range(3000)]
    for ref in refs[:1000]:
        ref.tell("end")
    for _ in range(10):
        runtime.yield_loop()
    assert len(supervisor.statistics().children) == 2000
    supervisor.stop(10)
    assert not any(ref.alive for ref in refs)
