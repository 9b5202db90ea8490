"""The user interface as a person has it: log in, press Run, watch every byte arrive, with the live feed and without it."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import EVIL, EVIL_PATH, UPLINK, Visit, poll_until
from tests.integration.conftest import Site
from tests.integration.harness import EMAIL

BEHIND_MAX = 3.0
"""Seconds that a page may be behind the hub."""
FILES = 6
SIZE = UPLINK * 5 // 6
SUCCEEDED = re.compile(rf"Succeeded, {FILES} files, [0-9.]+ MiB, verified")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the hub and the page said in one moment; ``at`` in seconds."""

    at: float
    hub: float
    page: float


@pytest.fixture(scope="module")
def tree(site: Site) -> Path:
    folder = site.source.read / "report"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"part-{number}.bin").write_bytes(os.urandom(SIZE))
    return folder


def percent_of(page: Page) -> float:
    return float(page.locator("ff-summary .percent").inner_text().removesuffix("%"))


def watch_to_the_end(page: Page, site: Site, run_id: int) -> list[Sample]:
    """Samples of both sides until the page says that the run has ended."""
    samples: list[Sample] = []
    ended_at: float | None = None

    def look() -> bool:
        nonlocal ended_at
        run = site.hub.show(run_id)
        now = time.monotonic()
        if ended_at is None and run["status"] in ("succeeded", "partial", "failed", "cancelled"):
            ended_at = now
        samples.append(Sample(now, run["progress"], percent_of(page)))
        return page.get_by_text("Succeeded,").is_visible()

    poll_until(page, look, 40)
    assert ended_at is None or time.monotonic() - ended_at <= BEHIND_MAX
    return samples


def assert_never_far_behind(samples: list[Sample]) -> None:
    for sample in samples:
        long_ago = [other.hub for other in samples if other.at <= sample.at - BEHIND_MAX]
        assert sample.page >= max(long_ago, default=0.0), sample


def press_run(page: Page, job: str) -> int:
    page.get_by_role("button", name=f"Run the job {job}", exact=True).click()
    page.wait_for_url(re.compile(r"#/runs/\d+$"))
    page.locator("ff-summary .percent").wait_for()
    return int(page.url.rpartition("/")[2])


def test_a_run_is_watched_to_its_verified_end(admin: Visit, site: Site, tree: Path) -> None:
    page = admin.page
    site.hub.job(site.source.id, tree, site.destination.id, f"{site.destination.write}/live", name="Live")
    admin.go("agents")
    for name in ("source", "destination"):
        row = page.get_by_role("row").filter(has_text=name)
        expect(row.get_by_role("cell", name="Online", exact=True)).to_be_visible()
        expect(row.get_by_role("cell", name="WebSocket", exact=True)).to_be_visible()
    expect(page.get_by_text("2 of 2 online")).to_be_visible()
    expect(page.locator("ff-link-state")).to_contain_text("Live")

    admin.go("jobs")
    run_id = press_run(page, "Live")
    # From here on the page knows only what the feed tells.
    page.route(re.compile(rf"/api/(runs/{run_id}|transfers)(\?|$)"), lambda route: route.abort())
    samples = watch_to_the_end(page, site, run_id)
    assert len({sample.page for sample in samples if 0 < sample.page < 100}) >= 2, (
        "the progress was not shown as it was made"
    )
    assert_never_far_behind(samples)
    expect(page.locator("ff-summary")).to_contain_text(SUCCEEDED)
    expect(page.locator("ff-files").get_by_text("Completed")).to_have_count(FILES)
    admin.judge()


def test_without_the_feed_the_page_is_hardly_behind(admin: Visit, site: Site, tree: Path) -> None:
    page = admin.page
    site.hub.job(site.source.id, tree, site.destination.id, f"{site.destination.write}/polled", name="Polled")
    page.route("**/api/events*", lambda route: route.abort())
    admin.go("jobs")
    page.reload()
    expect(page.locator("ff-link-state")).to_contain_text("Polling")
    samples = watch_to_the_end(page, site, press_run(page, "Polled"))
    assert_never_far_behind(samples)
    expect(page.locator("ff-summary")).to_contain_text(SUCCEEDED)
    expect(page.locator("ff-files").get_by_text("Completed")).to_have_count(FILES)
    admin.judge()


