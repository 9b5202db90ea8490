"""Which places are on this machine."""

from __future__ import annotations

import pytest

from fileflux.cli.place import Place, parse_agent_place, parse_place
from fileflux.errors import ConfigError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a:/b", Place("a", "/b")),
        ("a:C:\\b", Place("a", "C:\\b")),
        ("web 1:x:y", Place("web 1", "x:y")),
        ("a: ", Place("a", " ")),
        ("C:\\x", Place("C", "\\x")),
        ("./file", Place(None, "./file")),
        ("report.pdf", Place(None, "report.pdf")),
        ("./a:b", Place(None, "./a:b")),
        ("/srv/a:b", Place(None, "/srv/a:b")),
        ("in/a:b", Place(None, "in/a:b")),
        (".", Place(None, ".")),
    ],
)
def test_as_scp_tells_them_apart(text: str, place: Place) -> None:
    assert parse_place(text, windows=False) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("C:\\x", Place(None, "C:\\x")),
        ("c:/x", Place(None, "c:/x")),
        (".\\a:b", Place(None, ".\\a:b")),
        ("\\\\server\\share:x", Place(None, "\\\\server\\share:x")),
        ("C:x", Place("C", "x")),
        ("web-1:C:\\x", Place("web-1", "C:\\x")),
    ],
)
def test_on_windows_a_drive_is_no_agent(text: str, place: Place) -> None:
    assert parse_place(text, windows=True) == place


@pytest.mark.parametrize("text", ["", ":", "a:", ":/b"])
def test_neither_the_one_nor_the_other(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_place(text)


def test_a_job_is_between_agents() -> None:
    assert parse_agent_place("a:/b") == ("a", "/b")
    with pytest.raises(ConfigError, match="AGENT:PATH"):
        parse_agent_place("/b")
