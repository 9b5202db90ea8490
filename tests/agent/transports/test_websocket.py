"""A WebSocket over every way there is, and what else may answer."""

from __future__ import annotations

import queue

import gevent
import pytest

from fileflux.actors.kernel.pump import Pump
from fileflux.clock import SystemClock
from fileflux.errors import AuthError, UnavailableError
from fileflux.protocol.upgrade import UpgradeRefusedError
from fileflux.protocol.websocket import server_accept
from flux_agent.transports.reach import ReachError
from flux_agent.transports.websocket import WebSocketDialer
from tests.agent.transports.stand_ins import LIMITS, Server, Tunnel, network, page, pin_of, reply
from tests.protocol.wire import environ_of, frame


@pytest.fixture
def pump():
    made = Pump()
    made.start()
    yield made
    made.stop()


class Heard:
    """A link's handler."""

    def __init__(self):
        self.said = queue.SimpleQueue()

    def on_text(self, text):
        self.said.put(text)

    def on_binary(self, data):
        self.said.put(bytes(data))

    def on_life(self):
        pass

    def on_closed(self, code, reason):
        self.said.put((code, reason))

    def next(self):
        with gevent.Timeout(10):
            while self.said.empty():
                gevent.sleep(0.005)
        return self.said.get()


class Hub(Server):
    """Upgrades, says two things at once with the answer, and gives back what it gets."""

    def __init__(self, context=None, answer=None):
        super().__init__(answer or self.upgrade, context)
        self.got = queue.SimpleQueue()

    def upgrade(self, path, headers):
        names = {"upgrade": "Upgrade", "connection": "Connection", "host": "Host"}
        lines = [f"GET {path} HTTP/1.1", *(f"{names.get(k, k.title())}: {v}" for k, v in headers.items())]
        head = "\r\n".join(lines).replace("Sec-Websocket", "Sec-WebSocket") + "\r\n\r\n"
        answer, accepted = server_accept(environ_of(head.encode()))
        assert accepted, answer
        return answer + frame(1, b"welcome", mask=False) + frame(2, b"data", mask=False)


def dialer(hub, pump, **flags):
    return WebSocketDialer(network(hub.url, **flags), pump, LIMITS, SystemClock())


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("secure", [False, True])
def test_every_way(pump, authority, tls, secure, proxied):
    with Hub(tls if secure else None) as hub, Tunnel() as proxy:
        way = {"proxy": proxy.url} if proxied else {}
        link = dialer(hub, pump, ca_file=str(authority.file), **way).dial()
        heard = Heard()
        link.start(heard)
        # What came with the answer, in one TLS record even, is not lost.
        assert heard.next() == "welcome"
        assert heard.next() == b"data"
        link.send_text("x")
        path, headers = hub.requests[0]
        assert (path, headers["authorization"]) == ("/ws/agent", "Bearer ffx_secret")
        assert link.peer.startswith(hub.authority)
        assert len(proxy.targets) == proxied
        link.close(1000, "")
        pump.stop()


def test_the_token_is_sent_without_its_pin(pump, authority, tls):
    with Hub(tls) as hub:
        upgrade = hub.answer
        hub.answer = lambda path, headers: (
            reply(200, {}, authority.made.certificate_pem()) if path == "/ca.pem" else upgrade(path, headers)
        )
        link = dialer(hub, pump, token=f"ffx_secret.{pin_of(authority)}").dial()
        assert hub.requests[-1][1]["authorization"] == "Bearer ffx_secret"
        link.close(1000, "")


@pytest.mark.parametrize(
    ("answer", "status", "words", "retry_after"),
    [
        (page, 200, "captive portal", 0),
        (lambda *_: reply(301, {"Location": "https://other/"}), 301, "redirects to https://other/, which is not", 0),
        (lambda *_: reply(403), 403, "403", 0),
        (lambda *_: reply(426), 426, "426", 0),
        (lambda *_: reply(429, {"Retry-After": "7"}), 429, "come back in 7 s", 7),
        (lambda *_: reply(503, {"Retry-After": "999999"}), 503, "come back in 3600 s", 3600),
        (lambda *_: reply(503), 503, "503", 0),
        (lambda *_: b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, "not HTTP", 0),
    ],
)
def test_other_answers(pump, answer, status, words, retry_after):
    with Hub(answer=answer) as hub, pytest.raises(UpgradeRefusedError) as caught:
        dialer(hub, pump).dial()
    assert (caught.value.status, caught.value.retry_after) == (status, retry_after)
    assert words in str(caught.value)


def test_a_token_that_is_not_known(pump):
    with Hub(answer=lambda *_: reply(401)) as hub, pytest.raises(AuthError, match="by the hub's clock"):
        dialer(hub, pump).dial()


def test_a_hub_that_is_not_there(pump):
    with Hub() as hub:
        gone = dialer(hub, pump)
    with pytest.raises(ReachError):
        gone.dial()


def test_a_hub_that_hangs_up(pump, authority, tls):
    for context in (None, tls):
        with Hub(context, answer=lambda *_: b"HTTP/1.1 101 Swi") as hub:
            hub.answer = lambda path, headers: (_ for _ in ()).throw(OSError("hangs up"))
            with pytest.raises(UnavailableError, match="handshake"):
                dialer(hub, pump, ca_file=str(authority.file)).dial()
