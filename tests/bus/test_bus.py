from __future__ import annotations

import threading

import pytest

from fileflux.bus import events
from fileflux.bus.bus import Bus
from fileflux.errors import LocalProtocolError, UnavailableError

pytestmark = pytest.mark.unit


def test_subscribers_get_the_events_of_their_classes_in_order():
    bus = Bus()
    with bus.subscribe([events.RunStarted, events.RunEnded], 10) as runs, bus.subscribe([events.RunEnded], 10) as ends:
        for event in (events.RunStarted(1), events.AgentOffline(2, "gone"), events.RunEnded(1, "succeeded")):
            bus.publish(event)
        assert [runs.get(0), runs.get(0), runs.get(0)] == [events.RunStarted(1), events.RunEnded(1, "succeeded"), None]
        assert ends.get(0) == events.RunEnded(1, "succeeded")


def test_without_subscribers_nothing_happens():
    bus = Bus()
    bus.publish(events.RunStarted(1))
    with bus.subscribe([events.RunStarted], 1) as late:
        assert late.get(0) is None


@pytest.mark.parametrize(("overflow", "left", "lost"), [("drop_oldest", [2, 3], 2), ("merge", [0, 1], 0)])
def test_a_full_queue_loses_events_and_counts_them_or_merges_them(overflow, left, lost):
    bus = Bus()
    slow = bus.subscribe([events.RunStarted], 2, on_overflow=overflow)
    quick = bus.subscribe([events.RunStarted], 100)
    for number in range(4):
        bus.publish(events.RunStarted(number))
    assert [slow.get(0), slow.get(0), slow.get(0)] == [*map(events.RunStarted, left), None]
    assert (slow.dropped, quick.dropped, bus.dropped) == (lost, 0, lost)
    slow.close()
    slow.close()
    assert bus.dropped == lost


def test_a_queue_has_room_for_something():
    with pytest.raises(LocalProtocolError):
        Bus().subscribe([events.RunStarted], 0)


def test_closing_ends_delivery_and_wakes_who_waits():
    bus = Bus()
    subscription = bus.subscribe([events.RunStarted], 2)
    bus.publish(events.RunStarted(1))
    errors: list[Exception] = []

    def read() -> None:
        try:
            while True:
                subscription.get()
        except UnavailableError as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    subscription.close()
    subscription.close()
    reader.join(5)
    assert len(errors) == 1
    bus.publish(events.RunStarted(2))
    with pytest.raises(UnavailableError):
        subscription.get(0)


def test_publishers_and_subscribers_in_many_threads_lose_nothing():
    bus = Bus()
    subscription = bus.subscribe([events.RunStarted], 4000)

    def publish(base: int) -> None:
        for number in range(1000):
            bus.publish(events.RunStarted(base + number))

    threads = [threading.Thread(target=publish, args=(base,)) for base in (0, 1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    got = {subscription.get(5) for _ in range(4000)}
    for thread in threads:
        thread.join(5)
    assert got == {events.RunStarted(number) for number in range(4000)}
    assert subscription.dropped == 0


def test_all_that_waits_can_be_taken_at_once():
    bus = Bus()
    subscription = bus.subscribe([events.RunStarted], 3)
    assert subscription.take_all() == []
    for number in range(4):
        bus.publish(events.RunStarted(number))
    assert subscription.take_all() == [*map(events.RunStarted, (1, 2, 3))]
    assert (subscription.take_all(), subscription.dropped) == ([], 1)
    bus.publish(events.RunStarted(5))
    assert subscription.get(0) == events.RunStarted(5)
