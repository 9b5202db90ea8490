"""Whatever befalls a transfer, in any order: no end keeps open what the hub has given up, and an end stays an end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileflux.jobs.effects import Effect, Ended, Send
from fileflux.jobs.models import JobSpec
from fileflux.jobs.status import TransferStatus
from fileflux.jobs.transfer import TransferMachine, TransferPlan
from fileflux.jobs.transfer_state import State
from fileflux.protocol import messages as m

pytestmark = pytest.mark.unit

PLAN = TransferPlan(10, 20, 30, "f", "f", "/in", "below", "f" * 32)
SHA = "b" * 64


class Played:
    """A machine and what its two agents have open."""

    def __init__(self) -> None:
        self.machine = TransferMachine(PLAN, JobSpec("job", 1, "/in", 2, "/out", conflict="rename"))
        self.open: set[m.Role] = set()
        self.discarded = False
        self.wire_id = 0

    def do(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ended):
                assert self.machine.state is State.ENDED
            if not isinstance(effect, Send):
                continue
            if effect.message is m.TransferRequest:
                assert effect.role not in self.open
                self.open.add(effect.role)
            elif effect.message in (m.CancelTransfer, m.TransferRelease):
                self.open.discard(effect.role)
                self.discarded |= getattr(effect.item, "discard", False)

    def begin(self) -> None:
        if self.machine.state is State.IDLE:
            self.wire_id += 1
            self.do(self.machine.begin(self.wire_id))

    def go_on(self) -> None:
        """The next thing that happens when all is well."""
        machine, wire_id = self.machine, self.wire_id
        match machine.state:
            case State.OPENING_SOURCE:
                self.do(machine.source_accepted(m.TransferAcceptItem(wire_id, "source", size=10, identity="x")))
            case State.OPENING_DESTINATION:
                self.do(
                    machine.destination_accepted(
                        m.TransferAcceptItem(wire_id, "destination", state="new", final_path="/out/f")
                    )
                )
                self.do(machine.stored())
            case State.COMPARING:
                self.do(machine.have_forwarded())
            case State.MOVING:
                self.do(machine.all_acked())
                self.do(machine.source_completed(m.TransferCompleteItem(wire_id, 10, "a" * 64)))
            case State.COMMITTING:
                self.open.discard("destination")
                self.do(machine.destination_completed(m.TransferCompleteItem(wire_id, 10, "a" * 64, SHA, "/out/f")))
            case _:
                pass

    def fails(self, role: m.Role, code: str) -> None:
        if role in self.open:
            self.open.discard(role)
            self.do(self.machine.failed(code, "no", retryable=code == "io", by=role))

    def lost(self, role: m.Role) -> None:
        self.open.discard(role)
        self.do(self.machine.session_lost(role))

    def pause(self) -> None:
        before = self.discarded
        self.do(self.machine.pause("paused by eve"))
        assert self.discarded == before, "a pause keeps the part"
        assert self.machine.state in (State.IDLE, State.COMMITTING, State.ENDED)


ROLES: tuple[m.Role, ...] = ("source", "destination")
STEPS: dict[str, Callable[[Played], None]] = {
    "begin": Played.begin,
    "go on": Played.go_on,
    "pause": Played.pause,
    "cancel": lambda played: played.do(played.machine.cancel("cancelled by eve")),
    **{f"link {role}": lambda played, role=role: played.do(played.machine.link_changed(role)) for role in ROLES},  # type: ignore[misc]  # bound now
    **{f"lost {role}": lambda played, role=role: played.lost(role) for role in ROLES},  # type: ignore[misc]  # bound now
    **{
        f"{code} {role}": lambda played, role=role, code=code: played.fails(role, code)  # type: ignore[misc]  # bound now
        for role in ROLES
        for code in ("io", "conflict", "stale_have")
    },
}
LIKELY = ["begin", "go on"] * 4


@given(st.lists(st.sampled_from([*LIKELY, *STEPS]), max_size=40))
def test_any_order(steps: list[str]) -> None:
    played = Played()
    machine = played.machine
    for name in steps:
        ended = (machine.status, machine.reason) if machine.state is State.ENDED else None
        retries = machine.retries
        STEPS[name](played)
        if ended is not None:
            assert (machine.state, machine.status, machine.reason) == (State.ENDED, *ended)
        if name in ("pause", "cancel"):
            assert machine.retries == retries
        if machine.state in (State.IDLE, State.ENDED):
            assert not played.open, f"{name}: {played.open} in {machine.state}"
        assert (machine.state is State.ENDED) == machine.status.terminal
    assert machine.status is not TransferStatus.COMPLETED or machine.file_sha256 == SHA
