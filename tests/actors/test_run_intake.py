"""What becomes of a listing's troubles: what stays with the run, and what begins it again."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest

from fileflux.actors.run_intake import LIST_TRIES, TROUBLE_CHARACTERS, TROUBLES_KEPT, Intake
from fileflux.actors.run_listing import Plan
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.limits import DEFAULT_LIMITS

pytestmark = pytest.mark.unit


def test_the_first_troubles_are_kept_as_texts_that_can_be_stored() -> None:
    row: Any = SimpleNamespace(plan=None, planned=False)
    persistence: Any = None
    intake = Intake(row, JobSpec("x", 1, "/a", 2, "/b"), DEFAULT_LIMITS, persistence, itertools.count(1))
    plan = Plan("/a", "directory")
    assert "troubles" not in intake.to_store(plan)
    intake.listing.errors = 99
    intake.listing.error_texts = ["caf\udce9: \0" + "x" * 999] * 99
    stored = intake.to_store(plan)
    assert (len(stored["troubles"]), stored["errors"]) == (TROUBLES_KEPT, 99)
    text = stored["troubles"][0]
    assert text.startswith("caf\\xe9: \\x00x")
    assert len(text) == TROUBLE_CHARACTERS
    assert "\\ud" not in json.dumps(text).replace("\\\\ud", "")


def test_a_listing_that_died_with_its_worker_begins_again_and_not_for_ever() -> None:
    row: Any = SimpleNamespace(plan=None, planned=False)
    persistence: Any = None
    intake = Intake(row, JobSpec("x", 1, "/a", 2, "/b"), DEFAULT_LIMITS, persistence, itertools.count(1))
    numbers = itertools.count(1)

    def page(number: int, *errors: m.ListError) -> m.ListResult:
        return m.ListResult(intake.listing.request_id, number, bool(errors), "/a", "directory", (), errors)

    died = m.ListError("", "worker_died", "begin it again")
    for _ in range(LIST_TRIES):
        first = intake.listing.request(next(numbers))
        assert intake.take(page(0)) == ([], [])
        assert intake.take(page(1, died)) is None
        assert intake.listing.errors == 0
        assert intake.listing.request(next(numbers)).request_id != first.request_id
        assert intake.listing.request(0).page == 0
    assert intake.take(page(0)) == ([], [])
    assert intake.take(page(1, died)) == ([], [])
    assert (intake.finished, intake.listing.errors) == (True, 1)
