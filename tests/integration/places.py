"""One transport on a network that can be disturbed, what everybody held there when nothing was wrong, and which cases the short run takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.rules import Http, Rule
from tests.integration.invariants import LINKS_EACH, Level, Promised, check_level
from tests.integration.network import MIB, ROLES, NetworkSite

RATE = 20e6
"""Bytes a second: a file of a few ten MiB lasts long enough to be disturbed."""


class Place:
    """A site whose agents speak one transport. Call ``heal`` before each test and ``settle`` behind it."""

    def __init__(self, site: NetworkSite, transport: str, limits: Mapping[str, object]) -> None:
        self.site = site
        self.transport = transport
        self.limits = limits
        site.configure(transport, limits)
        with Promised(site, site.file(64 * MIB)):
            pass
        self._base = Level.of(site)

    def heal(self) -> None:
        self.site.heal()
        self.site.configure(self.transport, self.limits)

    def settle(self) -> None:
        """Everything is as it was."""
        self.heal()
        check_level(self.site, self._base)

    def lost(self, role: str) -> int:
        """Links that the agent gave up, or found to be cut."""
        return self.site.agents[role].running.text().count("link_lost")

    def offline(self, role: str) -> int:
        """How often the hub missed the agent."""
        lines = self.site.hub.running.text().splitlines()
        return sum("agent offline" in line and f"agent={self.site.agents[role].name} " in line for line in lines)

    def trip_ms(self, role: str) -> float:
        """A real round trip to the agent, behind everything that its link has to carry."""
        return float(self.site.hub.client.post(f"/api/agents/{self.site.agents[role].id}/test")["round_trip_ms"])


def slow(rate: float = RATE) -> Rule:
    return replace(Rule.link(bandwidth=rate), http=Http())


def on(*quick: str, **more: Mapping[str, object]) -> pytest.MarkDecorator:
    """Each transport on each side, and with each value of ``more`` if given; what ``quick`` does not name is left to the long run.

    Names are like ``websocket-source``, and ``websocket-source-busy`` with ``busy={"busy": True, "idle": False}``.
    """
    ((argument, values),) = more.items() or [("", {"": None})]
    cases = {
        "-".join((transport, role, *([name] if name else []))): (transport, role, *([value] if argument else []))
        for name, value in values.items()
        for transport in ("websocket", "polling")
        for role in ROLES
    }
    assert set(quick) <= cases.keys(), quick
    params = [
        pytest.param(*case, id=name, marks=() if name in quick else pytest.mark.long) for name, case in cases.items()
    ]
    names = ("place", "role", argument) if argument else ("place", "role")
    return pytest.mark.parametrize(names, params, indirect=["place"])


def both(folder: Path, limits: Mapping[str, object]) -> Iterator[dict[str, Place]]:
    """A place for each transport, at one hub."""
    with ExitStack() as stack:
        places: dict[str, Place] = {}
        first: NetworkSite | None = None
        for transport in LINKS_EACH:
            (folder / transport).mkdir()
            site = NetworkSite(folder / transport, limits, first)
            stack.callback(site.stop)
            first = first or site
            places[transport] = Place(site, transport, limits)
        yield places
