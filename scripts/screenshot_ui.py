"""Runs a hub and two agents, watches a run in the browser and writes what is seen to docs/images/run.png, for the README.

`.venv/bin/python scripts/screenshot_ui.py`; it needs Chromium and the built user interface (make ui).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from fileflux.cli.client import HubClient
from fileflux.demo import EMAIL, Places, Processes, start_agent, start_hub, wait_online

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "run.png"
CHROMIUM = "/usr/bin/chromium"
SIZE_MAX = 200 * 1024
AGENTS = (("berlin-files", "--read"), ("archive-01", "--write"))
MONTHS = ("2026-01-january", "2026-02-february", "2026-03-march", "2026-04-april")


def main() -> int:
    console = Console(stderr=True)
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="fileflux-") as folder:
        places = Places(Path(folder))
        try:
            url, password = start_hub(places, processes, console)
            make_files(places.source / "invoices")
            with HubClient(url) as client:
                client.login(EMAIL, password)
                job = make_job(client, places, processes)
                watch(url, password, job)
        finally:
            processes.stop()
    size = TARGET.stat().st_size
    console.print(f"{TARGET.name}: {size // 1024} KiB")
    return 0 if size <= SIZE_MAX else 1


def make_files(folder: Path) -> None:
    for month in MONTHS:
        (folder / month).mkdir(parents=True)
        for number in range(1, 9):
            (folder / month / f"scan-{number:03d}.tif").write_bytes(os.urandom((number % 5 + 2) * 4_000_000))


def make_job(client: HubClient, places: Places, processes: Processes) -> str:
    ids = []
    for (name, option), folder in zip(AGENTS, (places.source, places.destination), strict=True):
        start_agent(client, places, processes, name, option, folder)
        ids.append(wait_online(client, processes, name)["id"])
    name = "Invoices to the archive"
    body = {
        "name": name,
        "source_agent_id": ids[0],
        "source_path": str(places.source / "invoices"),
        "destination_agent_id": ids[1],
        "destination_path": str(places.destination / "invoices"),
    }
    client.post("/api/jobs", body)
    return name


def watch(url: str, password: str, job: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(url)
        page.get_by_label("E-mail").fill(EMAIL)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name=f"Run the job {job}").click()
        wait_for_the_middle(page)
        TARGET.parent.mkdir(exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()


def wait_for_the_middle(page: Page) -> None:
    """Until the run moves, with its rate and the time left, and is neither just begun nor nearly done."""
    progress = page.locator("ff-summary .percent")
    left = page.locator("ff-summary div", has=page.get_by_text("Time left", exact=True)).locator("dd")
    progress.wait_for()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        percent = float(progress.inner_text().removesuffix("%"))
        if 30 <= percent <= 85 and left.first.inner_text()[:1].isdigit():
            return
        page.wait_for_timeout(50)
    raise SystemExit("the run was never seen in its middle: make the files larger")


if __name__ == "__main__":
    sys.exit(main())
