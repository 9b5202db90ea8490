"""The doctor inside a running agent: the same walk to the hub, over connections of its own, so that the session goes on undisturbed.

One at a time and within a limit: a report that is late says how far it came.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.resolver import Resolver
from fileflux.clock import Clock
from fileflux.errors import FluxError, OverloadedError
from flux_agent.config import AgentConfig
from flux_agent.doctor_report import Check
from flux_agent.doctor_walk import LAYERS, Walk, configuration
from flux_agent.transfer.turns import Turns
from flux_agent.transfer.workers import Workers
from flux_agent.transports.network import Network

Examined = Callable[[Sequence[Check] | None, FluxError | None], None]
WALK_S: Final = 45.0
"""For the whole walk. A step waits for ``handshake_timeout`` at most, so a walk that takes longer has failed more than once."""
HIDDEN: Final = "(hidden)"


class OwnDoctor:
    """One per process. ``examine`` is called inside a turn, and so is what it is given."""

    def __init__(
        self, config: AgentConfig, workers: Workers, turns: Turns, clock: Clock, resolver: Resolver | None = None
    ) -> None:
        """``resolver``: the process's own, so that a dead name server is not asked once for each report."""
        self._resolver = resolver or Resolver()
        self._config = config
        self._workers = workers
        self._turns = turns
        self._clock = clock
        self._examination: _Examination | None = None

    def examine(self, done: Examined) -> None:
        """``done`` gets the checks within WALK_S, or OverloadedError at once while another examination runs."""
        if self._examination is not None:
            done(None, OverloadedError("the doctor is at work at this agent: wait for its report", code="busy"))
            return

        def ended(checks: Sequence[Check]) -> None:
            self._examination = None
            done(checks, None)

        self._examination = _Examination(self._config, self._turns, self._clock, self._resolver, ended)
        self._examination.begin(self._workers)


class _Examination:
    def __init__(
        self,
        config: AgentConfig,
        turns: Turns,
        clock: Clock,
        resolver: Resolver,
        ended: Callable[[Sequence[Check]], None],
    ) -> None:
        self._config = config
        self._turns = turns
        self._ended: Callable[[Sequence[Check]], None] | None = ended
        self._failed: Check | None = None
        self._walk: Walk | None = None
        self._secrets = [config.token]
        try:
            network = Network.from_config(config, clock, resolver)
        except FluxError as error:
            # The files that it names may have changed since the agent started.
            self._failed = Check("configuration", "fail", str(error))
        else:
            self._walk = Walk(config, network, clock)
            if network.proxy is not None and network.proxy.authorization is not None:
                self._secrets += _parts(network.proxy.authorization)
        self._walked = self._walk is None
        self._roots: list[Check] | None = None

    def begin(self, workers: Workers) -> None:
        self._timer = runtime.spawn_later(WALK_S, lambda: self._turns.post(self._report))
        self._task = runtime.spawn(self._go, name="doctor")
        workers.submit("disk", "check_roots", {}, self._looked)

    def _go(self) -> None:
        try:
            if self._walk is not None:
                self._walk.checks()
        finally:
            self._turns.post(self._arrived)

    def _arrived(self) -> None:
        self._walked = True
        self._report_if_whole()

    def _looked(self, value: dict[str, Any] | None, error: FluxError | None) -> None:
        if value is None:
            self._roots = [Check("root", "warn", f"nobody could look: {error}")]
        else:
            self._roots = [Check("root", row["status"], row["found"], row["advice"]) for row in value["checks"]]
        self._report_if_whole()

    def _report_if_whole(self) -> None:
        if self._walked and self._roots is not None:
            self._report()

    def _report(self) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        self._timer.cancel()
        if not self._task.dead:
            self._task.kill(block=False)
        made = [self._failed] if self._failed is not None else [configuration(self._config)]
        if self._walk is not None:
            made += self._walk.made
            late = LAYERS[len(self._walk.made) :]
            made += [Check(name, "skipped", f"not reached within {WALK_S:g} s") for name in late]
        made += self._roots or [
            Check("root", "fail", f"no answer within {WALK_S:g} s", "look for a file system that hangs")
        ]
        ended([self._clean(check) for check in made])

    def _clean(self, check: Check) -> Check:
        """What others sent may be in it, and what an error quotes: neither secrets nor what moves a terminal's cursor goes out."""
        return replace(check, found=self._text(check.found), advice=self._text(check.advice))

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return "".join(character if character.isprintable() else "?" for character in text)


def _parts(authorization: str) -> list[str]:
    """All forms in which a proxy's credentials might be quoted."""
    encoded = authorization.partition(" ")[2]
    try:
        pair = base64.b64decode(encoded).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return [encoded]
    password = pair.partition(":")[2]
    return [part for part in (encoded, pair, password) if part]
