"""When an agent that came or went is news."""

from __future__ import annotations

from uuid import uuid4

import pytest

from fileflux.actors.presence import Presence
from fileflux.clock import FakeClock
from fileflux.storage import agents, deliveries, notifications
from fileflux.storage.pool import Database

AWAY_S = 60.0


def test_what_flaps_is_told_once_and_a_restart_not_at_all(database: Database) -> None:
    with database.transaction() as tx:
        first, second = (agents.create(tx, name).id for name in ("a", "b"))
        body = {
            "name": "t", "kind": "webhook", "url": "https://x.org/", "addresses": [], "events": ["agent.*"], "job_ids": [], "tags": [],
            "enabled": True,
        }  # fmt: skip
        target = notifications.create(tx, body, "ann")[0].id
    clock, hub = FakeClock(), uuid4()
    online: set[int] = set()
    seen = 0

    def start() -> Presence:
        return Presence(database, hub, lambda: online, clock, AWAY_S)

    def look(at: Presence, seconds: float, *ids: int) -> list[tuple[str, str]]:
        nonlocal seen
        clock.advance(seconds)
        online.clear()
        online.update(ids)
        at.look()
        with database.transaction() as tx:
            told = [(row.type, row.data["agent"]["name"]) for row in reversed(deliveries.list_page(tx, target, 100))]
        news, seen = told[seen:], len(told)
        return news

    watch = start()
    assert look(watch, 0) == []
    assert look(watch, 2, first, second) == [("agent.online", "a"), ("agent.online", "b")]
    assert look(watch, 2, first) == []
    assert look(watch, AWAY_S - 1, first, second) == [], "back in time"
    assert look(watch, 2, first) == []
    assert look(watch, AWAY_S - 1, first) == []
    assert look(watch, 2, first) == [("agent.offline", "b")]
    assert look(watch, AWAY_S, first) == []
    watch = start()
    assert look(watch, 0) == []
    assert look(watch, AWAY_S - 1, first) == [], "they come back one by one after a restart of the hub"
    watch = start()
    assert look(watch, 0) == []
    assert look(watch, AWAY_S, second) == [("agent.online", "b"), ("agent.offline", "a")]


def test_the_database_may_be_away_for_a_while(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    watch = Presence(database, uuid4(), lambda: [1], clock, AWAY_S)
    from fileflux.actors import presence
    from fileflux.errors import UnavailableError

    def away(*_: object) -> None:
        raise UnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(presence.presence, "came", away)
        with pytest.raises(UnavailableError):
            watch.look()
    watch.look()
    assert watch._known == {1}, "what was not stored is looked at again"
