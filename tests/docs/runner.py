"""Runs the commands of a page as a reader would: in their order, in one shell, in an empty folder.

Every ```` ```sh ```` block is run, with ``set -e``; ```` ```text ```` and ```` ```console ```` are for what is only shown. What is compared:

- that no command fails, and
- for a line with ``# expect: TEXT`` at its end, that TEXT stands in what its block printed.

A page says in a comment what it needs: ``<!-- test: hub -->`` (what there is without a word: a hub, a login, two agents),
``<!-- test: alone -->`` (nothing runs yet), ``<!-- test: tests/…::test_… -->`` (another test runs it).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.integration.harness import wait_for

ROOT = Path(__file__).resolve().parents[2]
HUB = re.compile(r"https?://(?:127\.0\.0\.1|hub\.example\.com):8040")
"""The hub of all pages."""
_NEEDS = re.compile(r"^<!-- test: (\S+) -->$", re.MULTILINE)
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXPECT = re.compile(r"# expect: (.+?)\s*$", re.MULTILINE)
_MARK = "::block::"
_BEGIN = "set -euo pipefail; sleep() { command sleep 0.1; }"
"""People look once a second whether something has happened."""
TIMEOUT = 80


@dataclass(frozen=True)
class Page:
    needs: str
    blocks: tuple[str, ...]


def load(path: Path) -> Page:
    text = path.read_text()
    needs = _NEEDS.search(text)
    return Page(needs[1] if needs else "hub", tuple(_BLOCK.findall(text)))


def run(page: Page, folder: Path, hub_url: str, env: Mapping[str, str]) -> None:
    """Run every block in ``folder``; what the page starts ends with it. Fails with everything that was printed."""
    script = f"{_BEGIN}\n" + "".join(f"echo '{_MARK}'\n{HUB.sub(hub_url, block)}\n" for block in page.blocks)
    home = folder / "home"
    home.mkdir()
    log = folder / ".log"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            # A group of its own: what a page leaves running is ended by it.
            start_new_session=True,
            env=_clean() | {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | env,
        )
    try:
        code = shell.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        code = -1
    finally:
        _end_group(shell.pid)
        shell.wait(10)
    text = log.read_text(errors="replace")
    printed = text.split(f"{_MARK}\n")[1:]
    assert code == 0, (
        f"block {len(printed)} ended with {code}:\n{page.blocks[len(printed) - 1]}\nprinted:\n{text[-4000:]}"
    )
    for number, (block, said) in enumerate(zip(page.blocks, printed, strict=True), 1):
        for wanted in _EXPECT.findall(block):
            assert wanted in said, f"block {number} did not print {wanted!r}:\n{said}"


def _clean() -> dict[str, str]:
    """Nothing of ours decides what a reader would see."""
    names = ("FILEFLUX_", "FLUX_AGENT_", "XDG_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(names)}


def _end_group(group: int) -> None:
    def ended() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    for number, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.killpg(group, number)
        with suppress(AssertionError):
            wait_for("what a page started to end", ended, seconds)
            return
