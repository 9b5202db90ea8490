"""DNS and TCP: which address wins, how long a dead one may cost, and what is said when none answers."""

from __future__ import annotations

import errno
import socket
import threading
import time

import pytest

from fileflux.actors.kernel.resolver import Resolver
from fileflux.clock import SystemClock
from flux_agent.transports import addresses
from flux_agent.transports.addresses import ADDRESSES_MAX, connect_first, find
from flux_agent.transports.deadline import Deadline
from flux_agent.transports.reach import ReachError

CLOCK = SystemClock()


def four(host, port=1):
    return (socket.AF_INET, (host, port))


def six(host, port=1):
    return (socket.AF_INET6, (host, port, 0, 0))


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def closed_port():
    made = socket.create_server(("127.0.0.1", 0))
    port = made.getsockname()[1]
    made.close()
    return port


@pytest.fixture
def deaf():
    """An address that answers nothing: its queue is full, and the kernel drops whoever knocks."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(0)
        fillers = []
        while True:
            filler = socket.socket()
            filler.settimeout(0.2)
            fillers.append(filler)
            try:
                filler.connect(made.getsockname())
            except TimeoutError:
                break
            assert len(fillers) < 50
        yield made.getsockname()[1]
        for filler in fillers:
            filler.close()


def connect(found, seconds=5.0):
    return connect_first(found, "the hub at http://h:1", Deadline(CLOCK, seconds), CLOCK)


def test_families_take_turns_beginning_with_the_systems_choice():
    a, b, c, d = six("a"), six("b"), six("c"), four("d")
    assert addresses._families_in_turn([a, b, c, d]) == [a, d, b, c]
    assert addresses._families_in_turn([d, a, b, c]) == [d, a, b, c]
    assert addresses._families_in_turn([a]) == [a]


def test_the_first_that_answers_wins(listener):
    port = listener.getsockname()[1]
    with connect([four("127.0.0.1", port), four("127.0.0.2", port)]) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)


def test_a_refused_address_costs_nothing(listener, closed_port):
    port = listener.getsockname()[1]
    begun = time.monotonic()
    with connect([six("::1", closed_port), four("127.0.0.1", closed_port), four("127.0.0.1", port)]) as connection:
        assert connection.getpeername()[1] == port
    assert time.monotonic() - begun < 0.25


def test_a_dead_address_costs_a_third_of_a_second(listener, deaf):
    port = listener.getsockname()[1]
    begun = time.monotonic()
    with connect([four("127.0.0.1", deaf), four("127.0.0.1", port)]) as connection:
        assert connection.getpeername()[1] == port
    assert 0.25 < time.monotonic() - begun < 2


def test_a_silent_address_is_not_given_up_because_the_next_one_fails(deaf, closed_port):
    """The first has no answer when the second is begun and fails; it is not given up."""
    begun = time.monotonic()
    with pytest.raises(ReachError) as caught:
        connect([four("127.0.0.1", deaf), four("127.0.0.1", closed_port)], 1.0)
    assert 0.9 < time.monotonic() - begun < 5
    assert "127.0.0.1: no answer within 1 s" in str(caught.value)
    assert "refused" in str(caught.value)


def test_ipv6(closed_port):
    try:
        made = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with made, connect([six("::1", made.getsockname()[1]), four("127.0.0.1", closed_port)]) as connection:
        assert connection.family == socket.AF_INET6


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ECONNREFUSED, "is the hub running there"), (errno.ENETUNREACH, "network"), (errno.ETIMEDOUT, "firewall")],
)
def test_what_is_said_when_nobody_answers(monkeypatch, number, words):
    class Refusing(socket.socket):
        def connect(self, address):
            raise OSError(number, "words of the system")

    monkeypatch.setattr(addresses.socket, "socket", Refusing)
    with pytest.raises(ReachError, match=words) as caught:
        connect([four("192.0.2.1"), four("192.0.2.2")])
    assert caught.value.layer == "tcp"
    assert "192.0.2.1: words of the system; 192.0.2.2" in str(caught.value)


def test_no_descriptor_is_left_open(deaf, closed_port, listener, recwarn):
    with pytest.raises(ReachError):
        connect([four("127.0.0.1", deaf), four("127.0.0.1", closed_port)], 0.4)
    connect([four("127.0.0.1", deaf), four("127.0.0.1", listener.getsockname()[1])]).close()
    import gc

    gc.collect()
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]


def look(look_up, seconds=5.0, host="hub.example"):
    return find(Resolver(look_up), host, 443, "the hub", Deadline(CLOCK, seconds))


def fails(error):
    def look_up(host, port):
        raise error

    return look_up


@pytest.mark.parametrize(
    ("look_up", "words"),
    [
        (fails(socket.gaierror(socket.EAI_NONAME, "Name or service not known")), "there is no host hub.example"),
        (fails(socket.gaierror(socket.EAI_AGAIN, "x")), "no name server answers for the hub hub.example"),
        (fails(UnicodeError("label too long")), "cannot look up the hub"),
        (lambda host, port: [], "no IPv4 or IPv6 address"),
    ],
)
def test_names_that_lead_nowhere(look_up, words):
    with pytest.raises(ReachError) as caught:
        look(look_up)
    assert caught.value.layer == "dns"
    assert words in str(caught.value)


def test_a_slow_name_server_costs_the_deadline():
    may_end = threading.Event()

    def slow(host, port):
        may_end.wait(30)
        return []

    begun = time.monotonic()
    with pytest.raises(ReachError, match=r"name servers do not answer .* within 0.3 s"):
        look(slow, 0.3)
    assert time.monotonic() - begun < 3
    may_end.set()


def test_a_name_with_a_thousand_addresses():
    assert len(look(lambda host, port: [four("192.0.2.1")] * 1000)) == ADDRESSES_MAX
