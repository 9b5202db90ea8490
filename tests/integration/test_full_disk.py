"""The hub's own disk fills up while it works, as a real mount does, and has room again: what it says meanwhile, and that nobody has to mend anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fileflux.errors import FluxError
from tests.agent.files.mounts import mounted
from tests.integration.conftest import Site, write_numbered
from tests.integration.harness import wait_for

MIB = 2**20
DISK = 400 * MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where the hub's data is."""
    folder = tmp_path / "site"
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", f"size={DISK}", "none", on=folder):
        yield folder


def fill(filler: Path) -> None:
    """Take everything that is left."""
    with filler.open("wb", buffering=0) as file:
        seen = os.fstatvfs(file.fileno())
        os.posix_fallocate(file.fileno(), 0, seen.f_bavail * seen.f_frsize)


def test_the_hub_outlives_a_full_disk(disk: Path) -> None:
    site = Site(disk)
    filler = disk / "filler"
    try:
        url = site.hub.client.url
        write_numbered(site.source.read / "before.bin", 4 * MIB)
        job = site.hub.job(site.source.id, site.source.read, site.destination.id, site.destination.write)
        assert site.hub.wait_ended(site.hub.run(job))["status"] == "succeeded"
        write_numbered(site.source.read / "meanwhile.bin", 4 * MIB)
        fill(filler)
        wait_for(
            "the hub to say that it is not ready",
            lambda: requests.get(f"{url}/readyz", timeout=10).status_code == 503,
            30,
        )
        code = ""
        for _ in range(100):
            # Each is about 100 KiB of the database, until it has no page left for one.
            rules = [os.urandom(500).hex() for _ in range(95)]
            try:
                site.hub.job(
                    site.source.id, site.source.read, site.destination.id, site.destination.write, include=rules
                )
            except FluxError as error:
                code = error.code
                break
        assert code in ("unavailable", "no_space"), "refused, and not for anything that the asker did"
        filler.unlink()
        wait_for("the hub to be ready", lambda: requests.get(f"{url}/readyz", timeout=10).status_code == 200, 60)
        run_id = wait_for("the job to be run", lambda: site.hub.run(job), 30)
        assert site.hub.wait_ended(run_id, 60)["status"] == "succeeded"
        assert (site.destination.write / "meanwhile.bin").read_bytes() == (
            site.source.read / "meanwhile.bin"
        ).read_bytes()
    finally:
        filler.unlink(missing_ok=True)
        site.stop()
