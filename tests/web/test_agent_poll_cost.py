"""What long-polling costs the hub: nothing of the database, and bounded memory."""

from __future__ import annotations

import gevent
from flask import Flask

from fileflux.protocol.limits import MIB, Limits
from fileflux.protocol.records import close_record
from fileflux.storage.pool import Database
from fileflux.web.polling_links import ENDED_MAX, LINKS_EACH, PollingLinks
from tests.contracts.link_suite import Recorder
from tests.web.polling import (
    Agent,
    Counted,
    Tree,
    agent,
    codes,
    database,
    heard,
    limits,
    link_of,
    links,
    text,
    texts_in,
    token,
    token_of,
    tree,
)

# Fixtures, used here by name.
__all__ = ["agent", "database", "heard", "limits", "links", "token", "tree"]


def test_polls_and_slices_ask_the_database_nothing(
    agent: Agent, links: PollingLinks, heard: Recorder, database: Counted
) -> None:
    before = database.count
    for number in range(1, 101):
        assert agent.slice(number, text(f"up {number}")).status_code == 204
        link_of(links, agent).send_text(f"down {number}")
        assert texts_in(agent.poll(number, number - 1)) == [f"down {number}"]
    assert agent.poll(101, 100).status_code == 204
    assert len(heard.texts) == 100
    assert database.count == before
    Agent(agent.app, agent.token).connect()
    assert database.count > before


def test_the_links_of_one_token_are_bounded_and_the_oldest_makes_room(
    app: Flask, links: PollingLinks, token: str, database: Database
) -> None:
    other = Agent(app, token_of(database, "other")).connect()
    mine = [Agent(app, token).connect() for _ in range(LINKS_EACH + 3)]
    gevent.sleep(0.05)
    assert len(links) == LINKS_EACH + 1
    assert [agent.poll(1).status_code for agent in mine[:4]] == [410, 410, 410, 204]
    assert mine[-1].poll(1).status_code == other.poll(1).status_code == 204
    for each in mine:
        each.slice(1, close_record(1000, ""))
    gevent.sleep(0.05)
    assert len(links) == 1
    assert len(links._of) == 1


def test_the_ends_that_are_remembered_are_bounded(links: PollingLinks, tree: Tree) -> None:
    for number in range(ENDED_MAX + 100):
        _, peer = links.open(f"token {number}", "192.0.2.1")
        peer.link.lost("gone")
        if number % 100 == 0:
            gevent.sleep(0)
    gevent.sleep(0.2)
    assert len(links) == 0
    assert len(links._ended) == ENDED_MAX
    assert links._of == {}


def test_kept_answers_are_bounded(agent: Agent, links: PollingLinks, heard: Recorder, limits: Limits) -> None:
    link = link_of(links, agent)
    for _ in range(30):
        link.send_binary(bytes(MIB))
    kept = [agent.poll(number, timeout="0").content_length or 0 for number in range(1, 2 * limits.polls_max + 1)]
    assert 0 < sum(kept) == link.pace.in_flight <= 8 * limits.slice_min
    assert codes(agent.poll(2 * limits.polls_max + 1)) == [(400, "sequence")]
