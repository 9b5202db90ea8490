"""What the routes ask of the notifier (``deps.py``), answered by its actor."""

from __future__ import annotations

from typing import Final

from fileflux.actors.notifier_messages import Look, SendTest
from fileflux.actors.tree import Tree
from fileflux.storage.deliveries import LogRow

TEST_WAIT: Final = 50.0
"""More than the notifier gives any batch."""


class HubNotifications:
    """Notifications."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def test(self, target_id: int, asked_by: str) -> LogRow:
        row: LogRow = self._tree.notifier.ask(lambda reply: SendTest(target_id, asked_by, reply), TEST_WAIT)
        return row

    def wake(self) -> None:
        self._tree.notifier.tell(Look())
