"""Jobs that fire when files arrive: a real hub and real agents, one site for all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import kill_pid, wait_for

QUICK = {"FILEFLUX_LIMITS_WATCH_GATHER": "0.2"}
SETTLE = 0.4


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("watches"), QUICK)
    try:
        yield site
    finally:
        site.stop()


class Watched:
    """A job with a watch, and its two folders."""

    def __init__(self, site: Site, name: str, **watch: Any) -> None:
        self.site = site
        self.source = site.source.read / name
        self.target = site.destination.write / name
        self.source.mkdir()
        fields = {"watch": {"settle": SETTLE, **watch}, "chunk_size": 2**18}
        self.id = site.hub.job(site.source.id, self.source, site.destination.id, self.target, **fields)

    def state(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.site.hub.client.get(f"/api/jobs/{self.id}/watch")
        return answer

    def until(self, check: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        def checked() -> dict[str, Any] | None:
            state = self.state()
            return state if check(state) else None

        try:
            return wait_for(what, checked, 15)  # type: ignore[no-any-return]  # of what it checks
        except AssertionError as error:
            log = self.site.hub.running.text()[-2000:]
            raise AssertionError(f"{error}; {self.state()}; hub: {log}") from None

    def ok(self) -> dict[str, Any]:
        return self.until(lambda state: state["status"] == "ok", "the watch to be ok")

    def runs(self) -> list[dict[str, Any]]:
        return list(self.site.hub.client.pages("/api/runs", job_id=self.id))

    def moved(self) -> list[str]:
        """The file of every transfer that ended well, once for each."""
        rows = [row for run in self.runs() for row in self.site.hub.transfers(run["id"])]
        return sorted(row["filename"] for row in rows if row["status"] == "completed")

    def until_moved(self, *names: str) -> None:
        try:
            wait_for(f"{names} to be moved", lambda: self.moved() == sorted(names), 15)
        except AssertionError as error:
            rows = [(run["id"], run["status"], self.site.hub.transfers(run["id"])) for run in self.runs()]
            raise AssertionError(f"{error}; {self.moved()}; {self.state()}; {rows}") from None


def test_what_arrives_is_moved_once_and_whole(site: Site) -> None:
    job = Watched(site, "pieces", settle=0.8)
    (job.source / "there.txt").write_text("before the job heard of anything")
    assert job.ok()["how"] == "native"
    with (job.source / "slow.bin").open("wb", buffering=0) as file:
        for piece in range(5):
            file.write(bytes([piece]) * 50_000)
            # Longer than a settling time in all.
            time.sleep(0.2)
    # Renamed from outside of the folder, into a directory that nobody listened to before.
    (site.source.read / "aside").write_bytes(b"renamed" * 1000)
    (job.source / "new").mkdir()
    os.rename(site.source.read / "aside", job.source / "new" / "renamed.bin")
    job.until_moved("there.txt", "slow.bin", "new/renamed.bin")
    assert (job.target / "slow.bin").read_bytes() == b"".join(bytes([piece]) * 50_000 for piece in range(5))
    assert (job.target / "new" / "renamed.bin").read_bytes() == b"renamed" * 1000
    assert {run["trigger"] for run in job.runs()} == {"watch"}
    # The same name in another version is another file; with the same version it is not.
    (job.source / "there.txt").write_text("another text")
    job.until_moved("there.txt", "there.txt", "slow.bin", "new/renamed.bin")
    state = job.until(lambda state: state["pending"] == 0, "nothing to wait")
    assert (state["seen"], state["last_run_id"]) == (3, max(run["id"] for run in job.runs()))


def test_a_file_waits_for_its_marker_which_never_leaves(site: Site) -> None:
    job = Watched(site, "marked", marker=".done", poll=0.5)
    (job.source / "b.csv").write_text("b")
    (job.source / "a.csv").write_text("a")
    (job.source / "a.csv.done").touch()
    job.until_moved("a.csv")
    assert job.ok()["how"] == "looking"
    (job.source / "b.csv.done").touch()
    job.until_moved("a.csv", "b.csv")
    assert sorted(os.listdir(job.target)) == ["a.csv", "b.csv"]


def test_restarts_of_either_side_lose_nothing_and_repeat_nothing(site: Site) -> None:
    job = Watched(site, "restarts")
    (job.source / "1").write_text("1")
    job.until_moved("1")
    site.source.stop()
    job.until(lambda state: state["status"] == "waiting", "the agent to be missed")
    (job.source / "2").write_text("2")
    site.source.start()
    job.until_moved("1", "2")
    kill_pid(site.hub.server_pid)
    (job.source / "3").write_text("3")
    job.until_moved("1", "2", "3")
    assert job.state()["seen"] == 3


def test_a_watch_follows_its_job_and_says_what_is_wrong(site: Site) -> None:
    job = Watched(site, "edited")
    job.ok()
    client = site.hub.client
    client.post(f"/api/jobs/{job.id}/disable")
    assert job.state()["status"] == "off"
    (job.source / "a").write_text("a")
    client.patch(f"/api/jobs/{job.id}", {"source_path": str(job.source / "missing")})
    client.post(f"/api/jobs/{job.id}/enable")
    state = job.until(lambda state: state["status"] == "failed", "the folder to be missed")
    assert "does not exist" in state["reason"]
    client.patch(f"/api/jobs/{job.id}", {"source_path": "/etc"})
    state = job.until(lambda state: "roots" in state["reason"], "the roots to be held")
    client.patch(f"/api/jobs/{job.id}", {"source_path": str(job.source)})
    job.until_moved("a")
