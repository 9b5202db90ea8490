"""What is watched for, and which offers are believed."""

from __future__ import annotations

from dataclasses import replace

from fileflux.jobs.arrivals import arrivals, key_of, order_of, origin_of
from fileflux.jobs.models import JobSpec, WatchRule
from fileflux.protocol import messages as m

SPEC = JobSpec(
    "in", 1, "/data/in", 2, "/data/out", pattern="*.csv", exclude=("tmp/",), watch=WatchRule(2.0, ".done", 30.0)
)


def test_an_agent_is_told_what_a_listing_would_be_told() -> None:
    order = order_of(SPEC, 7)
    assert (order.watch_id, order.path, order.settle_s, order.marker, order.poll_s) == (
        7,
        "/data/in",
        2.0,
        ".done",
        30.0,
    )
    assert (order.rules.include, order.rules.exclude) == (("*.csv",), ("tmp/",))
    assert order.destination is None
    assert order_of(replace(SPEC, destination_agent_id=1), 7).destination == "/data/out"
    archived = replace(SPEC, on_success="archive", archive_path="done")
    assert (order_of(archived, 7).on_success, order_of(archived, 7).archive) == ("archive", "done")


def test_the_origin_follows_what_is_looked_for_and_nothing_else() -> None:
    same = replace(SPEC, description="x", parallel=2, watch=WatchRule(9.0, ".done"))
    assert origin_of(same) == origin_of(SPEC)
    for change in ({"source_path": "/other"}, {"source_agent_id": 3}, {"exclude": ()}, {"watch": WatchRule(2.0)}):
        assert origin_of(replace(SPEC, **change)) != origin_of(SPEC)


def test_a_file_has_one_key_whatever_it_is_named_from() -> None:
    assert key_of(1, b"/data", b"in/a") == key_of(1, b"/data/in", b"a") == key_of(1, b"/data/in/", b"a")
    assert len({key_of(1, b"/data", b"a"), key_of(2, b"/data", b"a"), key_of(1, b"/data", b"b")}) == 3


def test_what_no_honest_agent_offers_is_left_out() -> None:
    entries = [
        m.Entry("a", "file", 1), m.Entry("../b", "file", 1), m.Entry("/c", "file", 1), m.Entry("d", "directory"),
        m.Entry("e", "other"), m.Entry("f", "file", 1, code="young"), m.Entry("g", "symlink"), m.Entry("a", "file", 2),
    ]  # fmt: skip
    found = arrivals(1, b"/data", "directory", entries)
    assert [(one.path, one.size) for one in found] == [(b"a", 2), (b"g", 0)]
    assert arrivals(1, b"/data", "file", [m.Entry("a/b", "file", 1)]) == []
