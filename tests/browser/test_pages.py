"""Every page: for each role, on a narrow screen, in the dark, and for people who use a keyboard or a screen reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Visit, need
from tests.integration.conftest import Site

AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = (
    "",
    "map",
    "jobs",
    "jobs/new",
    "runs",
    "runs?show=active",
    "runs?show=failed",
    "transfers",
    "transfers?show=active",
    "transfers?show=failed",
    "agents",
    "schedules",
    "audit",
    "users",
    "notifications",
    "settings",
    "profile",
)
COMMON = ["Dashboard", "Live map", "Jobs", "Runs", "Transfers", "Agents", "Schedules"]
SEEN_BY = {
    "operator": COMMON,
    "viewer": COMMON,
    "auditor": [*COMMON, "Audit"],
    "admin": [*COMMON, "Audit", "Notifications", "Users", "Settings"],
}
NARROW = {"width": 380, "height": 760}


@pytest.fixture(scope="module")
def places(site: Site) -> list[str]:
    """All pages, with those of a job, a run and an agent."""
    (site.source.read / "one.txt").write_text("1")
    job = site.hub.job(
        site.source.id, site.source.read / "one.txt", site.destination.id, f"{site.destination.write}/one/", name="One",
        schedule="0 2 * * *", tags=["a tag"], description="What it is for",
    )  # fmt: skip
    run = site.hub.run(job)
    site.hub.wait_ended(run)
    return [*PAGES, f"jobs/{job}", f"jobs/{job}/edit", f"runs/{run}", f"agents/{site.source.id}"]


def settled(visit: Visit, place: str) -> Page:
    """The page, with everything that it waits for."""
    # From nothing: otherwise what is looked at may be the page before.
    visit.page.goto("about:blank")
    visit.go(place)
    visit.page.locator("main h1, ff-shell h1").first.wait_for()
    expect(visit.page.get_by_text("Loading…").filter(visible=True)).to_have_count(0)
    expect(visit.page.get_by_role("alert").filter(visible=True)).to_have_count(0)
    return visit.page


def faults_of(page: Page) -> list[dict[str, Any]]:
    """What axe finds against WCAG 2.2 AA."""
    page.evaluate(AXE.read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags)
    return [{"id": one["id"], "nodes": [node["html"][:200] for node in one["nodes"]]} for one in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(admin: Visit, places: list[str], scheme: Any) -> None:
    need(AXE.exists(), "axe-core is not there: make ui installs it")
    admin.page.emulate_media(color_scheme=scheme)
    faults = {place: found for place in places if (found := faults_of(settled(admin, place)))}
    assert not faults, json.dumps(faults, indent=2)
    admin.judge()


def test_nothing_is_wider_than_a_phone(admin: Visit, places: list[str]) -> None:
    page = admin.page
    page.set_viewport_size(NARROW)
    wider = {}
    for place in places:
        settled(admin, place)
        widths = page.locator("ff-shell").evaluate(
            "shell => [document.scrollingElement.scrollWidth, shell.shadowRoot.querySelector('main').scrollWidth]"
        )
        if max(widths) > NARROW["width"]:
            wider[place] = widths
    assert not wider
    admin.judge()


@pytest.mark.parametrize("role", ["operator", "viewer", "auditor", "admin"])
def test_each_role_sees_its_pages(visit: Visit, site: Site, places: list[str], role: str) -> None:
    password, email = f"the {role}'s password", f"{role}@pages.local"
    site.hub.client.post("/api/users", {"email": email, "password": password, "role": role, "name": role})
    visit.login(email, password)
    page = visit.page
    shown = page.get_by_role("navigation", name="Main").get_by_role("link").all_inner_texts()
    assert shown == [*SEEN_BY[role], "API"]
    for place in places:
        allowed = place in ("", "map", "profile") or any(place.startswith(name.lower()) for name in SEEN_BY[role])
        if allowed and not (place.endswith(("new", "edit")) and role in ("viewer", "auditor")):
            settled(visit, place)
    settled(visit, "jobs")
    assert page.get_by_role("link", name="New job").count() == (1 if role in ("operator", "admin") else 0)
    settled(visit, "agents")
    assert page.get_by_role("button", name="Create an agent").count() == (1 if role == "admin" else 0)
    # Nothing that was shown was refused: a refusal would stand in the console.
    visit.judge()


def test_dark_stays_dark(admin: Visit, browser: Browser) -> None:
    page = admin.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Use the dark theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.get_by_role("button", name="Use the light theme").wait_for()
    assert page.evaluate(ground) == dark


def test_keys(admin: Visit) -> None:
    page = admin.page
    settled(admin, "")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("g a ?")
    expect(page.get_by_label("Search")).to_have_value("g a ?")
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    admin.judge()


def test_the_first_load_is_small(admin: Visit) -> None:
    """Everything that stands behind the login too, as it comes over the network."""
    page = admin.page
    admin.go("jobs")
    page.reload()
    page.get_by_role("heading", name="Jobs", exact=True).wait_for()
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter(one => !one.name.includes('/api/')).map(one => [one.name, one.encodedBodySize])"
    )
    assert sum(size for _, size in sizes) < 250 * 1024, sizes
    assert any(size > 10_000 for _, size in sizes), "something was measured"
