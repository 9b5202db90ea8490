"""The kernel is tested on a real gevent loop in this very process: it uses gevent's own primitives and needs no patched standard library.

Nothing here patches it, so no other test package notices. What does need patching runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Run the loop until a condition holds; fails after ten seconds."""

    def wait(condition: Callable[[], object]) -> None:
        with gevent.Timeout(10, AssertionError("it did not happen")):
            while not condition():
                gevent.sleep(0.001)

    return wait


@pytest.fixture(autouse=True)
def loop_is_quiet() -> Iterator[None]:
    """An error that reaches the loop's own handler is a failure of the test."""
    hub = gevent.get_hub()
    errors: list[object] = []

    def handle(context: object, kind: object, value: object, trace: object) -> None:
        errors.append((context, value))

    hub.handle_error, before = handle, hub.handle_error
    try:
        yield
    finally:
        hub.handle_error = before
    assert errors == []
