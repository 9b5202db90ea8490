from __future__ import annotations

from dataclasses import dataclass

import pytest

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.actor import Actor
from fileflux.actors.kernel.ref import ActorRef, Reply
from fileflux.actors.kernel.supervisor import ChildSpec, Supervisor
from fileflux.errors import OverloadedError, UnavailableError


@dataclass(frozen=True)
class Double:
    number: int
    reply: Reply[int]


@dataclass(frozen=True)
class Refuse:
    reply: Reply[int]


@dataclass(frozen=True)
class Forget:
    reply: Reply[int]


@dataclass(frozen=True)
class Keep:
    reply: Reply[int]


@dataclass(frozen=True)
class Crash:
    reply: Reply[int] | None = None


Message = Double | Refuse | Forget | Keep | Crash


class Calculator(Actor[Message]):
    mailbox_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Reply[int]] = []

    def receive(self, message: Message) -> None:
        match message:
            case Double():
                message.reply.send(message.number * 2)
                message.reply.send(-1)
            case Refuse():
                message.reply.fail(ValueError("no"))
            case Keep():
                self.kept.append(message.reply)
            case Crash():
                raise RuntimeError("as asked")
            case Forget():
                pass


@pytest.fixture
def ref():
    supervisor = Supervisor("test", "one_for_one")
    yield supervisor.start_child(ChildSpec("calculator", Calculator))
    supervisor.stop(5)


def test_ask_returns_the_first_answer(ref: ActorRef[Message]):
    assert ref.ask(lambda reply: Double(21, reply), 5) == 42


def test_ask_raises_the_error_that_was_answered(ref: ActorRef[Message]):
    with pytest.raises(ValueError, match="no"):
        ref.ask(Refuse, 5)


def test_a_dropped_question_fails_at_once(ref: ActorRef[Message]):
    with pytest.raises(UnavailableError, match="dropped"):
        ref.ask(Forget, 60)


def test_a_question_kept_too_long_runs_out_of_time(ref: ActorRef[Message]):
    with pytest.raises(UnavailableError, match="no answer"):
        ref.ask(Keep, 0.01)
    assert ref.ask(lambda reply: Double(1, reply), 5) == 2


def test_a_crash_fails_those_who_wait_and_the_ref_leads_to_the_successor(ref: ActorRef[Message]):
    errors: list[Exception] = []

    def ask() -> None:
        try:
            ref.ask(Keep, 60)
        except UnavailableError as error:
            errors.append(error)

    waiting = runtime.spawn(ask)
    runtime.yield_loop()
    with pytest.raises(UnavailableError, match="stopped"):
        ref.ask(Crash, 60)
    waiting.join(5)
    assert [str(error) for error in errors] == ["calculator stopped; try again"]
    while not ref.alive:
        runtime.yield_loop()
    assert ref.ask(lambda reply: Double(2, reply), 5) == 4


def test_questions_that_wait_when_it_crashes_are_dropped_and_their_askers_told(ref: ActorRef[Message]):
    errors: list[str] = []

    def ask() -> None:
        try:
            ref.ask(lambda reply: Double(1, reply), 60)
        except UnavailableError as error:
            errors.append(str(error))

    asker = runtime.spawn(ask)
    # It begins and asks only when the loop runs next, and so does the actor: the crash overtakes the question.
    ref.tell_control(Crash())
    asker.join(5)
    assert len(errors) == 1


def test_a_full_mailbox_is_an_answer(ref: ActorRef[Message]):
    assert ref.tell(Forget(Reply(runtime.Result(), "x")))
    assert ref.tell(Forget(Reply(runtime.Result(), "x")))
    assert not ref.tell(Forget(Reply(runtime.Result(), "x")))
    with pytest.raises(OverloadedError):
        ref.ask(Keep, 5)
    assert ref.depth == 2


def test_nobody_behind_the_ref():
    ref: ActorRef[Message] = ActorRef("ghost")
    assert not ref.tell(Crash())
    ref.tell_control(Crash())
    with pytest.raises(UnavailableError, match="not running"):
        ref.ask(Keep, 5)
