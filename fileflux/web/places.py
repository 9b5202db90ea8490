"""Places for what may be done only so often at once in one hub."""

from __future__ import annotations

from collections.abc import Callable

from fileflux.errors import OverloadedError


class Places:
    """At most ``most`` at once; ``what`` they are stands in the refusal."""

    def __init__(self, most: int, what: str) -> None:
        self._free = most
        self._what = what

    def take(self) -> Callable[[], None]:
        """A place. Call what is returned to give it back, any number of times. Raises OverloadedError when all are taken."""
        if self._free <= 0:
            raise OverloadedError(f"too many {self._what} at once; try again when one of them is done")
        self._free -= 1
        held = [True]

        def leave() -> None:
            if held:
                held.clear()
                self._free += 1

        return leave
