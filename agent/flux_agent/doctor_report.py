"""What ``flux-agent doctor`` found, and how it is shown. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One layer. ``advice`` is what to do, if that is not in ``found`` already; ``exit_code`` counts when it failed."""

    name: str
    status: Status
    found: str
    advice: str = ""
    exit_code: int = 5


@dataclass(frozen=True, slots=True)
class Report:
    checks: Sequence[Check]

    @property
    def exit_code(self) -> int:
        """0 when an agent would work, else that of the first layer that failed: what comes behind it may only follow from it."""
        return next((check.exit_code for check in self.checks if check.status == "fail"), 0)


def as_text(report: Report) -> str:
    """A line for each layer. What others sent may be in it, so nothing that moves a terminal's cursor is."""
    width = max(len(check.name) for check in report.checks)
    lines = (
        f"{check.status:<8}{check.name:<{width}}  {check.found}{f' ({check.advice})' if check.advice else ''}"
        for check in report.checks
    )
    return "\n".join("".join(character if character.isprintable() else "?" for character in line) for line in lines)


def as_json(report: Report) -> str:
    """For programs: ``checks`` in the order of the layers."""
    checks = [{name: value for name, value in asdict(check).items() if name != "exit_code"} for check in report.checks]
    return json.dumps({"works": report.exit_code == 0, "exit_code": report.exit_code, "checks": checks}, indent=2)
