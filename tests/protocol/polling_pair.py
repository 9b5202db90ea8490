"""Both ends of a long-polling link with nothing but memory between them: requests that are lost, repeated and overtaken as a script says.

The agent's end is driven as ``flux_agent.transports.polling`` drives it, one step at a time: each step something moves, or time passes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fileflux.clock import FakeClock
from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import DEFAULT_LIMITS, Limits
from fileflux.protocol.link import Link
from fileflux.protocol.poll_peer import PollPeer, Shared
from fileflux.protocol.polling import PollingLink

Fate = Callable[[], str]
"""What becomes of the next request: ``.`` arrives and is answered · ``x`` is lost · ``a`` its answer is lost · ``r`` arrives twice · ``l`` is late, behind its
own repetition · ``p`` a slice comes in two parts."""
ALL_FATES = "xarlp"
IDLE_STEPS = 500
"""Steps in which only time passes; more means that nothing will ever move."""


def faults(seed: int, kinds: str = ALL_FATES) -> Fate:
    """A seeded mix: about a third of the requests have one of ``kinds``."""
    chosen = random.Random(seed)
    return lambda: chosen.choice(kinds) if kinds and chosen.random() < 0.35 else "."


@dataclass(eq=False)
class Request:
    """On its way to the hub: a slice, or a part of one, or a poll that knows the answers up to ``known``."""

    number: int
    body: bytes | None
    known: int
    answered: Callable[[bytes], None] | None
    """None: nobody waits for the answer any more."""
    again: Callable[[], None]
    offset: int = 0
    total: int = 0
    held_back: int = 0
    """Steps before it arrives."""


@dataclass
class Alarm:
    at: float
    call: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Waiter:
    """Implements ``poll_peer.Waiter``."""

    pair: PollingPair
    request: Request
    done: str = ""

    def answer(self, body: bytes) -> None:
        assert not self.done, f"a poll that was {self.done} is answered"
        self.done = "answered"
        self.pair.answer(self.request, body)

    def dismiss(self) -> None:
        assert not self.done, f"a poll that was {self.done} is dismissed"
        self.done = "dismissed"
        self.pair.dismissed(self.request)


class PollingPair:
    """A LinkPair (tests.contracts.link_suite). ``left`` is the agent's end unless ``hub_left``."""

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        fate: Fate = lambda: ".",
        *,
        seed: int = 0,
        hub_left: bool = False,
        step_s: float = 0.001,
    ) -> None:
        self.clock = FakeClock()
        self.limits = limits
        self.fate = fate
        self.ended: list[tuple[int, str]] = []
        """What the hub's registry was told."""
        self.refused: list[RemoteProtocolError] = []
        self.shared = Shared(limits)
        self.to_hub: list[Request] = []
        self.to_agent: list[tuple[Callable[[bytes], None], bytes]] = []
        self._step_s = step_s
        self._random = random.Random(seed)
        self._soon: deque[Callable[[], object]] = deque()
        self._alarms: list[Alarm] = []
        self._is_cut = False
        self.peer = PollPeer(
            "agent",
            self.shared,
            limits,
            self.clock,
            self._soon.append,
            self._later,
            lambda *end: self.ended.append(end),
        )
        self.hub = self.peer.link
        self.agent = PollingLink(limits, self.clock, peer="hub", held=False, wake=lambda: self._soon.append(self._turn))
        self.posts: dict[int, bytes] = {}
        self.polls: set[int] = set()
        self._next_post = 1
        self._next_poll = 1
        self._brings = False
        self.left: Link = self.hub if hub_left else self.agent
        self.right: Link = self.agent if hub_left else self.hub

    # LinkPair

    def until(self, holds: Callable[[], object], steps: int = 200_000) -> None:
        """Steps until ``holds()``; fails when nothing but time moves any more."""
        idle = 0
        for _ in range(steps):
            if holds():
                return
            idle = 0 if self.step() else idle + 1
            if idle > IDLE_STEPS:
                break
        raise AssertionError("it did not happen")

    def settle(self) -> None:
        """Until nothing moves but time."""
        while self.step():
            pass

    def cut(self) -> None:
        """Nothing comes through from now on. The agent's end gives its requests up, and the hub's session the link it hears nothing from."""
        self._is_cut = True
        self.to_hub.clear()
        self.to_agent.clear()

    def close(self) -> None:
        for link in (self.agent, self.hub):
            link.lost("the test is over")
        self.settle()
        assert self.shared.held == 0, "the links' common budget is given back"

    # One step

    def step(self) -> bool:
        """Something moves, or else time passes to the next alarm; False when it was only time."""
        self.clock.advance(self._step_s)
        self._ring()
        moved = bool(self._soon)
        for _ in range(len(self._soon)):
            self._soon.popleft()()
        if self._is_cut:
            self.agent.lost("the hub does not answer")
            self.hub.lost("nothing was heard")
        moved = self._move_one() or moved
        if not moved:
            self._let_time_pass()
        return moved

    def _let_time_pass(self) -> None:
        due = [alarm.at for alarm in self._alarms if not alarm.cancelled]
        self.clock.advance(min(max(min(due, default=0.0) - self.clock.monotonic(), 0.0), 1.0))
        self._ring()
        for link in (self.agent, self.hub):
            link.tick(self.clock.monotonic())

    def _ring(self) -> None:
        now = self.clock.monotonic()
        ringing = [alarm for alarm in self._alarms if alarm.at <= now and not alarm.cancelled]
        self._alarms = [alarm for alarm in self._alarms if alarm.at > now and not alarm.cancelled]
        for alarm in ringing:
            alarm.call()

    def _later(self, seconds: float, call: Callable[[], object]) -> Alarm:
        alarm = Alarm(self.clock.monotonic() + seconds, call)
        self._alarms.append(alarm)
        return alarm

    def _move_one(self) -> bool:
        """Any of what is on its way, since requests and answers overtake each other."""
        for request in self.to_hub:
            request.held_back = max(0, request.held_back - 1)
        ready: list[Callable[[], None]] = [
            *(lambda request=request: self._arrives(request) for request in self.to_hub if not request.held_back),
            *(lambda answer=answer: self._comes_back(answer) for answer in self.to_agent),
        ]
        if ready:
            self._random.choice(ready)()
        return bool(ready or self.to_hub)

    # The agent's end

    def _turn(self) -> None:
        if self.agent.ended is not None:
            self.posts.clear()
            self.polls.clear()
            return
        while self._next_post < min(self.posts, default=self._next_post) + self.limits.slices_in_flight:
            data = self.agent.next_slice(self._next_post)
            if data is None:
                break
            self.posts[self._next_post] = data
            self._post(self._next_post)
            self._next_post += 1
        wanted = self.limits.polls_max if self._brings else 1
        while self._next_poll < min(self.polls, default=self._next_poll) + wanted:
            self.polls.add(self._next_poll)
            self._poll(self._next_poll)
            self._next_poll += 1

    def _post(self, number: int, offset: int = 0, end: int | None = None) -> None:
        """Send a slice, or what is left of it from ``offset`` on."""
        data = self.posts.get(number)
        if data is None:
            return
        fate = self.fate()
        if fate == "p" and end is None and len(data) - offset > 1:
            end = self._random.randrange(offset + 1, len(data))
        end = len(data) if end is None else end
        request = Request(
            number, data[offset:end], 0, lambda _: self._posted(number, end), lambda: self._post(number, offset, end)
        )
        request.offset, request.total = offset, len(data)
        self._send(request, fate)

    def _posted(self, number: int, end: int) -> None:
        data = self.posts.get(number)
        if data is not None and end < len(data):
            self._post(number, end)
        elif self.posts.pop(number, None) is not None:
            self.agent.alive()
            self.agent.arrived(number)
            self._soon.append(self._turn)

    def _poll(self, number: int) -> None:
        if number in self.polls:
            known = self.agent.due - 1
            again = lambda: self._poll(number)  # noqa: E731  # it is what it is called
            self._send(Request(number, None, known, lambda body: self._polled(number, body), again), self.fate())

    def _polled(self, number: int, body: bytes) -> None:
        if number not in self.polls:
            return
        self.polls.remove(number)
        self._brings = bool(body)
        self.agent.alive()
        self.agent.take_in(number, body)
        self._soon.append(self._turn)
        deliver(self.agent)

    def _send(self, request: Request, fate: str) -> None:
        if self._is_cut:
            return
        if fate in "xal":
            request.answered = None
            self._later(0.1 if fate != "l" else 0.005, request.again)
        if fate == "l":
            request.held_back = 30
        if fate != "x":
            self.to_hub.append(request)
        if fate == "r":
            self.to_hub.append(
                Request(request.number, request.body, request.known, None, request.again, request.offset, request.total)
            )

    def _comes_back(self, answer: tuple[Callable[[bytes], None], bytes]) -> None:
        self.to_agent.remove(answer)
        answered, body = answer
        answered(body)

    # The hub's end

    def answer(self, request: Request, body: bytes) -> None:
        if request.answered is not None and not self._is_cut:
            self.to_agent.append((request.answered, body))

    def dismissed(self, request: Request) -> None:
        """The connection closes. Whoever still waits there asks again, and hears 410 if the link is over."""
        if request.answered is not None:
            self._later(0.01, request.again)

    def _arrives(self, request: Request) -> None:
        self.to_hub.remove(request)
        try:
            if self.hub.ended is None and request.body is None:
                self.peer.poll(request.number, request.known, self.limits.poll_timeout, Waiter(self, request))
                return
            if self.hub.ended is None and not self._slice_arrives(request):
                request.held_back = 10
                self.to_hub.append(request)
                return
        except RemoteProtocolError as error:
            # A late repetition may be outside of the window by now. Who still waits for the answer hears 400 and gives the link up.
            self.refused.append(error)
            if request.answered is not None:
                self.agent.lost(f"refused: {error}")
            return
        if self.hub.ended is not None and request.answered is not None:
            code, reason = self.hub.ended
            self.agent.lost(reason, code)
        elif request.body is not None:
            self.answer(request, b"")

    def _slice_arrives(self, request: Request) -> bool:
        """False: come again later."""
        body = request.body or b""
        refusal = self.peer.refuses(request.number, request.offset, len(body), request.total)
        if refusal == "overloaded":
            return False
        assert refusal is None, refusal
        self.peer.take(request.number, request.offset, request.total, body)
        deliver(self.hub)
        return True


def deliver(link: PollingLink) -> None:
    """All that came in. What a handler raises has ended its link, as in a turn of the pump."""
    try:
        while link.deliver():
            pass
    except Exception:
        assert link.ended is not None
