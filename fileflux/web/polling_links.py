"""The hub's open long-polling links by their id, and how the last ones ended."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from fileflux.actors.kernel import runtime
from fileflux.actors.kernel.pump import Pump
from fileflux.clock import Clock
from fileflux.errors import NotFoundError
from fileflux.protocol.limits import Limits
from fileflux.protocol.poll_peer import PollPeer, Shared

LINKS_EACH: Final = 32
"""Open links of one token; an agent that comes back again and again leaves some behind that have not ended yet, and the oldest makes room."""
ENDED_MAX: Final = 2000
"""Links whose end is remembered, so that an agent that asks once more hears why."""
CLOSE_UNKNOWN: Final = 1006


class LinkEndedError(NotFoundError):
    """There is no such link any more. ``close_code`` and the message are what a WebSocket's close frame would say."""

    code = "link_ended"

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code


class UnknownLinkError(LinkEndedError):
    """There never was such a link, or it is of another token, or it ended long ago."""

    def __init__(self) -> None:
        super().__init__(CLOSE_UNKNOWN, "the hub does not know this link: open a new one")


class TokenHash:
    """A token that can be recognised and not read."""

    __slots__ = ("digest",)

    def __init__(self, token: str) -> None:
        self.digest = hashlib.sha256(token.encode()).digest()

    def matches(self, token: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self.digest)


@dataclass(frozen=True, slots=True)
class _Ended:
    owner: TokenHash
    code: int
    reason: str


class PollingLinks:
    """One per hub."""

    def __init__(self, pump: Pump, limits: Limits, clock: Clock) -> None:
        self.pump = pump
        self._limits = limits
        self._clock = clock
        self._shared = Shared(limits)
        self._open: dict[str, tuple[TokenHash, PollPeer]] = {}
        self._of: dict[bytes, deque[str]] = {}
        """Digest of a token → its open links, the oldest first."""
        self._ended: OrderedDict[str, _Ended] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, token: str, peer: str) -> tuple[str, PollPeer]:
        """A new link and its id, which is as secret as the token is."""
        link_id, owner = secrets.token_hex(16), TokenHash(token)
        made = PollPeer(
            peer,
            self._shared,
            self._limits,
            self._clock,
            self.pump.call_soon,
            runtime.call_later,
            lambda code, reason: self._end(link_id, _Ended(owner, code, reason)),
        )
        self._open[link_id] = (owner, made)
        mine = self._of.setdefault(owner.digest, deque())
        mine.append(link_id)
        if len(mine) > LINKS_EACH:
            self._open[mine.popleft()][1].link.lost("too many links of one agent")
        return link_id, made

    def find(self, link_id: str, token: str) -> PollPeer:
        """The open link with this id that was opened with this token.

        Raises LinkEndedError for one that ended, UnknownLinkError for an id that is not known, or is another token's.
        """
        owner, found = self._open.get(link_id, (None, None))
        if owner is not None and found is not None and owner.matches(token):
            return found
        ended = self._ended.get(link_id)
        if ended is not None and ended.owner.matches(token):
            raise LinkEndedError(ended.code, ended.reason)
        raise UnknownLinkError

    def _end(self, link_id: str, ended: _Ended) -> None:
        if self._open.pop(link_id, None) is not None:
            self._forget(link_id, ended.owner)
            self._ended[link_id] = ended
            while len(self._ended) > ENDED_MAX:
                self._ended.popitem(last=False)

    def _forget(self, link_id: str, owner: TokenHash) -> None:
        mine = self._of.get(owner.digest, deque())
        if link_id in mine:
            mine.remove(link_id)
        if not mine:
            self._of.pop(owner.digest, None)
