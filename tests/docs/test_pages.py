"""Every command of the how-to pages and of the README's first steps is run."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cases import missing_test
from tests.docs import runner
from tests.integration.conftest import Site
from tests.integration.harness import EMAIL

HOW_TO = sorted((runner.ROOT / "docs" / "how-to").glob("*.md"))
README = "README.md"


class Reader:
    """Somebody with a hub at hand: a folder, and what the environment says of the hub."""

    def __init__(self, site: Site) -> None:
        self.env = {
            "FILEFLUX_HUB": site.hub.client.url,
            "FILEFLUX_URL": site.hub.client.url,
            "FILEFLUX_TOKEN": str(site.hub.client.token),
            "FILEFLUX_EMAIL": EMAIL,
            "FILEFLUX_DATA_DIR": str(site.folder / "hub"),
            "FILEFLUX_PORT": str(site.hub.port),
        }


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    site = Site(tmp_path_factory.mktemp("docs"))
    (site.source.read / "report.csv").write_text("a,b\n")
    try:
        yield Reader(site)
    finally:
        site.stop()


@pytest.fixture
def own_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("path", HOW_TO, ids=lambda path: path.stem)
def test_the_page_works(path: Path, tmp_path: Path, own_port: int, request: pytest.FixtureRequest) -> None:
    page = runner.load(path)
    if "::" in page.needs:
        assert missing_test(page.needs) is None
        return
    if page.needs == "alone":
        runner.run(page, tmp_path, f"http://127.0.0.1:{own_port}", {"FILEFLUX_PORT": str(own_port)})
        return
    assert page.needs == "hub"
    if page.blocks:
        here: Reader = request.getfixturevalue("reader")
        runner.run(page, tmp_path, here.env["FILEFLUX_URL"], here.env)


def test_the_readme_by_hand(tmp_path: Path, own_port: int) -> None:
    """``make install`` has its own test: whoever runs this has done it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "make").write_text('#!/bin/sh\ntest "$*" = install\n')
    (tools / "make").chmod(0o700)
    shutil.copytree(runner.ROOT / "docs" / "how-to", tmp_path / "docs")
    page = runner.load(runner.ROOT / README, "By hand")
    env = {"FILEFLUX_PORT": str(own_port), "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    runner.run(page, tmp_path, f"http://127.0.0.1:{own_port}", env)


@pytest.mark.unit
def test_blocks_say_whether_they_are_run() -> None:
    """A fence without a word, or with another word for a shell, would be left out unseen."""
    known = {"sh", "text", "console", "powershell", "json", "yaml", "toml", "python", "ini", "promql"}
    for path in HOW_TO:
        fences = re.findall(r"^```(\S*)$", path.read_text(), re.MULTILINE)[::2]
        assert set(fences) <= known, f"{path.name}: {set(fences) - known}"


@pytest.mark.unit
def test_a_page_that_does_not_work_is_found(tmp_path: Path) -> None:
    def run(*blocks: str) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        runner.run(runner.Page("alone", blocks), folder, "http://127.0.0.1:1", {})

    run("x=1\n", 'echo "$x" http://hub.example.com:8040  # expect: 1 http://127.0.0.1:1\n', "command sleep 60 &\n")
    with pytest.raises(AssertionError, match="block 2 ended with 1"):
        run("true\n", "false\n", "true\n")
    with pytest.raises(AssertionError, match="block 1 ended with 1"):
        run("false | cat\n")
    with pytest.raises(AssertionError, match="did not print 'two'"):
        run("echo two\n", "echo one  # expect: two\n")
