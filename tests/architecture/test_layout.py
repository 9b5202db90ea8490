"""Every module is looked at by a test of its own, and every state table is walked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = {"fileflux": ROOT / "fileflux", "flux_agent": ROOT / "agent" / "flux_agent"}
TESTS = ROOT / "tests"

BY_OTHERS = {
    "fileflux.protocol.pumped": "protocol classes only; every test of a link is one of them",
    "fileflux.protocol.session_events": "dataclasses alone; the session's tests take them from the session",
}
"""Rules without a test that imports them, each with the reason."""


def modules() -> dict[str, Path]:
    """Dotted name → file, without the packages' own."""
    return {
        ".".join((package, *path.relative_to(folder).with_suffix("").parts)): path
        for package, folder in PACKAGES.items()
        for path in sorted(folder.rglob("*.py"))
        if path.name != "__init__.py"
    }


def imports(path: Path) -> set[str]:
    """Every dotted name that a file imports, and what it starts or patches by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                found.update(alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module)):
                found.add(module)
                found.update(f"{module}.{alias.name}" for alias in node.names)
            case ast.Constant(value=str(text)) if text.startswith(("fileflux.", "flux_agent.")):
                found.add(text.partition(":")[0])
            case _:
                pass
    return found


def named_by_tests() -> set[str]:
    return set().union(*(imports(path) for path in TESTS.rglob("*.py") if path != Path(__file__)))


def test_no_module_is_out_of_reach_of_the_tests() -> None:
    """What no test imports or starts, directly or by way of others, is dead or untested."""
    files = modules()
    reached: set[str] = set()
    following = named_by_tests()
    while following := (following & files.keys()) - reached:
        reached |= following
        following = set().union(*(imports(files[name]) for name in following))
    assert sorted(files.keys() - reached) == []


def test_rules_have_tests_of_their_own() -> None:
    """Rules and machines need neither sockets nor clocks, so there is no reason to test them only from far away."""
    rules = {name for name in modules() if name.startswith(("fileflux.protocol.", "fileflux.jobs."))}
    assert rules - named_by_tests() == set(BY_OTHERS), "a rule without a test, or a reason that has gone"


@pytest.mark.parametrize(
    "table", sorted(name for name in modules() if name.endswith("_state") or name == "fileflux.jobs.run")
)
def test_every_state_table_is_walked(table: str) -> None:
    """Some test imports the table itself, or walks all tables of the agent by their modules."""
    walkers = [
        path
        for path in TESTS.rglob("test_*.py")
        if any(name == table or name.startswith(f"{table}.") for name in imports(path)) and "TABLE" in path.read_text()
    ]
    assert walkers, f"no test walks the table of {table}"


def test_tests_stand_where_their_package_does() -> None:
    known = {
        "agent",
        "architecture",
        "browser",
        "contracts",
        "docs",
        "faults",
        "foundation",
        "integration",
        "simulation",
    }
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and any(path.glob("**/test_*.py"))}
    assert folders - known <= {path.name for path in PACKAGES["fileflux"].iterdir() if path.is_dir()}
