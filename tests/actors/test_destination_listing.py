"""What is asked of the destination, and which of its entries may be compared at all."""

from __future__ import annotations

from typing import Any

import pytest

from fileflux.actors.destination_listing import destination_request, named, troubles_of
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m

pytestmark = pytest.mark.unit


def spec(destination_agent: int = 2, **fields: Any) -> JobSpec:
    return JobSpec("job", 1, "/data/in", destination_agent, "/data", **fields)


def page(*names: str, errors: tuple[m.ListError, ...] = ()) -> m.ListResult:
    entries = tuple(m.Entry(name, "file", 1, 1) for name in names)
    return m.ListResult(1, 0, last=True, base="/data", path_type="directory", entries=entries, errors=errors)


def test_the_jobs_rules_go_along_and_at_another_agent_nothing_is_left_out() -> None:
    request = destination_request(spec(include=("*.csv",), exclude=("a/",), recursive=False), "/data/in", 7, 3, 500)
    assert (request.request_id, request.page, request.path, request.write) == (7, 3, "/data", True)
    assert request.rules == m.ListRules(("*.csv",), ("a/",), recursive=False)
    assert request.destination is None


@pytest.mark.parametrize(
    ("archive", "left_out"),
    [
        ("/data/done", "/data/done"),
        ("../done", "/data/in/../done"),
        ("/database", ""),
        ("/data/../x", ""),
        ("", "/data/in/"),
    ],
)
def test_at_the_same_agent_the_source_and_an_archive_below_the_destination_are_left_out(
    archive: str, left_out: str
) -> None:
    request = destination_request(spec(1, on_success="archive", archive_path=archive), "/data/in", 7, 0, 500)
    assert request.destination == "/data/in"
    assert request.archive == left_out
    assert request.on_success == ("archive" if left_out else "keep")
    assert destination_request(spec(1, archive_path=archive), "/data/in", 7, 0, 500).archive == ""


def test_kept_versions_and_names_that_nobody_may_have_are_not_seen() -> None:
    seen = page("a", "d/a%3F", "a.~3~", "../a", "d/../a", "")
    assert [name for name, _ in named(seen, spec())] == ["a", "d/a%3F"]
    assert [name for name, _ in named(seen, spec(names="encode"))] == ["a", "d/a?"]


def test_a_destination_that_is_not_there_yet_is_no_trouble() -> None:
    missing = m.ListError("", "not_found", "does not exist")
    assert troubles_of(page(errors=(missing,)), spec()) == []
    closed, below = m.ListError("", "permission", "no"), m.ListError("d", "not_found", "gone")
    assert troubles_of(page(errors=(closed, below)), spec()) == ["/data: no", "d: gone"]
