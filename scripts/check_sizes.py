"""No source file above 400 lines without a reason: the reasons are lines ``path: reason`` in docs/decisions/large-files.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIMIT = 400
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    listed = ROOT / "docs" / "decisions" / "large-files.md"
    reasons = set(re.findall(r"^- `([^`]+)`: \S", listed.read_text(), re.MULTILINE)) if listed.exists() else set()
    names = subprocess.run(
        ["git", "ls-files", "*.py", "*.ts"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    large = {name: len((ROOT / name).read_text().splitlines()) for name in names.split() if (ROOT / name).exists()}
    bad = {name: lines for name, lines in large.items() if lines > LIMIT and name not in reasons}
    for name, lines in sorted(bad.items()):
        print(f"{name}: {lines} lines; split it, or give its reason in {listed.relative_to(ROOT)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
