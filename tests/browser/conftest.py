"""A real hub, two real agents, and Debian's Chromium that nobody watches. What the browser does is remembered, to be judged at the end."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from fileflux.web import ui
from tests.faults.rules import KIB, Rule, Way
from tests.integration.conftest import Site
from tests.integration.harness import EMAIL

expect.set_options(timeout=15_000)
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
UPLINK = 12 * KIB * KIB
"""Bytes per second of the source's link: a run lasts long enough to be watched."""
EVIL = '"><img src=x onerror=alert(1)>{{7*7}}'
EVIL_PATH = '"><img src=x onerror=alert(2)>'
"""No pattern: an agent says that it is not there."""


def need(present: bool, what: str) -> None:
    """Skip the test without it; fail where nothing may be skipped (CI)."""
    if not present:
        assert os.environ.get("CI") != "true", what
        pytest.skip(what)


@dataclass
class Visit:
    """One browser with cookies of its own, looking at the hub."""

    url: str
    context: BrowserContext
    page: Page
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Errors of programs, of the policy, and dialogs."""

    def watch(self, page: Page) -> Page:
        page.on("console", lambda message: message.type in ("error", "warning") and self.complain(message.text))
        page.on("pageerror", lambda error: self.complain(f"uncaught: {error}"))
        page.on("dialog", lambda dialog: (self.complain(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", self._remember_token)
        return page

    def complain(self, text: str) -> None:
        # The tests themselves keep some requests from the hub.
        if "net::ERR_FAILED" not in text:
            self.complaints.append(text)

    def login(self, email: str, password: str) -> None:
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("navigation", name="Main").wait_for()

    def go(self, place: str) -> None:
        self.page.goto(f"{self.url}/#/{place}")

    def judge(self) -> None:
        """Nothing went wrong, nobody else was asked, and no secret stood in an address."""
        assert self.complaints == []
        foreign = [url for url in self.asked if not url.startswith((f"{self.url}/", "data:"))]
        assert foreign == []
        assert self.tokens
        assert [url for url in self.asked if any(token in url for token in self.tokens) or "ffx_" in url] == []

    def _remember_token(self, response: Any) -> None:
        if response.url.endswith(("/api/auth/login", "/api/auth/refresh")) and response.status == 200:
            self.tokens.append(response.json()["token"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(Path(CHROMIUM).exists(), "there is no chromium: apt-get install chromium")
    need(bool(ui.files()), "the user interface is not built: make ui")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The source's link to the hub is slow. Asked for after the browser: without one, nothing is started."""
    site = Site(tmp_path_factory.mktemp("site"), source_link=Rule(up=Way(bandwidth=UPLINK)))
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    # Nothing that is wanted takes longer, and a test that waits in vain should say so soon.
    context.set_default_timeout(15_000)
    visit = Visit(site.hub.client.url, context, context.new_page())
    visit.watch(visit.page)
    visit.page.goto(visit.url)
    yield visit
    context.close()


@pytest.fixture
def admin(visit: Visit, site: Site) -> Visit:
    visit.login(EMAIL, site.hub.password)
    return visit


def poll_until(page: Page, check: Any, timeout: float, every: float = 0.05) -> None:
    """Call ``check`` until it gives something true, while the page lives on. Fails after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s in vain"
        page.wait_for_timeout(every * 1000)
