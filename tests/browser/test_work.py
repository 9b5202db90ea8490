"""What people come for, step by step in the browser: an agent is enrolled, a job made and run, one cancelled, one retried, a token revoked."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.integration.conftest import Site
from tests.integration.harness import QUICK_LIMITS, Process


def copied(page: Page) -> str:
    """What the copy box that is shown holds."""
    return page.locator("ff-copy pre:visible").first.inner_text()


def test_from_nothing_to_an_agent_that_is_online(admin: Visit, site: Site, tmp_path: Path) -> None:
    page = admin.page
    admin.go("agents")
    page.get_by_role("button", name="Create an agent").click()
    page.get_by_label("Name", exact=False).first.fill("laptop")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("Waiting for it to connect")).to_be_visible()
    command = copied(page)
    assert f"curl -fsSL {admin.url}/install.sh | sh -s -- --token-file fileflux-token" in command
    assert "--name laptop" in command
    token = re.search(r"'(ffx_[^']+)'", command)
    assert token is not None
    file = tmp_path / "token"
    file.write_text(token[1])
    file.chmod(0o600)
    arguments = ["run", "--hub", admin.url, "--token-file", str(file), "--name", "laptop", "--read", str(tmp_path)]
    limits = {f"FLUX_AGENT_LIMITS_{name}": value for name, value in QUICK_LIMITS.items()}
    agent = Process([sys.executable, "-m", "flux_agent.cli", *arguments], tmp_path / "log", limits)
    try:
        expect(page.get_by_text("laptop is online.")).to_be_visible()
        page.get_by_role("button", name="Close").click()
        expect(page.get_by_role("row").filter(has_text="laptop").get_by_text("Online")).to_be_visible()
        assert token[1] not in page.content()

        page.get_by_role("link", name="laptop").click()
        page.get_by_role("button", name="Measure the round trip").click()
        expect(page.get_by_text(re.compile(r"[0-9.]+ ms there and back over WebSocket"))).to_be_visible()
        page.get_by_role("button", name="Edit", exact=True).click()
        edit = page.locator("ff-agent-edit")
        edit.get_by_label("Description").fill("on my desk")
        edit.get_by_label("Limit (MiB per second)").fill("2.5")
        edit.get_by_role("button", name="Save").click()
        expect(page.locator("ff-agent")).to_contain_text("on my desk")
        expect(page.locator("ff-agent dl")).to_contain_text("2.50 MiB/s")
        page.get_by_role("button", name="Revoke").click()
        page.locator("ff-confirm").get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("revoked", exact=True)).to_be_visible()
        expect(page.locator("ff-agent .head").get_by_text("Offline")).to_be_visible()
    finally:
        agent.stop()
    admin.judge()


@pytest.fixture
def documents(site: Site) -> Path:
    folder = site.source.read / "documents"
    folder.mkdir()
    for name in ("a.txt", "b.txt", "picture.png"):
        (folder / name).write_bytes(os.urandom(2000))
    return folder


def test_a_job_is_made_with_the_editor_tried_out_and_run(admin: Visit, site: Site, documents: Path) -> None:
    page = admin.page
    admin.go("jobs")
    page.get_by_role("link", name="New job").click()
    page.get_by_label("Name", exact=True).fill("Documents")
    page.get_by_label("Source agent").select_option("source")
    page.get_by_label("Destination agent").select_option("destination")
    page.get_by_role("button", name="Browse: Source path").click()
    browser = page.locator("ff-browser")
    browser.get_by_role("button", name=str(site.source.read)).click()
    browser.get_by_role("button", name="documents").click()
    expect(browser.get_by_text("picture.png")).to_be_visible()
    browser.get_by_role("button", name="Take this folder").click()
    expect(page.get_by_role("textbox", name="Source path")).to_have_value(str(documents))
    page.get_by_role("textbox", name="Destination folder").fill(f"{site.destination.write}/documents")
    page.get_by_label("Include").fill("*.txt")
    page.get_by_role("button", name="Try these rules").click()
    expect(page.get_by_text("matches 2 of 3 files, 3.90 KiB")).to_be_visible()
    page.get_by_label("Start it").select_option("0 2 * * *")
    expect(page.get_by_label("The next five times").get_by_role("listitem")).to_have_count(5)
    page.get_by_role("button", name="Create and run").click()
    expect(page.get_by_text("Succeeded, 2 files, 3.90 KiB, verified")).to_be_visible()
    assert sorted(path.name for path in (site.destination.write / "documents").iterdir()) == ["a.txt", "b.txt"]

    page.get_by_role("link", name="Documents").click()
    expect(page.get_by_text("0 2 * * *").first).to_be_visible()
    assert "--include '*.txt'" in copied(page)
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.locator("ff-plan")).to_contain_text(re.compile(r"equal already\s*2"))
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Description").fill("Twice as good")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("ff-job-history")).to_contain_text('description "" "Twice as good"')
    admin.judge()


def test_a_job_that_somebody_else_changed_is_not_overwritten(admin: Visit, site: Site) -> None:
    job = site.hub.job(
        site.source.id, site.source.read, site.destination.id, f"{site.destination.write}/x", name="Ours"
    )
    admin.go(f"jobs/{job}/edit")
    admin.page.get_by_label("Description").fill("mine")
    site.hub.client.patch(f"/api/jobs/{job}", {"description": "theirs"})
    admin.page.get_by_role("button", name="Save").click()
    expect(admin.page.get_by_role("alert")).to_contain_text("Somebody else has changed this job meanwhile")
    assert site.hub.client.get(f"/api/jobs/{job}")["description"] == "theirs"


def test_a_run_is_paused_goes_on_and_is_cancelled(admin: Visit, site: Site) -> None:
    page = admin.page
    big = site.source.read / "big.bin"
    big.write_bytes(os.urandom(192 * 2**20))
    run = site.hub.run(
        site.hub.job(site.source.id, big, site.destination.id, f"{site.destination.write}/big/", name="Big")
    )
    admin.go(f"runs/{run}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("ff-run .head").get_by_text("Paused")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("ff-run .head").get_by_text("Transferring")).to_be_visible()
    page.get_by_role("button", name="Cancel the run").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.locator("ff-summary")).to_contain_text("Cancelled after")
    assert site.hub.show(run)["status"] == "cancelled"
    admin.judge()


def test_a_failure_says_why_and_is_retried(admin: Visit, site: Site) -> None:
    page = admin.page
    missing = site.source.read / "later"
    site.hub.job(site.source.id, missing, site.destination.id, f"{site.destination.write}/later", name="Later")
    admin.go("jobs")
    page.get_by_label("Search").fill("later")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Run the job Later").click()
    expect(page.locator("ff-summary .reason")).to_contain_text("does not exist")
    missing.mkdir()
    (missing / "now.txt").write_text("here")
    page.get_by_role("button", name="Retry what failed").click()
    expect(page.get_by_text("Succeeded, 1 file, 4 B, verified")).to_be_visible()
    page.get_by_role("button", name="What became of now.txt").click()
    expect(page.locator("ff-file")).to_contain_text(hashlib.sha256(b"here").hexdigest())
    page.locator("ff-file").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Explain a file").click()
    page.get_by_label("Path below the source").fill("now.txt")
    page.get_by_role("button", name="Explain", exact=True).click()
    expect(page.locator("ff-explain .summary")).to_contain_text("now.txt")
    page.locator("ff-explain").get_by_role("button", name="Close").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report").click()
    assert "now.txt" in Path(download.value.path()).read_text()
    admin.go("")
    expect(page.locator("ff-dashboard").get_by_text("Later").first).to_be_visible()
    admin.judge()
