"""A TCP proxy of bad character between a client and a server, for tests: what it does is said by rules and can change at any time.

    with FaultProxy(hub.port) as proxy:
        agent.start(url=proxy.url())
        proxy.set(Rule.link(rtt=0.1, bandwidth=100e6))              # all connections, those that are open too
        proxy.set(Rule(down=Way(end_after=57, end=End.RESET)), nth=2)  # the second one alone
        proxy.wait_for("two connections", lambda: len(proxy.connections) == 2)

It has a thread of its own. Whatever is random comes from ``seed``.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

from tests.faults.connection import DEFAULT_ADDRESS, Buckets, Connection, Target, new_socket
from tests.faults.loop import READ, Loop
from tests.faults.rules import End, Rule

RECORDS = 10_000


class FaultProxy:
    """Listens on a free port of ``listen`` and forwards to ``host``:``port``. Use as a context manager.

    The kernel remembers of each address what its connections were like, and gives those to come larger send buffers: where a slow link's
    queue matters, ``listen`` is an address of its own (127.0.0.77, say), from which the server is then spoken to as well.
    """

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        *,
        rule: Rule | None = None,
        seed: int = 0,
        listen: str = DEFAULT_ADDRESS,
    ) -> None:
        self.accepted = 0
        self.port = 0
        self._seed = seed
        self._target: Target = (socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))
        self._listen_family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        self.address = listen
        self._loop = Loop()
        self._rule = rule or Rule()
        self._buckets = Buckets.of(self._loop, self._rule)
        self._rules: dict[int, tuple[Rule, Buckets]] = {}
        self._records: deque[Connection] = deque(maxlen=RECORDS)
        self._listener: socket.socket | None = None
        self._accepting = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        self._bind()
        self._loop.start()
        self.open_port()
        return self

    def stop(self) -> None:
        """Close everything. Raises what went wrong inside the proxy."""

        def end() -> None:
            self._set_accepting(False)
            for connection in self.connections:
                connection.destroy()

        self._loop.call(end)
        self._loop.stop()
        if self._listener is not None:
            self._listener.close()
        if self._loop.errors:
            raise self._loop.errors[0]

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The last ten thousand, in order, open or ended."""
        return tuple(self._records)

    @property
    def open(self) -> tuple[Connection, ...]:
        return tuple(connection for connection in self.connections if connection.open)

    @property
    def bytes_up(self) -> int:
        """Bytes that reached the server."""
        return sum(connection.up.delivered for connection in self.connections)

    @property
    def bytes_down(self) -> int:
        """Bytes that reached the client."""
        return sum(connection.down.delivered for connection in self.connections)

    def url(self, scheme: str = "http") -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{scheme}://{host}:{self.port}"

    def set(self, rule: Rule, nth: int | Iterable[int] | None = None) -> None:
        """From now on, for all connections without a rule of their own, or for those numbered ``nth`` (1 is the first). In force on return."""

        def apply() -> None:
            if nth is None:
                self._rule, self._buckets = rule, Buckets.of(self._loop, rule)
                if self._listener is not None:
                    self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rule.up.queue)
            else:
                buckets = Buckets.of(self._loop, rule)
                self._rules.update(dict.fromkeys([nth] if isinstance(nth, int) else nth, (rule, buckets)))
            for connection in self.open:
                connection.set_rule(*self._rule_of(connection.index))

        self._loop.call(apply)

    def lead_to(self, port: int) -> None:
        """Connections from now on go to this port of the same host."""
        self._target = (self._target[0], (self._target[1][0], port))

    def cut_all(self, how: End = End.RESET, *, upgraded: bool | None = None) -> int:
        """End every open connection, or those that are (not) upgraded; how many those were."""

        def cut() -> int:
            chosen = [each for each in self.open if upgraded is None or each.upgraded is upgraded]
            for connection in chosen:
                connection.end(how, "cut")
            return len(chosen)

        return self._loop.call(cut)

    def pause_accepting(self) -> None:
        """New connections are made by the kernel, and nobody speaks to them."""
        self._loop.call(lambda: self._set_accepting(False))

    def resume_accepting(self) -> None:
        self._loop.call(lambda: self._set_accepting(True))

    def close_port(self) -> None:
        """New connections are refused; the port stays ours. Open ones stay."""

        def close() -> None:
            self._set_accepting(False)
            if self._listener is not None:
                self._listener.close()
            self._bind()

        self._loop.call(close)

    def open_port(self) -> None:
        def listen() -> None:
            if not self._accepting and self._listener is not None:
                self._listener.listen(1024)
                self._set_accepting(True)

        self._loop.call(listen)

    def wait_for(self, what: str, check: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Poll until ``check`` gives something true, and return that. Fails with ``what``."""
        deadline = time.monotonic() + timeout
        while not (value := check()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout:.0f} s for {what}; connections: {self.connections[-10:]}")
            time.sleep(0.005)
        return value

    def _rule_of(self, index: int) -> tuple[Rule, Buckets]:
        return self._rules.get(index, (self._rule, self._buckets))

    def _bind(self) -> None:
        sock = new_socket(self._listen_family, self._rule.up.queue)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, self.port))
        self.port = sock.getsockname()[1]
        self._listener = sock

    def _set_accepting(self, wanted: bool) -> None:
        if self._listener is not None and wanted is not self._accepting:
            self._loop.watch(self._listener, READ if wanted else 0, 0 if wanted else READ, self._accept)
            self._accepting = wanted

    def _accept(self, _: int) -> None:
        assert self._listener is not None
        try:
            sock, _address = self._listener.accept()
        except OSError:
            return
        self.accepted += 1
        rule, buckets = self._rule_of(self.accepted)
        try:
            connection = Connection(
                self._loop,
                sock,
                self._target,
                index=self.accepted,
                rule=rule,
                buckets=buckets,
                seed=self._seed,
                address=self.address,
            )
        except OSError:
            # The client reset it before it was accepted.
            sock.close()
            return
        self._records.append(connection)
        connection.start()
