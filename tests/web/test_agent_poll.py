"""The routes of long-polling on the real app and database: who gets in, what is refused before it is read, and what they cost."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from fileflux.actors import messages as a
from fileflux.actors.kernel.pump import Pump
from fileflux.clock import SystemClock
from fileflux.protocol.codec import encode
from fileflux.protocol.limits import DEFAULT_LIMITS, KIB, MIB, PROTOCOL_VERSIONS, Limits
from fileflux.protocol.messages import Hello
from fileflux.protocol.records import Kind, RecordReader, close_record, head_of
from fileflux.storage import agents, tokens
from fileflux.storage.pool import Database
from fileflux.web import agent_poll, agent_ws
from fileflux.web.polling_links import ENDED_MAX, LINKS_EACH, PollingLinks
from tests.contracts.link_suite import Recorder

WINDOW = max(DEFAULT_LIMITS.polls_max, DEFAULT_LIMITS.slices_in_flight)


@dataclass
class Tree:
    """What the routes need of the hub's actors; hellos are kept, and nobody answers them."""

    pump: Pump
    hellos: list[Any] = field(default_factory=list)
    relay: Any = None

    @property
    def hub(self) -> Any:
        return self

    def tell(self, message: Any) -> bool:
        assert isinstance(message, a.HelloArrived)
        self.hellos.append(message)
        return True


@pytest.fixture
def limits() -> Limits:
    return replace(DEFAULT_LIMITS, login_attempts=5, slice_max=256 * KIB, slice_reorder_budget=512 * KIB)


@pytest.fixture
def tree() -> Iterator[Tree]:
    pump = Pump()
    pump.start()
    yield Tree(pump)
    pump.stop()


@pytest.fixture
def links(app: Flask, database: Database, limits: Limits, tree: Tree) -> Iterator[PollingLinks]:
    clock = SystemClock()
    links = PollingLinks(tree.pump, limits, clock)
    app.extensions[agent_ws.EXTENSION] = agent_ws.Accepting(database, tree, limits, clock)
    app.extensions[agent_poll.LINKS] = links
    app.register_blueprint(agent_poll.blueprint)
    yield links
    for _, peer in tuple(links._open.values()):
        peer.link.lost("the test is over")
    gevent.sleep(0.01)


@dataclass
class Agent:
    """Requests with one token over one link."""

    app: Flask
    token: str
    link_id: str = ""

    def connect(self) -> Agent:
        answer = self.ask("POST", "/api/agent/connect")
        assert answer.status_code == 200, answer.text
        self.link_id = answer.json["session_id"]
        return self

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> TestResponse:
        sent = {"Authorization": f"Bearer {self.token}", "X-FileFlux-Session": self.link_id}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().open(path, method=method, data=body, headers=sent)

    def poll(self, number: Any, known: Any = 0, timeout: Any = "0.05") -> TestResponse:
        headers = {"X_FileFlux_Seq": str(number)}
        if known is not None:
            headers["X_FileFlux_Ack"] = str(known)
        return self.ask("GET", f"/api/agent/poll?timeout={timeout}", **headers)

    def slice(self, number: Any, body: bytes, **headers: str) -> TestResponse:
        return self.ask("POST", "/api/agent/messages", body, X_FileFlux_Seq=str(number), **headers)


@pytest.fixture
def token(database: Database) -> str:
    return token_of(database, "web-1")


def token_of(database: Database, name: str) -> str:
    with database.transaction() as tx:
        return tokens.create(tx, agents.create(tx, name).id, "t", None)[1]


@pytest.fixture
def agent(app: Flask, links: PollingLinks, token: str) -> Agent:
    return Agent(app, token).connect()


@pytest.fixture
def heard(links: PollingLinks, agent: Agent) -> Recorder:
    """Listens to the link in place of the hub."""
    recorder = Recorder()
    links._open[agent.link_id][1].link.start(recorder)
    return recorder


