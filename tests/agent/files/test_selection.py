"""What the hub says of a path (``fileflux/jobs/selection.py``) is what a walk does."""

from __future__ import annotations

from pathlib import Path

import pytest

from fileflux.jobs.filters import compile_rules
from fileflux.jobs.selection import ARCHIVE, Selection, glob_of
from flux_agent.files import archive
from flux_agent.files.guard import is_part_name
from flux_agent.files.roots import Roots
from flux_agent.files.walk import Listing

PART = ".0123456789abcdef0123456789abcdef.fluxpart"
FILES = ("a.csv", "b.tmp", PART, "x/a.csv", "x/y/b.tmp", "x/y/c.csv", "z/a.csv", "z/x/d", f"{ARCHIVE}/a.csv")


@pytest.mark.parametrize("recursive", [True, False])
@pytest.mark.parametrize("path", ["", "*.csv", "x", "?/a.csv", "*/x", "**/c.csv", "[xz]"])
@pytest.mark.parametrize(
    ("include", "exclude"),
    [((), ()), (("*.csv",), ()), ((), ("x/",)), (("x/",), ("*.tmp",)), (("/y/*", "d"), ("/z/x/",))],
)
def test_the_hub_says_what_the_walk_does(
    tmp_path: Path, path: str, include: tuple[str, ...], exclude: tuple[str, ...], recursive: bool
) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listing = Listing(Roots([str(tmp_path)], []), path, compile_rules(include, exclude), recursive=recursive)
    page = listing.page(500)
    assert page.last
    assert page.errors == []
    base = Path(listing.base.path)
    selection = Selection(
        include, exclude, recursive=recursive, glob=glob_of(path) if listing.path_type == "glob" else ""
    )
    everything = {
        found.relative_to(base).as_posix(): found.is_dir()
        for found in base.rglob("*")
        if found.relative_to(base).as_posix() != ARCHIVE
    }
    chosen = {name for name, is_dir in everything.items() if selection.choose(name, is_dir=is_dir).wanted}
    assert chosen == {entry.path for entry in page.entries}


def test_both_know_the_same_names() -> None:
    assert archive.ARCHIVE == ARCHIVE
    assert is_part_name(PART)
    assert not Selection([], []).choose(f"a/{PART}").wanted
