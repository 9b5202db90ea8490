"""Hours of work among seeded faults: run after run, each disturbed by one or two of them, and each ends verified.

    FILEFLUX_SOAK_S=86400 FILEFLUX_SOAK_SEED=7 pytest -m long tests/integration/test_soak.py

Without the variables: two minutes, and a seed that the output tells.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.faults.rules import End, Rule
from tests.integration.conftest import Site, write_numbered
from tests.integration.harness import EMAIL
from tests.integration.invariants import Level, check_level, check_logs, sha256
from tests.integration.test_kill import VICTIMS, kill, link, restart
from tests.integration.watch import FinalNames

MIB = 2**20
SIZE = 48 * MIB
FROZEN_S = 3.0
DAY = 24 * 3600
SECONDS = float(os.environ.get("FILEFLUX_SOAK_S", "120"))
SEED = int(os.environ.get("FILEFLUX_SOAK_SEED", str(time.time_ns() % 10_000)))


class Nemesis:
    """Does one thing after the other that must not matter."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        faults: list[tuple[str, Callable[[], None]]] = [
            (f"{victim} killed", lambda victim=victim: self._kill(victim)) for victim in VICTIMS
        ]
        faults += [("link reset", self._reset), ("hub frozen", self._freeze), ("link slow", self._slow)]
        self._faults = faults

    def strike(self) -> None:
        name, act = self._chance.choice(self._faults)
        print(f"  {name}")
        act()

    def _kill(self, victim: str) -> None:
        kill(self._site, victim)
        restart(self._site, victim)

    def _reset(self) -> None:
        link(self._site).cut_all(End.RESET)

    def _freeze(self) -> None:
        server = psutil.Process(self._site.hub.server_pid)
        server.send_signal(signal.SIGSTOP)
        try:
            time.sleep(FROZEN_S)
        finally:
            server.send_signal(signal.SIGCONT)

    def _slow(self) -> None:
        link(self._site).set(Rule.link(bandwidth=4e6))
        time.sleep(self._chance.uniform(0.5, 2.0))
        link(self._site).set(Rule.link(bandwidth=30e6))


@pytest.mark.long
@pytest.mark.timeout(2 * DAY)
def test_faults_without_end(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    site = Site(tmp_path, source_link=Rule.link(bandwidth=30e6))
    try:
        source = site.source.read / "numbered.bin"
        write_numbered(source, SIZE)
        digest = sha256(source)
        nemesis, base = Nemesis(site, chance), Level.of(site)
        end, number = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            number += 1
            print(f"run {number}")
            one_run(site, nemesis, chance, source, digest, number)
        check_level(site, base, within=60)
        check_logs(site)
        assert number > 1
    finally:
        site.stop()


def one_run(site: Site, nemesis: Nemesis, chance: random.Random, source: Path, digest: str, number: int) -> None:
    """Moved among one or two faults, it stands there once, whole, and alone."""
    target = site.destination.write / str(number)
    target.mkdir()
    # A login lasts for a quarter of an hour.
    site.hub.client.login(EMAIL, site.hub.password)
    with FinalNames(target, {source.name: digest}) as names:
        run = site.hub.run(site.hub.job(site.source.id, source, site.destination.id, f"{target}/", compression="none"))
        for _ in range(chance.randint(1, 2)):
            time.sleep(chance.uniform(0.1, 2.0))
            nemesis.strike()
        ended = site.hub.wait_ended(run, 120)
    assert ended["status"] == "succeeded", ended
    assert dict(names.appeared) == {source.name: 1}
    assert not names.torn
    assert os.listdir(target) == [source.name]
    (target / source.name).unlink()
    target.rmdir()