def link_of(links: PollingLinks, agent: Agent) -> Any:
    return links._open[agent.link_id][1].link


def text(value: str) -> bytes:
    return head_of(Kind.TEXT, len(value.encode())) + value.encode()


def texts_in(answer: TestResponse) -> list[str]:
    reader = RecordReader(DEFAULT_LIMITS)
    reader.feed(answer.data)
    found = []
    while (record := reader.next()) is not None:
        found.append(record.text())
    return found


def codes(*answers: TestResponse) -> list[tuple[int, str]]:
    return [(answer.status_code, answer.json["code"]) for answer in answers]


# Who gets in

BAD_TOKENS = {
    "none": None,
    "empty": "Bearer ",
    "unknown": "Bearer ffx_" + "A" * 43,
    "garbage": "Bearer é\xff",
    "basic": "Basic eDp5",
    "long": "Bearer " + "A" * 7000,
}


def ask_all(app: Flask, header: str | None, link_id: str, query: str = "") -> list[TestResponse]:
    headers = {"X-FileFlux-Session": link_id, "X-FileFlux-Seq": "1"}
    if header is not None:
        headers["Authorization"] = header
    client = app.test_client()
    return [
        client.post(f"/api/agent/connect{query}", headers=headers),
        client.get(f"/api/agent/poll{query}", headers=headers),
        client.post(f"/api/agent/messages{query}", headers=headers, data=b""),
    ]


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_without_a_token_nothing_is_told_of_any_link(app: Flask, agent: Agent, audited: Any, name: str) -> None:
    for link_id in ("", "unknown", agent.link_id):
        for answer in ask_all(app, BAD_TOKENS[name], link_id):
            assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    actions = [entry[1] for entry in audited()]
    assert "agent.login" in actions
    assert len(actions) < 20, "one address cannot fill the log"


def test_a_users_token_is_none(app: Flask, agent: Agent, admin: Any) -> None:
    for answer in ask_all(app, f"Bearer {admin.token}", agent.link_id):
        assert answer.status_code == 401


def test_a_token_in_the_address_is_none(app: Flask, agent: Agent) -> None:
    for answer in ask_all(app, None, agent.link_id, f"?token={agent.token}"):
        assert answer.status_code == 401


def test_a_revoked_token_opens_nothing(app: Flask, links: PollingLinks, database: Database, token: str) -> None:
    agent = Agent(app, token).connect()
    with database.transaction() as tx:
        tx.execute("UPDATE agent_tokens SET revoked_at = now()")
    assert [answer.status_code for answer in ask_all(app, f"Bearer {token}", "unknown")] == [401, 401, 401]
    # The link is closed by whoever revoked it (CutAgent); until then it is what its token was.
    link_of(links, agent).close(1008, "the token was revoked")
    gevent.sleep(0.01)
    agent.poll(1)
    gone = agent.poll(2)
    assert codes(gone) == [(410, "link_ended")]
    assert (gone.headers["X-FileFlux-Close"], gone.json["detail"]) == ("1008", "the token was revoked")


def test_a_link_is_of_the_token_that_opened_it(app: Flask, agent: Agent, database: Database, heard: Recorder) -> None:
    other = Agent(app, token_of(database, "thief"), agent.link_id)
    for answer in (other.poll(1), other.slice(1, text("stolen"))):
        assert (answer.status_code, answer.headers["X-FileFlux-Close"]) == (410, "1006")
    assert heard.texts == []
    assert agent.slice(1, text("mine")).status_code == 204
    assert heard.texts == ["mine"]


def test_an_unknown_link_is_gone(app: Flask, links: PollingLinks, token: str) -> None:
    for link_id in ("", "x", "0" * 32, "é", "a" * 5000):
        agent = Agent(app, token, link_id)
        for answer in (agent.poll(1), agent.slice(1, b"")):
            assert codes(answer) == [(410, "link_ended")]


