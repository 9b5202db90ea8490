"""A hub and two agents with a fault proxy before each agent, so that each side of a transfer has a network of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults.proxy import FaultProxy
from tests.faults.rules import Http, Rule
from tests.integration.conftest import Site, write_numbered
from tests.integration.harness import EMAIL, QUICK_LIMITS, Agent, Hub, wait_for
from tests.integration.store import connects

MIB = 2**20
WINDOW = 8 * MIB
"""Smaller than everybody else's, so that what is sent twice shows."""
LOOK_ON = Rule(http=Http())
"""Nothing happens; requests and upgrades are recorded."""
ROLES = ("source", "destination")
CLOCK_STEP = timedelta(milliseconds=20)
"""Between the hub's clock and the database's."""


class NetworkSite(Site):
    """``limits`` are the hub's; agents start with ``configure``. ``beside``: another site with its own agents at the same hub."""

    def __init__(
        self, folder: Path, limits: Mapping[str, object] | None = None, beside: NetworkSite | None = None
    ) -> None:
        self.folder = folder
        self._stack = ExitStack()
        if beside is None:
            self.hub = Hub(folder, env=_environment("FILEFLUX", {"WINDOW_MAX": WINDOW, **(limits or {})}))
            self._stack.callback(self.hub.stop)
            self.hub.start()
        else:
            self.hub = beside.hub
        self.proxies = {role: self._proxy() for role in ROLES}
        names = {role: role if beside is None else f"other-{role}" for role in ROLES}
        self.source, self.destination = (
            Agent(self.hub, names[role], folder, hub_url=proxy.url()) for role, proxy in self.proxies.items()
        )
        self.agents = {"source": self.source, "destination": self.destination}
        self._configured: dict[str, dict[str, str] | None] = dict.fromkeys(ROLES)

    def _proxy(self) -> FaultProxy:
        # An address of its own: the kernel remembers per address what connections were like, and these are like no other.
        return self._stack.enter_context(FaultProxy(self.hub.port, rule=LOOK_ON, listen="127.0.0.77"))

    def configure(
        self, mode: str | None = None, limits: Mapping[str, object] | None = None, roles: tuple[str, ...] = ROLES
    ) -> None:
        """Agents with this transport_mode and these limits, started again if they have others; None: nothing is configured."""
        wanted = _environment("FLUX_AGENT", limits or {})
        if mode is not None:
            wanted["FLUX_AGENT_TRANSPORT_MODE"] = mode
        others = [role for role in roles if self._configured[role] != wanted]
        for role in others:
            agent = self.agents[role]
            agent.stop()
            agent._env = _environment("FLUX_AGENT", QUICK_LIMITS) | wanted
            agent.start(wait=False)
            self._configured[role] = wanted
        for role in others:
            self.agents[role].wait_online()

    def stop(self) -> None:
        with self._stack:
            for agent in self.agents.values():
                agent.stop()

    def heal(self) -> None:
        """The network is as it should be, and both agents are there. A login lasts for a quarter of an hour, the long run for longer."""
        self.hub.client.login(EMAIL, self.hub.password)
        for proxy in self.proxies.values():
            # Connections that had a rule of their own follow the others again.
            proxy._rules.clear()
            proxy.set(LOOK_ON)
            proxy.open_port()
        for agent in self.agents.values():
            if agent.process is not None:
                agent.wait_online()

    def disturb(self, role: str, change: Callable[[Rule], Rule]) -> None:
        """Change what happens to the connections that are open now; new ones are left alone."""
        proxy = self.proxies[role]
        for connection in proxy.open:
            proxy.set(change(replace(connection.rule)), nth=connection.index)

    def shown(self, role: str) -> dict[str, str | None]:
        """What the API says of an agent's link."""
        agent = self.hub.client.get(f"/api/agents/{self.agents[role].id}")
        return {name: agent[name] for name in ("status", "transport", "transport_reason")}

    def wait_for_transport(self, role: str, wanted: str, timeout: float = 30.0) -> None:
        def there() -> bool:
            seen = self.shown(role)
            return (seen["status"], seen["transport"]) == ("online", wanted)

        wait_for(f"{role} to be online over {wanted}", there, timeout)

    def connects(self, role: str) -> list[dict[str, Any]]:
        """The audit log's entries on an agent's links, the present one included."""

        def written() -> list[dict[str, Any]] | None:
            since = self.hub.client.get(f"/api/agents/{self.agents[role].id}")["connected_since"]
            found = connects(self.hub, self.agents[role].name)
            if since is not None and (not found or found[-1]["at"] < datetime.fromisoformat(since) - CLOCK_STEP):
                return None
            return found

        entries: list[dict[str, Any]] = wait_for(f"the audit log to know the link of {role}", written, 10)
        return entries

    def links(self) -> dict[str, int]:
        """How many links each agent has had."""
        return {role: len(self.connects(role)) for role in self.agents}

    def file(self, size: int) -> Path:
        """A new source file whose every 4 KiB block carries its number and the file's generation."""
        path = self.source.read / f"{os.urandom(6).hex()}.bin"
        write_numbered(path, size)
        return path


def _environment(prefix: str, limits: Mapping[str, object]) -> dict[str, str]:
    return {f"{prefix}_LIMITS_{name}": str(value) for name, value in limits.items()}
