"""What stays with a run of its listing's troubles."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest

from fileflux.actors.run_intake import TROUBLE_CHARACTERS, TROUBLES_KEPT, Intake
from fileflux.actors.run_listing import Plan
from fileflux.jobs.models import JobSpec
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