def test_connect_says_what_the_agent_may_do(app: Flask, links: PollingLinks, token: str, limits: Limits) -> None:
    answer = Agent(app, token).ask("POST", "/api/agent/connect")
    said = answer.json
    assert re.fullmatch("[0-9a-f]{32}", said.pop("session_id"))
    assert said == {
        "poll_timeout_s": limits.poll_timeout,
        "polls": limits.polls_max,
        "slices": limits.slices_in_flight,
        "slice_max": limits.slice_max,
    }
    assert answer.headers["Cache-Control"] == "no-store"


# What cannot be

HUGE = "1" * 16


@pytest.mark.parametrize("value", ["", "x", "-1", "+1", "1.0", " 1", "0x1", "١", HUGE, "1" * 5000, "1,1", "NaN"])
def test_headers_that_are_no_numbers(agent: Agent, heard: Recorder, value: str) -> None:
    for answer in (agent.poll(value), agent.poll(1, known=value), agent.slice(value, b"x")):
        assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert heard.closed == []


def test_a_number_is_needed(agent: Agent) -> None:
    assert (
        codes(agent.ask("GET", "/api/agent/poll"), agent.ask("POST", "/api/agent/messages"))
        == [(400, "bad_request")] * 2
    )


@pytest.mark.parametrize(
    ("number", "known"), [(0, 0), (2 * DEFAULT_LIMITS.polls_max + 1, 0), (1, 1), (5, 3), (10**14, 10**14 - 1)]
)
def test_polls_out_of_their_window(agent: Agent, heard: Recorder, audited: Any, number: int, known: int) -> None:
    assert codes(agent.poll(number, known)) == [(400, "sequence")]
    assert audited()[-1] == ("agent", "link.refused", "/api/agent/poll", "refused")
    assert heard.closed == []


@pytest.mark.parametrize("number", [0, WINDOW + 1, 10**14])
def test_slices_out_of_their_window(agent: Agent, heard: Recorder, number: int) -> None:
    assert codes(agent.slice(number, b"x")) == [(400, "sequence")]
    assert heard.closed == []


@pytest.mark.parametrize(
    "part", ["", "x", "0", "/", "0/", "/5", "-1/5", "0/-5", "0/5/5", "0 / 5", f"0/{HUGE}", "0.0/5", "é/5"]
)
def test_part_headers_that_are_none(agent: Agent, part: str) -> None:
    assert codes(agent.slice(1, b"hello", X_FileFlux_Part=part)) == [(400, "bad_request")]


@pytest.mark.parametrize("part", ["0/4", "1/5", "5/5", "5/10", "999999999999999/999999999999999"])
def test_part_headers_that_lie(agent: Agent, heard: Recorder, part: str) -> None:
    answer = agent.slice(1, b"hello", X_FileFlux_Part=part)
    assert (answer.status_code, answer.json["code"]) in ((400, "bad_slice"), (413, "too_large"))
    assert agent.slice(1, text("still fine")).status_code == 204
    assert heard.texts == ["still fine"]


@pytest.mark.parametrize("timeout", ["", "x", "-1", "1e9", "inf", "nan", "99999", "0x1", "1.0000", "²"])
def test_a_time_that_is_none_is_no_time(agent: Agent, timeout: str) -> None:
    with gevent.Timeout(5):
        assert agent.poll(1, timeout=timeout).status_code == 204


def test_a_poll_has_no_body(agent: Agent) -> None:
    answer = agent.ask("GET", "/api/agent/poll?timeout=0", b"x", X_FileFlux_Seq="1")
    assert codes(answer) == [(400, "bad_request")]


