from __future__ import annotations

import pytest

from fileflux.errors import LocalProtocolError
from fileflux.metrics import Counter, Gauge, Metrics

pytestmark = pytest.mark.unit


def test_everything_is_there_at_zero_under_unique_names():
    samples = list(Metrics().samples())
    assert samples
    assert {sample.value for sample in samples} == {0}
    keys = [(sample.name, sample.suffix, sample.label_value) for sample in samples]
    assert len(keys) == len(set(keys))
    for sample in samples:
        assert sample.name.startswith("fileflux_")
        assert sample.name.endswith("_total") == (sample.kind == "counter")
        assert sample.help.endswith(".")


def test_counters_count_and_unknown_labels_are_others():
    counter = Counter("c_total", "Help.", "code", ("a", "b"))
    counter.inc("a")
    counter.inc("b", by=3)
    for name in ("x", "y", "other", ""):
        counter.inc(name)
    assert [(sample.label_value, sample.value) for sample in counter.samples()] == [("a", 1), ("b", 3), ("other", 4)]
    assert counter.value("b") == 3
    with pytest.raises(LocalProtocolError):
        counter.inc("a", by=-1)


def test_without_a_label_there_is_one_number():
    gauge = Gauge("g", "Help.")
    gauge.set(5)
    gauge.add(-2)
    gauge.add(1, "ignored")
    assert gauge.value() == 4
    assert len(list(gauge.samples())) == 1


def test_two_sets_of_metrics_are_apart():
    first, second = Metrics(), Metrics()
    first.agents_online.set(3)
    assert second.agents_online.value() == 0
