from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from fileflux.bus import events

pytestmark = pytest.mark.unit


def test_every_event_of_the_module_is_in_the_union_frozen_and_has_an_id():
    classes = {value for value in vars(events).values() if dataclasses.is_dataclass(value)}
    assert classes == set(get_args(events.Event))
    # What is set for the whole hub is of no row.
    for kind in classes - {events.SettingsChanged}:
        assert kind.__dataclass_params__.frozen, kind
        assert dataclasses.fields(kind)[0].name in {"agent_id", "run_id", "transfer_id", "job_id", "alert_id"}
