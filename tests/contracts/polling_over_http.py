"""The contract of links over real HTTP: the agent's dialer and the hub's server with its routes, in one patched process (``tests.patched``).

Run by tests/web/test_polling_over_http.py, which names a database in FILEFLUX_TEST_PAIR_DATABASE.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
import gevent.server
import pytest
from flask import Flask

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.pump import Pump
from fileflux.clock import SystemClock
from fileflux.protocol.limits import Limits
from fileflux.protocol.link import Link
from fileflux.storage import agents, pool, tokens
from fileflux.web import agent_poll, agent_ws
from fileflux.web.app import create_app
from fileflux.web.deps import Deps
from fileflux.web.polling_links import PollingLinks
from fileflux.web.server import Hooks, HubApplication, HubWorker
from fileflux.web.tls import HubTls
from flux_agent import config
from flux_agent.transports.network import Network
from flux_agent.transports.polling import PollingDialer
from tests.certificates import Authority
from tests.contracts.link_suite import LinkSuite, Recorder

LIMITS = Limits(request_retry=0.5, handshake_timeout=30.0)


class Tree:
    """What the routes need of the hub's actors: nobody says hello here."""

    hub = relay = None

    def __init__(self) -> None:
        self.pump = Pump()


class Server:
    """The hub's worker with the routes of long-polling, without its arbiter and actors."""

    def __init__(self, database: pool.Database, tls: HubTls | None) -> None:
        self.tree = Tree()
        self.tree.pump.start()
        self.links = PollingLinks(self.tree.pump, LIMITS, SystemClock())
        self.database = database
        hooks = Hooks(self._load, *6 * (_nothing,), tls)
        listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        # As gunicorn makes its own.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        application = HubApplication(listener.fileno(), hooks, LIMITS)
        worker = HubWorker(0, os.getppid(), [listener], application, 0, application.cfg, _Log())
        worker.load_wsgi()
        worker.alive = True
        # By which the arbiter would see that it lives.
        worker.tmp.close()
        self.accepted = 0
        self._open: set[Any] = set()
        self._handle = partial(worker.handle, listener)
        self._server = gevent.server.StreamServer(listener, self._serve, spawn=gevent.pool.Pool(1000))
        self._server.start()

    def _load(self) -> Flask:
        clock = SystemClock()
        app = create_app(Deps(self.database, None, LIMITS, bytes(range(64)), clock, None, None, None, None))
        app.extensions[agent_ws.EXTENSION] = agent_ws.Accepting(self.database, self.tree, LIMITS, clock)
        app.extensions[agent_poll.LINKS] = self.links
        app.register_blueprint(agent_poll.blueprint)
        return app

    def _serve(self, connection: Any, address: Any) -> None:
        self.accepted += 1
        self._open.add(connection)
        try:
            self._handle(connection, address)
        finally:
            self._open.discard(connection)

    def cut(self) -> None:
        """No new connections, and the end of all others, whoever has them."""
        self._server.stop(0)
        for connection in list(self._open):
            _shut(connection)
        self.tree.pump.stop()

    def close(self) -> None:
        self.cut()


def _nothing(*_: object) -> None:
    """These hooks are the arbiter's and the actors'."""