def test_what_others_wrote_is_shown_as_text(admin: Visit, site: Site) -> None:
    """R20: names of agents, jobs, tags and files, paths, and what an agent says of an error."""
    page = admin.page
    site.hub.client.post("/api/agents", {"name": EVIL, "description": EVIL, "tags": [EVIL]})
    folder = site.source.read / "evil"
    folder.mkdir()
    (folder / EVIL).write_text("harmless")
    ends = {"source": site.source.id, "destination": site.destination.id}
    site.hub.job(
        **ends, source_path=folder, destination_path=f"{site.destination.write}/evil", name=EVIL, description=EVIL
    )
    site.hub.job(
        **ends,
        source_path=site.source.read / EVIL_PATH,
        destination_path=f"{site.destination.write}/none",
        name="Fails",
    )

    admin.go("agents")
    expect(page.get_by_text(EVIL, exact=True)).to_have_count(3)
    admin.go("jobs")
    expect(page.get_by_text(EVIL, exact=True).first).to_be_visible()
    page.get_by_role("button", name="Run the job Fails", exact=True).click()
    expect(page.locator("ff-summary .reason")).to_contain_text(EVIL_PATH)
    expect(page.locator("ff-summary strong")).to_have_text("Failed")
    admin.go("jobs")
    press_run(page, EVIL)
    expect(page.get_by_text("Succeeded, 1 file, 8 B, verified")).to_be_visible()
    expect(page.locator("ff-files").get_by_text(EVIL, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name=EVIL)).to_be_visible()
    admin.go("runs")
    expect(page.get_by_text(EVIL).first).to_be_visible()
    assert page.locator("img[src='x']").count() == 0
    assert page.get_by_text("49", exact=True).count() == 0
    admin.judge()


def test_a_viewer_sees_everything_and_no_button_that_fails(visit: Visit, site: Site, tree: Path) -> None:
    password = "a viewer's password"
    site.hub.client.post("/api/users", {"email": "viewer@test.local", "password": password, "role": "viewer"})
    job = site.hub.job(site.source.id, tree, site.destination.id, f"{site.destination.write}/seen", name="Seen")
    run_id = site.hub.run(job)
    visit.login("viewer@test.local", password)
    page = visit.page
    visit.go("jobs")
    expect(page.get_by_text("Seen", exact=True).first).to_be_visible()
    assert page.locator("ff-jobs").get_by_role("button").count() == 0
    visit.go(f"runs/{run_id}")
    expect(page.get_by_role("heading", name="Seen")).to_be_visible()
    assert page.get_by_role("button", name=re.compile("Cancel|again|Pause|Retry")).count() == 0
    site.hub.client.post(f"/api/runs/{run_id}/cancel")
    expect(page.locator("ff-summary")).to_contain_text("Cancelled after")
    visit.judge()


def test_a_session_lasts_over_reloads_and_tabs_and_ends_with_logout(admin: Visit, site: Site) -> None:
    page = admin.page
    assert admin.tokens[0] not in page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    others = [admin.watch(admin.context.new_page()) for _ in range(3)]
    for other in others:
        other.goto(admin.url, wait_until="commit")
    for tab in (page, *others):
        expect(tab.get_by_role("heading", name="Dashboard")).to_be_visible()
    poll_until(page, lambda: len(admin.tokens) == 4, 5)
    page.get_by_role("button", name="Log out").click()
    for tab in (page, *others):
        expect(tab.get_by_role("button", name="Log in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("E-mail or password is wrong")


def test_the_page_of_the_api(visit: Visit, browser: Browser, site: Site) -> None:
    page = visit.page
    page.goto(f"{visit.url}/api/docs")
    expect(page.get_by_text("shown to people who are logged in")).to_be_visible()
    page.get_by_role("link", name="Log in").click()
    visit.login(EMAIL, site.hub.password)
    page.goto(f"{visit.url}/api/docs")
    operation = page.locator(".opblock-get").filter(has=page.locator("[data-path='/api/auth/user']"))
    operation.click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text(EMAIL)
    visit.judge()
