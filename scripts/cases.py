"""The ledger of bad inputs and faults: ``tests/cases.toml`` names a test, a later piece of work or a reason for every id.

A value is ``path::test`` (several separated by blanks), ``later: what`` or ``not here: reason``. Run it for the counts.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEDGER = ROOT / "tests" / "cases.toml"


def load() -> dict[str, dict[str, str]]:
    """Section → id → value."""
    return tomllib.loads(LEDGER.read_text())


def kind(value: str) -> str:
    """``test``, ``later`` or ``not here``. Raises ValueError for anything else."""
    if value.startswith("later: ") and len(value) > 7:
        return "later"
    if value.startswith("not here: ") and len(value) > 10:
        return "not here"
    if value and all("::" in name for name in value.split()):
        return "test"
    raise ValueError(f"{value!r} is no test, no `later: …` and no `not here: …`")


def missing_test(name: str) -> str | None:
    """Why ``path::test`` does not exist, or None when it does."""
    path, _, wanted = name.partition("::")
    file = ROOT / path
    if not file.is_file():
        return f"{path} does not exist"
    wanted = wanted.partition("[")[0]
    names = {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}
    return None if wanted.rpartition("::")[2] in names else f"{path} has no test {wanted}"


def main() -> int:
    total: Counter[str] = Counter()
    for section, cases in load().items():
        counts = Counter(kind(value) for value in cases.values())
        total += counts
        print(f"{section:<24}" + "  ".join(f"{name} {counts[name]:>3}" for name in ("test", "later", "not here")))
    print(f"{'all':<24}" + "  ".join(f"{name} {total[name]:>3}" for name in ("test", "later", "not here")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
