"""The web interface in Chromium: how soon it is painted, whether 10,000 rows scroll, whether 1,000 changes a second leave it alive.

    python scripts/bench/ui.py [--files 10000] [--json FILE]

A hub and two agents on this machine, a run of so many small files. Frames are what the page's own requestAnimationFrame sees. The changes go into
the page where the live feed's events come in, as text, each for another row; what they cost is parsing, the list, and rendering.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from end_to_end import make_small
from playwright.sync_api import Page, sync_playwright
from rig import Rig, fresh, work_folder

from fileflux.demo import EMAIL

CHROMIUM = "/usr/bin/chromium"
CHANGES_PER_S = 1000
SECONDS = 5
FRAME_LIMIT_MS = 50.0
PAINT_LIMIT_MS = 1000.0
FRAMES = """
  const frames = []; let last = performance.now();
  const look = now => { frames.push(now - last); last = now; if (!done) requestAnimationFrame(look); };
  let done = false; requestAnimationFrame(look);
"""


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def paint(page: Page, url: str, rounds: int = 5) -> float:
    """Milliseconds from the navigation to the first content, median; nothing is cached."""
    found = []
    for _ in range(rounds):
        context = page.context.browser.new_context()  # type: ignore[union-attr]  # a page of a launched browser has one
        fresh_page = context.new_page()
        fresh_page.goto(url)
        fresh_page.get_by_role("button", name="Log in").wait_for()
        found.append(
            fresh_page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
        )
        context.close()
    return statistics.median(found)


def scroll(page: Page, files: int) -> dict[str, Any]:
    """From the first row to the last, a screen at each frame, until all of them were read and seen."""
    frames: list[float] = page.evaluate(
        f"""async files => {{ {FRAMES}
          const scroller = (() => {{ let at = document.querySelector('ff-app');
            const deep = root => {{ for (const one of root.querySelectorAll('*')) {{
              if (one.tagName === 'MAIN') return one;
              const found = one.shadowRoot && deep(one.shadowRoot); if (found) return found; }} }};
            return deep(at.shadowRoot); }})();
          const end = performance.now() + 60000;
          let still = 0;
          while (still < 60 && performance.now() < end) {{
            const before = scroller.scrollTop;
            scroller.scrollTop += scroller.clientHeight;
            await new Promise(requestAnimationFrame);
            still = scroller.scrollTop === before ? still + 1 : 0;
          }}
          done = true; return frames; }}""",
        files,
    )
    last = int(page.locator("table[aria-rowcount]").get_attribute("aria-rowcount") or 0) - 1
    shown = page.locator("tr[data-row]").count()
    index = int(page.locator("tr[data-row]").last.get_attribute("aria-rowindex") or 0) - 1
    return {"rows": last, "in document": shown, "last seen": index, "frames": frames}


def changes(page: Page) -> list[float]:
    """Intervals of frames while ``CHANGES_PER_S`` rows a second change."""
    return page.evaluate(
        f"""async () => {{ {FRAMES}
          const app = document.querySelector('ff-app');
          const files = (() => {{ const deep = root => {{ for (const one of root.querySelectorAll('*')) {{
              if (one.tagName === 'FF-FILES') return one;
              const found = one.shadowRoot && deep(one.shadowRoot); if (found) return found; }} }};
            return deep(app.shadowRoot); }})();
          const rows = files.files.items; let next = 0;
          const timer = setInterval(() => {{
            for (let count = 0; count < {CHANGES_PER_S // 100}; count += 1) {{
              const row = rows[next++ % rows.length];
              app.hub.live.feedEvent({{ type: 'transfer', data: JSON.stringify({{ ...row, progress: next % 100 }}) }});
            }}
          }}, 10);
          await new Promise(resolve => setTimeout(resolve, {SECONDS * 1000}));
          clearInterval(timer); done = true; return frames; }}"""
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = work_folder("ui", options.files * 16_384)
    source, destination = fresh(folder / "source"), fresh(folder / "destination")
    make_small(source, options.files)
    rig = Rig(folder / "rig", source, destination)
    try:
        _, _, run = rig.move(source, fresh(destination / "t"))
        url = rig.client.url
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            first = paint(page, url)
            page.goto(url)
            page.get_by_label("E-mail").fill(EMAIL)
            page.get_by_label("Password").fill(rig.password)
            page.get_by_role("button", name="Log in").click()
            page.get_by_role("navigation", name="Main").wait_for()
            page.goto(f"{url}/#/runs/{run['id']}")
            page.locator("tr[data-row]").first.wait_for()
            seen = scroll(page, options.files)
            frames = changes(page)
            browser.close()
    finally:
        rig.stop()
        shutil.rmtree(folder, ignore_errors=True)
    scrolled = percentile(seen["frames"], 0.99)
    changed = percentile(frames, 0.99)
    print(f"first paint: {first:.0f} ms, {first / PAINT_LIMIT_MS:.2f} of the limit of {PAINT_LIMIT_MS:.0f} ms")
    print(
        f"{seen['rows']:,} rows from top to end: {seen['in document']} in the document, the last seen is {seen['last seen']:,}; frames p50 {percentile(seen['frames'], 0.5):.0f}, "
        f"p99 {scrolled:.0f}, longest {max(seen['frames']):.0f} ms; p99 is {scrolled / FRAME_LIMIT_MS:.2f} of {FRAME_LIMIT_MS:.0f} ms"
    )
    print(
        f"{CHANGES_PER_S:,} changes a second for {SECONDS} s: {len(frames) / SECONDS:.0f} frames a second, p99 {changed:.0f}, longest {max(frames):.0f} ms; "
        f"p99 is {changed / FRAME_LIMIT_MS:.2f} of {FRAME_LIMIT_MS:.0f} ms"
    )
    if options.json:
        rows = [
            {"work": "ui paint", "ms": first},
            {"work": "ui scroll", "rows": seen["rows"], "p99_ms": scrolled, "longest_ms": max(seen["frames"])},
            {"work": "ui changes", "per_s": CHANGES_PER_S, "p99_ms": changed, "longest_ms": max(frames)},
        ]
        options.json.write_text(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
