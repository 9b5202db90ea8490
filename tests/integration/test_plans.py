"""Plans of real trees: what is new, changed, equal, extra and refused, and what had drifted when they were run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Site
from tests.integration.harness import Agent, wait_for

OLD = 1_600_000_000 * 10**9
HERE = {"new": "1", "d/new": "12", "changed": "now", "equal": "same", "kept": "x", "link": "-> new"}
THERE = {"changed": "before", "equal": "same", "extra": "y", "gone/extra": "z", "kept/inside": "?"}


def make(folder: Path, tree: dict[str, str]) -> None:
    for name, text in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            os.utime(path, ns=(OLD, OLD))


def plan(site: Site, job_id: int) -> dict[str, Any]:
    made = site.hub.client.post(f"/api/jobs/{job_id}/plan")

    def over() -> dict[str, Any] | None:
        shown: dict[str, Any] = site.hub.client.get(f"/api/plans/{made['id']}")
        return shown if shown["status"] != "planning" else None

    shown: dict[str, Any] = wait_for("the plan", over)
    return shown


def entries(site: Site, plan_id: int, of_class: str) -> dict[str, str]:
    found = site.hub.client.pages(f"/api/plans/{plan_id}/entries", None, **{"class": of_class})
    return {entry["path"]: entry["reason"] for entry in found}


@pytest.mark.parametrize("kind", ["push", "pull"])
def test_a_plan_says_what_a_run_would_do_and_a_run_what_had_changed(site: Site, kind: str) -> None:
    source, target = site.source.read / f"plan-{kind}", site.destination.write / f"plan-{kind}"
    make(source, HERE)
    make(target, THERE)
    job = site.hub.job(site.source.id, source, site.destination.id, target, type=kind, exclude=["*.tmp"])
    shown = plan(site, job)
    assert shown["status"] == "ready", shown
    by_class = {name: entries(site, shown["id"], name) for name in ("new", "changed", "equal", "extra", "refused")}
    assert set(by_class["new"]) == {"new", "d", "d/new"}
    assert set(by_class["changed"]) == {"changed"}
    assert set(by_class["equal"]) == {"equal"}
    assert set(by_class["extra"]) == {"extra", "gone", "gone/extra", "kept/inside"}
    assert by_class["refused"] == {
        "kept": "a directory stands at its place",
        "link": "symbolic link (symlinks: skip)",
    }
    assert (shown["new"], shown["directories"]) == ({"files": 2, "bytes": 3}, 1)
    assert shown["changed"] == {"files": 1, "bytes": 3}
    assert shown["estimated_s"] is None
    assert shown["warnings"] == []

    (source / "later").write_text("?")
    (source / "d" / "new").unlink()
    (source / "equal").write_text("other")
    run = site.hub.client.post(f"/api/plans/{shown['id']}/run")
    assert site.hub.wait_ended(run["id"])["status"] == "partial", "a directory is where one file should be"
    path = f"/api/runs/{run['id']}/drift"
    wait_for("the drift", lambda: site.hub.client.get(path)["ready"])
    drift = {name: site.hub.client.get(path, kind=name) for name in ("new", "changed", "gone")}
    assert {name: [item["path"] for item in found["items"]] for name, found in drift.items()} == {
        "new": ["later"],
        "changed": ["equal"],
        "gone": ["d/new"],
    }
    assert {name: drift["new"][name] for name in drift} == {"new": 1, "changed": 1, "gone": 1}
    assert (target / "equal").read_text() == "other"


def test_one_file_an_empty_destination_and_what_cannot_be_planned(site: Site) -> None:
    source, target = site.source.read / "plan-one", site.destination.write / "plan-one"
    make(source, {"a": "1"})
    one = site.hub.job(site.source.id, source / "a", site.destination.id, target / "b")
    assert plan(site, one)["new"] == {"files": 1, "bytes": 1}
    make(target, {"b": "1"})
    shown = plan(site, one)
    assert (shown["equal"], shown["extra"]) == ({"files": 1, "bytes": 1}, {"files": 0, "bytes": 0})

    lost = site.hub.job(site.source.id, source / "nothing", site.destination.id, target)
    shown = plan(site, lost)
    assert (shown["status"], "does not exist" in shown["reason"]) == ("failed", True), shown
    assert site.hub.client.get(f"/api/jobs/{lost}/plans")["items"][0]["id"] == shown["id"]

    empty = source.parent / "plan-empty"
    empty.mkdir()
    removes = site.hub.job(site.source.id, empty, site.destination.id, target, delete_extra=True)
    assert plan(site, removes)["warnings"] == ["nothing would be removed at the destination: the source is empty"]


def test_delete_extra_leaves_its_own_source_and_what_the_rules_leave_out(site: Site) -> None:
    agent = Agent(site.hub, "both", site.folder)
    agent.read = agent.write
    target = agent.write / "mirror"
    source = target / "in"
    make(source, {"a": "1"})
    make(target, {"old": "x", "gone/kept.tmp": "y", "gone/f": "z", "empty/deep/er": "w"})
    try:
        agent.start()
        job = site.hub.job(
            agent.id, source, agent.id, target,
            delete_extra=True, exclude=["*.tmp"], on_success="archive", archive_path=str(target / "done"),
        )  # fmt: skip
        run = site.hub.wait_ended(site.hub.run(job))
    finally:
        agent.stop()
    assert (run["status"], run["reason"], run["delete_errors"]) == ("succeeded", "", 0)
    assert run["files_deleted"] == 5
    left = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert left == ["a", "done/a", "gone/kept.tmp"]


def too_deep(folder: Path) -> None:
    """A path below that no listing can name."""
    folder.mkdir()
    place = os.open(folder, os.O_RDONLY)
    for _ in range(17):
        os.mkdir("d" * 250, dir_fd=place)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)


@pytest.mark.parametrize("where", ["source", "destination"])
def test_delete_extra_removes_nothing_when_a_listing_has_errors_and_raises_an_alert(site: Site, where: str) -> None:
    source, target = site.source.read / f"doubt-{where}", site.destination.write / f"doubt-{where}"
    make(source, {"a": "1"})
    make(target, {"b": "x"})
    too_deep((source if where == "source" else target) / "deep")
    job = site.hub.job(site.source.id, source, site.destination.id, target, delete_extra=True)
    warned = plan(site, job)["warnings"]
    assert warned[-1] == f"nothing would be removed at the destination: the {where}'s listing had errors"
    run = site.hub.wait_ended(site.hub.run(job))
    assert (run["status"], run["files_deleted"]) == ("partial" if where == "source" else "succeeded", 0)
    assert "nothing was removed at the destination: the" in run["reason"]
    assert (target / "b").exists()
    assert (target / "a").exists()
    alerts = [one for one in site.hub.client.get("/api/alerts")["items"] if one["object"] == f"job:{job}"]
    assert [(one["kind"], "nothing was removed" in one["message"]) for one in alerts] == [("delete_refused", True)]
    shutil.rmtree(source)
    shutil.rmtree(target)
