"""What real runs leave behind for whoever asks why: explain, the report, and the filter tester at a real agent."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fileflux.cli.client import HubClient
from fileflux.errors import NotFoundError
from tests.integration.conftest import Site

ODD = b"caf\xe9=1.csv"


@pytest.fixture(scope="module")
def moved(site: Site) -> tuple[Path, Path, dict[str, Any]]:
    """A tree with something of each kind, and the run that moved it."""
    source, target = site.source.read / "why", site.destination.write / "why"
    for name in ("a.csv", "b.csv", "x.tmp", "build/deep/c.csv", "sub/d.csv", "sub/e.csv"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    Path(os.fsdecode(os.fsencode(source) + b"/" + ODD)).write_text("odd")
    (source / "link").symlink_to("a.csv")
    closed = source / "closed"
    closed.mkdir()
    target.mkdir()
    (target / "b.csv").write_text("another")
    job = site.hub.job(
        site.source.id, source, site.destination.id, target, exclude=["*.tmp", "build/"], conflict="rename"
    )
    return source, target, site.hub.wait_ended(site.hub.run(job))


def why(client: HubClient, run: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/runs/{run['id']}/explain", path=path)
    return found


def test_every_path_has_its_reason(site: Site, moved: tuple[Path, Path, dict[str, Any]]) -> None:
    source, _, run = moved
    client = site.hub.client
    assert run["status"] == "succeeded", run
    for path, verdict, words in (
        ("a.csv", "sent", "sent and verified"),
        (f"{source}/sub/d.csv", "sent", "sub/d.csv was sent"),
        ("caf\\xe9=1.csv", "sent", "caf\\xe9=1.csv was sent"),
        ("b.csv", "renamed", "conflict is rename"),
        ("link", "skipped", "symbolic link"),
        ("x.tmp", "left_out", "*.tmp matches x.tmp"),
        ("build/deep/c.csv", "left_out", "build/ matches build"),
        ("sub", "directory", "a directory of the run"),
        ("sub/nothing", "not_there", "when it was listed at "),
        ("/etc/passwd", "outside", "not below the source"),
    ):
        found = why(client, run, path)
        assert (found["verdict"], words in found["summary"]) == (verdict, True), found


def test_the_report_has_every_file(site: Site, moved: tuple[Path, Path, dict[str, Any]]) -> None:
    _, target, run = moved
    with site.hub.client.download(f"/api/runs/{run['id']}/report", format="ndjson") as pieces:
        lines = [json.loads(line) for line in b"".join(pieces).decode().splitlines()]
    files = {line["path"]: line for line in lines[:-1]}
    assert set(files) == {"a.csv", "b.csv", "sub/d.csv", "sub/e.csv", "caf\\xe9=1.csv", "link"}
    assert files["link"]["status"] == "skipped"
    assert files["b.csv"]["final_path"] != str(target / "b.csv")
    assert Path(files["b.csv"]["final_path"]).read_text() == "b.csv"
    assert all(len(line["file_hash"]) == 64 for line in files.values() if line["status"] == "completed")
    assert (lines[-1]["kind"], lines[-1]["size"], lines[-1]["status"]) == ("end", 6, "succeeded")
    with site.hub.client.download(f"/api/runs/{run['id']}/report", status="skipped") as pieces:
        rows = list(csv.DictReader(io.StringIO(b"".join(pieces).decode(), newline="")))
    assert [(row["path"], row["kind"]) for row in rows] == [("link", "symlink"), ("", "end")]


def test_rules_are_tried_out_at_the_agent(site: Site, moved: tuple[Path, Path, dict[str, Any]]) -> None:
    source, _, _ = moved
    body = {"agent_id": site.source.id, "path": str(source), "include": ["*.csv"], "exclude": ["build/"]}
    found = site.hub.client.post("/api/jobs/match", body)
    assert (found["files"], found["matched"], found["stopped"], found["errors"]) == (8, 5, "", 0), found
    assert found["base"] == str(source)
    assert {one["path"]: one["why"] for one in found["unmatched_sample"]} == {
        "x.tmp": "none of the include patterns matches it",
        "link": "none of the include patterns matches it",
        "build/deep/c.csv": "the exclude pattern build/ matches build",
    }
    glob = site.hub.client.post("/api/jobs/match", {"agent_id": site.source.id, "path": f"{source}/s*/d*"})
    assert (glob["files"], glob["matched"]) == (1, 1)
    with pytest.raises(NotFoundError, match="does not exist"):
        site.hub.client.post("/api/jobs/match", {**body, "path": f"{source}/nowhere"})
