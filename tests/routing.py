"""Apps by the hundred: what werkzeug compiles for each route, to build URLs of it, is compiled once for all of them.

It is half of what making an app costs, the app of every test has the same routes, and the compiled function looks everything else up in the
rule that it is called with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

_compiled: dict[tuple[Any, ...], Callable[..., tuple[str, str]]] = {}
_compile = Rule._compile_builder


def _remembered(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: FBT001, FBT002  # as in the method replaced
    key = (tuple(self._trace), repr(self.defaults), append_unknown)
    if key not in _compiled:
        _compiled[key] = _compile(self, append_unknown)
    return _compiled[key]


def remember_builders() -> None:
    """From now on; calling it again changes nothing."""
    Rule._compile_builder = _remembered  # type: ignore[method-assign]  # for tests only
