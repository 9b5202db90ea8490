"""The few things of gevent that others need, behind plain names.

The rest of the project is written in blocking style and becomes cooperative through ``patch``. What is here works with and without
patching, but belongs to the thread that runs the loop: from any other thread only ``Event.set`` and ``Result.set`` may be called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, Generic, Protocol, TypeVar

import gevent
from gevent import event as gevent_event
from gevent import lock as gevent_lock
from gevent import monkey

from fileflux.errors import UnavailableError

T = TypeVar("T")

YIELD_S = 1e-6
"""A timer, however short, makes the loop look at its clock and its sockets; ``sleep(0)`` only goes behind the other ready callbacks."""


class Task(Protocol):
    """A running greenlet."""

    @property
    def dead(self) -> bool:
        """It has ended, or will never begin."""
        ...

    def join(self, timeout: float | None = None) -> object:
        """Wait for its end; look at ``dead`` afterwards."""
        ...

    def kill(self, exception: type[BaseException] = ..., block: bool = ..., timeout: float | None = ...) -> object:
        """Raise ``exception`` inside it. Waits for its end unless ``block`` is False."""
        ...


def patch() -> None:
    """Make the standard library cooperative. The first line of an entry point, before any other import; repeating it does nothing."""
    if not monkey.is_module_patched("socket"):
        with _one_look_for_plugins():
            monkey.patch_all()


@contextmanager
def _one_look_for_plugins() -> Iterator[None]:
    """Gevent looks through all that is installed once for each module that it patches: half a second of every start."""
    look = metadata.entry_points
    # No types: it has one signature for each Python, and gevent is the only one who calls it here.
    remember: Any = functools.cache(look)
    metadata.entry_points = remember
    try:
        yield
    finally:
        metadata.entry_points = look


def spawn(fn: Callable[..., object], *args: object, name: str = "") -> Task:
    """Run ``fn`` in a new greenlet, soon. An exception in it is printed by the loop and ends only that greenlet."""
    greenlet = gevent.Greenlet(fn, *args)
    if name:
        greenlet.name = name
    greenlet.start()
    return greenlet


def sleep(seconds: float) -> None:
    """Let others run for at least so long."""
    gevent.sleep(seconds)


def yield_loop() -> None:
    """Give way once to everything that is ready: callbacks, timers and sockets."""
    gevent.sleep(YIELD_S)


def current() -> object:
    """The running greenlet, to compare with a Task by identity."""
    return gevent.getcurrent()


def in_thread(fn: Callable[..., T], *args: object) -> T:
    """Run a blocking call in the loop's thread pool; returns its value or raises its error. The loop goes on meanwhile."""
    return begin_in_thread(fn, *args).get()


def begin_in_thread(fn: Callable[..., T], *args: object) -> Result[T]:
    """As ``in_thread``, for those who do not wait to the end. The call cannot be stopped: it holds one of the pool's ten threads."""
    result: Result[T] = Result()

    def call() -> None:
        # The pool prints errors that leave a call, also those somebody waits for: so none leaves it.
        try:
            result.set(fn(*args))
        except Exception as error:  # noqa: BLE001  # handed over whole to the caller, who is in another thread
            result.set_error(error)

    gevent.get_hub().threadpool.spawn(call)
    return result


class Event:
    """A flag to wait for."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = gevent_event.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    def is_set(self) -> bool:
        return bool(self._event.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until set; False when the time ran out first."""
        return bool(self._event.wait(timeout))


class Lock:
    """Mutual exclusion between greenlets; not re-entrant."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = gevent_lock.Semaphore(1)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Result(Generic[T]):
    """A value or an error that comes later. The first one given counts, later ones are ignored."""

    __slots__ = ("_answer", "_error", "_event")

    def __init__(self) -> None:
        self._event = gevent_event.Event()
        self._answer: tuple[T] | None = None
        self._error: Exception | None = None

    @property
    def ready(self) -> bool:
        return self._answer is not None or self._error is not None

    def set(self, value: T) -> None:
        if not self.ready:
            self._answer = (value,)
            self._event.set()

    def set_error(self, error: Exception) -> None:
        if not self.ready:
            self._error = error
            self._event.set()

    def get(self, timeout: float | None = None) -> T:
        """Wait for the value. Raises the error that was set, or UnavailableError when the time runs out."""
        self._event.wait(timeout)
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise UnavailableError(f"no answer within {timeout or 0:g} s; try again")
        return self._answer[0]


class Timer:
    """A call that is due later; ``cancel`` is harmless at any time."""

    __slots__ = ("_fn", "_watcher")

    def __init__(self, seconds: float, fn: Callable[[], object]) -> None:
        self._fn: Callable[[], object] | None = fn
        self._watcher = gevent.get_hub().loop.timer(max(seconds, 0.0))
        # From now, not from when the loop last looked at its clock: after a long computation that would be too early.
        self._watcher.start(self._fire, update=True)

    def _fire(self) -> None:
        fn = self._fn
        self.cancel()
        if fn is not None:
            fn()

    def cancel(self) -> None:
        if self._fn is not None:
            # What the call refers to must not live as long as whoever keeps this object.
            self._fn = None
            self._watcher.stop()
            self._watcher.close()


def call_later(seconds: float, fn: Callable[[], object]) -> Timer:
    """Call ``fn`` from the loop itself: it must neither block nor raise. Cheaper than ``spawn_later``."""
    return Timer(seconds, fn)


def spawn_later(seconds: float, fn: Callable[[], object]) -> Timer:
    """Run ``fn`` in a greenlet of its own after ``seconds``. ``cancel`` prevents the start; it does not end what has begun."""
    return Timer(seconds, lambda: spawn(fn))
