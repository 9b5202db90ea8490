"""Nobody can tell from the result which transport was used: what stands above the links neither names one nor decides by one.

The imports are held by import-linter (setup.cfg); this holds the words, in code, texts and comments.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = (ROOT / "fileflux", ROOT / "agent" / "flux_agent")
NAMES = re.compile("websocket|polling", re.IGNORECASE)

TRANSPORTS = {
    *(
        f"fileflux/protocol/{name}.py"
        for name in (
            "websocket",
            "websocket_frames",
            "websocket_reader",
            "unsent",
            "upgrade",
            "polling",
            "poll_peer",
            "pace",
            "records",
            "slices",
        )
    ),
    *(f"fileflux/web/{name}.py" for name in ("agent_ws", "agent_check", "agent_poll", "poll_parking", "polling_links")),
    "agent/flux_agent/transports/",
}
"""The transports themselves: what carries a link, at both ends."""

NAMED = {
    "fileflux/actors/kernel/tls.py": "says whose interface it implements",
    "fileflux/bus/events.py": "says what an event's field may hold",
    "fileflux/cli/agents.py": "an example of what is shown",
    "fileflux/cli/hub.py": "values of an option of the demo",
    "fileflux/demo_showcase.py": "one of the company's agents is configured for it",
    "fileflux/errors.py": "the tree of errors has a line for each",
    "fileflux/metrics.py": "values of a label",
    "fileflux/protocol/limits.py": "limits are named after what they bound",
    "fileflux/protocol/link.py": "says what is displayed",
    "fileflux/serve.py": "the composition root makes the registry of links",
    "fileflux/web/access.py": "where the live feed's token may come",
    "fileflux/web/event_stream.py": "the live feed over WebSocket, which carries no link",
    "fileflux/web/events.py": "the live feed over WebSocket, which carries no link",
    "fileflux/web/server.py": "a reason for a number",
    "agent/flux_agent/cli.py": "values of an option",
    "agent/flux_agent/config.py": "values of a setting",
    "agent/flux_agent/doctor_walk.py": "says which layer fails and what follows from it",
}
"""Other files that name one, each with the reason."""

DECIDES = {
    "agent/flux_agent/doctor_walk.py": "what does not fail where long-polling would be used is only a warning",
    "agent/flux_agent/config.py": "checks the setting",
}
"""Other files whose course depends on a transport's name, each with the reason."""


def sources() -> dict[str, Path]:
    return {str(path.relative_to(ROOT)): path for folder in SOURCES for path in sorted(folder.rglob("*.py"))}


def others() -> dict[str, Path]:
    """What is above the links, or below."""
    return {name: path for name, path in sources().items() if not name.startswith(tuple(TRANSPORTS))}


def test_no_other_line_names_a_transport() -> None:
    naming = {
        name: lines
        for name, path in others().items()
        if (lines := [line.strip() for line in path.read_text().splitlines() if NAMES.search(line)])
    }
    assert {name: lines for name, lines in naming.items() if name not in NAMED} == {}
    assert NAMED.keys() - naming.keys() == set(), "a reason that has gone"


def test_what_are_called_transports_exist() -> None:
    for name in TRANSPORTS:
        assert (ROOT / name).exists(), name


def decisions(path: Path) -> list[str]:
    """Comparisons and cases that a transport's name takes part in."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Compare, ast.match_case, ast.Dict)):
            looked_at = node.pattern if isinstance(node, ast.match_case) else node
            if any(
                (isinstance(part, ast.Constant) and part.value in ("websocket", "polling"))
                or (isinstance(part, ast.Attribute) and part.attr == "transport" and isinstance(node, ast.Compare))
                for part in ast.walk(looked_at)
            ):
                found.append(ast.unparse(looked_at))
    return found


def test_nothing_else_is_decided_by_a_transport() -> None:
    deciding = {name: found for name, path in others().items() if (found := decisions(path))}
    assert deciding.keys() == DECIDES.keys(), deciding
    assert decisions(ROOT / "agent" / "flux_agent" / "transports" / "choose.py"), "a decision is seen as one"
