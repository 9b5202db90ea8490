"""What the demo says of a program of its own that ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from fileflux.demo import last_words

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "it said nothing"),
        ("one\ntwo\n", "two"),
        (
            "fileflux: a warning\nfileflux: no space left: free some\nWorker exited\nReason: Worker failed to boot.\n",
            "no space left: free some",
        ),
        (
            "Traceback (most recent call last):\n  File x\nOSError: [Errno 12] Cannot allocate memory\nWorker exited\n",
            "OSError: [Errno 12] Cannot allocate memory",
        ),
    ],
)
def test_the_reason_comes_before_what_followed_from_it(tmp_path: Path, log: str, said: str) -> None:
    path = tmp_path / "hub.log"
    path.write_text(log)
    assert last_words(path) == said