class _Log:
    """gunicorn's, which is silent unless something is wrong."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _fail if name in ("error", "exception", "critical", "warning") else _nothing


def _fail(message: object, *args: object, **_: object) -> None:
    raise AssertionError(f"the server complains: {message!r} {args!r}")


def _shut(connection: Any) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


@pytest.fixture(scope="module")
def database() -> Iterator[pool.Database]:
    pool.green()
    made = pool.Database(os.environ["FILEFLUX_TEST_PAIR_DATABASE"], LIMITS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def token(database: pool.Database) -> str:
    with database.transaction() as tx:
        return tokens.create(tx, agents.create(tx, f"web-{os.getpid()}").id, "t", None)[1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    path = authority.issue()
    path.chmod(0o600)
    return path


class HttpPair:
    """A LinkPair. ``left`` is the agent's end unless ``hub_left``."""

    def __init__(self, server: Server, network: Network, *, hub_left: bool) -> None:
        self.server = server
        self.agent = PollingDialer(network, LIMITS, SystemClock(), runtime.spawn).dial()
        ((_, self.peer),) = server.links._open.values()
        self.hub = self.peer.link
        self.left: Link = self.hub if hub_left else self.agent
        self.right: Link = self.agent if hub_left else self.hub
        self._is_cut = False

    def until(self, holds: Callable[[], object]) -> None:
        with gevent.Timeout(20, AssertionError("it did not happen")):
            while not holds():
                gevent.sleep(0.002)
                if self._is_cut and self.agent.ended is not None:
                    # Its session does this, when it has heard nothing for long.
                    self.hub.lost("nothing was heard")

    def settle(self) -> None:
        gevent.sleep(0.05)

    def cut(self) -> None:
        self._is_cut = True
        self.server.cut()

    def close(self) -> None:
        for link in (self.agent, self.hub):
            link.lost("the test is over")
        self.settle()
        self.server.close()


@pytest.fixture(params=["http", "https"])
def way(
    request: pytest.FixtureRequest, database: pool.Database, token: str, authority: Authority, certificate: Path
) -> tuple[Server, Network]:
    secure = request.param == "https"
    server = Server(database, HubTls(lambda: (certificate, certificate), LIMITS, SystemClock()) if secure else None)
    values = {"hub": f"{request.param}://localhost:{server.port}", "token": token}
    if secure:
        values["ca_file"] = str(authority.file)
    return server, Network.from_config(config.check(config.load(values, {}, None), environment={}), SystemClock())


@pytest.mark.parametrize("hub_left", [False, True], ids=["agent-left", "hub-left"])
class TestPollingOverHttp(LinkSuite):
    @pytest.fixture
    def pair(self, way: tuple[Server, Network], hub_left: bool) -> Iterator[HttpPair]:
        pair = HttpPair(*way, hub_left=hub_left)
        yield pair
        pair.close()

    def test_a_link_that_was_closed_before_its_start_tells_so_at_once(self, pair: HttpPair) -> None:
        """The agent's end alone: the hub's is started by the route."""
        pair.left = pair.agent
        super().test_a_link_that_was_closed_before_its_start_tells_so_at_once(pair)

    def test_connections_are_used_again_also_after_a_poll_has_waited(
        self, pair: HttpPair, left: Recorder, right: Recorder
    ) -> None:
        for number in range(60):
            pair.left.send_text(str(number))
            pair.right.send_text(str(number))
            pair.until(lambda number=number: len(left.texts) == len(right.texts) == number + 1)
            # Every other one finds a poll that waits outside of the server, which takes a pause without an answer.
            if number % 20 == 0:
                pair.peer.moved_at = float("-inf")
        assert pair.server.accepted <= LIMITS.polls_max + LIMITS.slices_in_flight + 1
        assert left.texts == right.texts == [str(number) for number in range(60)]


@pytest.mark.parametrize("hold", [False, True], ids=["answered at once", "parked"])
@pytest.mark.parametrize("way", ["http"], indirect=True)
def test_a_request_behind_a_poll_is_answered_or_its_connection_ends(
    way: tuple[Server, Network], token: str, hold: bool
) -> None:
    """Never is it lost while its sender waits."""
    server, network = way
    pair = HttpPair(server, network, hub_left=True)
    ((link_id, _),) = server.links._open.items()
    head = f"Host: hub\r\nAuthorization: Bearer {token}\r\nX-FileFlux-Session: {link_id}\r\nX-FileFlux-Seq: 1\r\n"
    poll = f"GET /api/agent/poll?timeout={20 if hold else 0} HTTP/1.1\r\n{head}\r\n"
    if not hold:
        pair.hub.send_text("there already")
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall((poll + "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").encode())
        answers = b""
        while not (hold or b"\r\n\r\n{" in answers) and (data := connection.recv(4096)):
            answers += data
        if hold:
            assert connection.recv(4096) == b""
    assert answers.count(b"HTTP/1.1 200 ") == (0 if hold else 2)
    pair.close()