class Unread(io.BytesIO):
    """A body that fails the test if anybody looks at it."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("it was read")


def refused_unread(agent: Agent, number: int, length: str | None, **headers: str) -> TestResponse:
    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": length}
    sent = {
        "Authorization": f"Bearer {agent.token}",
        "X-FileFlux-Session": agent.link_id,
        "X-FileFlux-Seq": str(number),
    }
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return agent.app.test_client().post("/api/agent/messages", headers=sent, environ_overrides=environ)


def test_what_cannot_be_taken_is_refused_before_it_is_read(agent: Agent, limits: Limits) -> None:
    above = str(limits.slice_max + 1)
    assert codes(
        refused_unread(agent, 1, above),
        refused_unread(agent, 1, "9" * 30),
        refused_unread(agent, 1, "10", X_FileFlux_Part=f"0/{above}"),
        refused_unread(agent, 1, None),
        refused_unread(agent, 1, None, Transfer_Encoding="chunked"),
        refused_unread(agent, WINDOW + 1, "10"),
        refused_unread(agent, 1, "10", X_FileFlux_Part="1/5"),
    ) == [
        (413, "too_large"), (413, "too_large"), (413, "too_large"), (411, "length_required"), (411, "length_required"),
        (400, "sequence"), (400, "bad_slice"),
    ]  # fmt: skip
    nobody = replace(agent, token="ffx_" + "A" * 43)
    assert refused_unread(nobody, 1, "10").status_code == 401
    lost = replace(agent, link_id="x")
    assert refused_unread(lost, 1, "10").status_code == 410


def test_a_body_that_is_shorter_than_it_says_counts_for_nothing(agent: Agent, heard: Recorder) -> None:
    body = text("whole")
    sent = {"Authorization": f"Bearer {agent.token}", "X-FileFlux-Session": agent.link_id, "X-FileFlux-Seq": "1"}
    environ = {"wsgi.input": io.BytesIO(body[:-1]), "CONTENT_LENGTH": str(len(body))}
    short = agent.app.test_client().post("/api/agent/messages", headers=sent, environ_overrides=environ)
    assert short.status_code == 400
    assert agent.slice(1, body).status_code == 204
    assert heard.texts == ["whole"]


def test_records_that_cannot_be_close_the_link_with_their_code(
    agent: Agent, links: PollingLinks, heard: Recorder
) -> None:
    assert agent.slice(1, b"<html>Please sign in</html>").status_code == 204
    farewell = agent.poll(1)
    reader = RecordReader(DEFAULT_LIMITS)
    reader.feed(farewell.data)
    record = reader.next()
    assert record is not None
    assert record.farewell()[0] == 1002
    assert [code for code, _ in heard.closed] == [1002]
    assert [answer.headers["X-FileFlux-Close"] for answer in (agent.poll(2), agent.slice(2, b"x"))] == ["1002", "1002"]
    assert len(links) == 0


# Up and down


def test_a_slice_counts_once_and_in_its_order(agent: Agent, heard: Recorder) -> None:
    assert agent.slice(2, text("b")).status_code == 204
    assert heard.texts == []
    assert agent.slice(1, text("a")).status_code == 204
    for number in (1, 2, 1):
        assert agent.slice(number, text("again")).status_code == 204
    assert heard.texts == ["a", "b"]


def test_a_slice_in_parts(agent: Agent, heard: Recorder) -> None:
    whole = text("x" * 1000)
    assert agent.slice(1, whole[:400], X_FileFlux_Part=f"0/{len(whole)}").status_code == 204
    assert codes(agent.slice(1, whole[500:], X_FileFlux_Part=f"500/{len(whole)}")) == [(400, "bad_slice")]
    for start, end in ((0, 400), (400, 700), (700, len(whole)), (700, len(whole))):
        assert agent.slice(1, whole[start:end], X_FileFlux_Part=f"{start}/{len(whole)}").status_code == 204
    assert heard.texts == ["x" * 1000]


def test_what_comes_too_early_is_bounded(agent: Agent, heard: Recorder, limits: Limits) -> None:
    assert agent.slice(3, bytes(limits.slice_max)).status_code == 204
    assert agent.slice(4, bytes(limits.slice_max)).status_code == 204
    late = agent.slice(2, bytes(10))
    assert codes(late) == [(503, "overloaded")]
    assert late.headers["Retry-After"] == "1"
    assert agent.slice(1, text("due")).status_code == 204
    assert heard.texts == ["due"]


def test_a_poll_is_answered_with_what_there_is_and_again_with_the_same(
    agent: Agent, links: PollingLinks, heard: Recorder
) -> None:
    link_of(links, agent).send_text("hello")
    first = agent.poll(1)
    assert (first.status_code, texts_in(first)) == (200, ["hello"])
    assert first.headers["Content-Type"] == "application/octet-stream"
    assert first.headers["Cache-Control"] == "no-store"
    assert first.headers["X-FileFlux-Seq"] == "1"
    link_of(links, agent).send_text("more")
    assert agent.poll(1).data == first.data
    assert texts_in(agent.poll(2, known=1)) == ["more"]
    assert codes(agent.poll(1)) == [(400, "sequence")]


def test_a_poll_waits_for_what_comes(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    gevent.spawn_later(0.1, link_of(links, agent).send_text, "at last")
    clock = SystemClock()
    began = clock.monotonic()
    assert texts_in(agent.poll(1, timeout="20")) == ["at last"]
    assert 0.05 < clock.monotonic() - began < 5


def test_the_same_poll_on_another_connection_takes_over(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    older = gevent.spawn(agent.poll, 1, 0, "20")
    gevent.sleep(0.05)
    newer = gevent.spawn(agent.poll, 1, 0, "20")
    assert codes(older.get(timeout=5)) == [(410, "link_ended")]
    link_of(links, agent).send_text("x")
    assert texts_in(newer.get(timeout=5)) == ["x"]


def test_a_hello_goes_to_the_hub_with_who_it_is(agent: Agent, tree: Tree) -> None:
    hello = encode(Hello(PROTOCOL_VERSIONS, "web-1", link_reason="upgrade refused with 403"), 0, 0)
    assert agent.slice(1, text(hello)).status_code == 204
    (arrived,) = tree.hellos
    assert arrived.text == hello
    assert (arrived.identity.name, arrived.identity.epoch) == ("web-1", 1)
    assert arrived.gate.link.transport == "polling"


def test_nothing_may_come_before_the_hello(agent: Agent, links: PollingLinks, tree: Tree) -> None:
    assert agent.slice(1, head_of(Kind.BINARY, 1) + b"x").status_code == 204
    agent.poll(1)
    assert agent.poll(2).headers["X-FileFlux-Close"] == "1008"
    assert tree.hellos == []


def test_an_agents_farewell_ends_the_link(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    waiting = gevent.spawn(agent.poll, 1, 0, "20")
    gevent.sleep(0.05)
    answer = agent.slice(1, text("bye") + close_record(1001, "the agent stops"))
    assert (answer.status_code, answer.headers["X-FileFlux-Close"]) == (410, "1001")
    assert (heard.texts, heard.closed) == (["bye"], [(1001, "the agent stops")])
    assert waiting.get(timeout=5).headers["X-FileFlux-Close"] == "1001"
    gevent.sleep(0.01)
    assert len(links) == 0


def test_a_handler_that_raises_costs_its_link_only(agent: Agent, links: PollingLinks, heard: Recorder) -> None:
    heard.react = lambda text: 1 // 0
    assert agent.slice(1, text("boom")).status_code == 500
    assert agent.poll(1).headers["X-FileFlux-Close"] == "1006"
    assert Agent(agent.app, agent.token).connect().poll(1).status_code == 204


# What it costs


class Counted(Database):
    """Counts transactions."""

    count = 0

    def transaction(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        return super().transaction(*args, **options)


@pytest.fixture
def database(database_url: str) -> Iterator[Counted]:
    pool = Counted(database_url, DEFAULT_LIMITS)
    yield pool
    pool.close()


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
    for agent in mine:
        agent.slice(1, close_record(1000, ""))
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
