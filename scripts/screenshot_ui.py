"""Runs the showcase, looks at each page in the browser and writes what is seen to docs/images, for the README and the documents.

`.venv/bin/python scripts/screenshot_ui.py [PAGE ...]`; login and welcome are always written. It needs Chromium and the built user interface (make ui).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from fileflux.cli.client import HubClient
from fileflux.demo import EMAIL, Places, Processes, start_hub
from fileflux.demo_showcase import Showcase

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
SIZE_MAX = 200 * 1024
WARM_S = 40.0
"""So long the company works before anybody looks."""
PAGES = {
    "dashboard": "",
    "map": "map",
    "jobs": "jobs",
    "job": "jobs/1",
    "editor": "jobs/1/edit",
    "runs": "runs",
    "transfers": "transfers",
    "agents": "agents",
    "agent": "agents/6",
    "schedules": "schedules",
    "audit": "audit",
    "users": "users",
    "notifications": "notifications",
    "profile": "profile",
    "settings": "settings",
}
"""By the name of the picture; ``run`` is added when one moves."""
DARK = {"dashboard"}
"""Those that are shown in the dark as well."""
PHONE = {"width": 380, "height": 760}


def main(wanted: set[str]) -> int:
    console = Console(stderr=True)
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="company-") as folder:
        places = Places(Path(folder))
        try:
            url, password = start_hub(places, processes, console)
            with HubClient(url) as client:
                client.login(EMAIL, password)
                company = Showcase(client, places, processes, console)
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=CHROMIUM)
                    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
                    come_in(page, url, password)
                    company.begin()
                    work(company, WARM_S)
                    look(page, url, company, client, wanted)
                    browser.close()
        finally:
            processes.stop()
    too_large = [path.name for path in TARGET.glob("*.png") if path.stat().st_size > SIZE_MAX]
    console.print(f"too large: {too_large}" if too_large else "done")
    return 1 if too_large else 0


def work(company: Showcase, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        company.tick(time.monotonic())
        time.sleep(0.5)


def come_in(page: Page, url: str, password: str) -> None:
    """Log in to a hub on which nothing is yet."""
    TARGET.mkdir(exist_ok=True)
    page.goto(url)
    page.get_by_label("E-mail").fill(EMAIL)
    shoot(page, "login")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("navigation", name="Main").wait_for()
    page.wait_for_timeout(1500)
    shoot(page, "welcome")


def look(page: Page, url: str, company: Showcase, client: HubClient, wanted: set[str]) -> None:
    for name, place in (PAGES | {"run": ""}).items():
        if wanted and name not in wanted:
            continue
        if name == "run":
            place = f"runs/{wait_for_a_run(company, client)}"
        page.goto(f"{url}/#/{place}")
        # Rates need some seconds to be known, and the line of the dashboard to be seen.
        work(company, 25.0 if name in ("dashboard", "map") else 6.0 if name == "run" else 1.5)
        shoot(page, name)


def wait_for_a_run(company: Showcase, client: HubClient) -> int:
    """One that has just begun to move."""
    while True:
        for run in client.get("/api/dashboard")["active_runs"]:
            if run["status"] == "transferring" and 10 < run["progress"] < 50:
                return int(run["id"])
        work(company, 0.5)


def shoot(page: Page, name: str) -> None:
    page.screenshot(path=TARGET / f"{name}.png")
    if name not in DARK:
        return
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(1200)
    page.screenshot(path=TARGET / f"{name}-dark.png")
    page.emulate_media(color_scheme="light")
    size = page.viewport_size
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(1200)
    page.screenshot(path=TARGET / f"{name}-phone.png")
    if size is not None:
        page.set_viewport_size(size)


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
