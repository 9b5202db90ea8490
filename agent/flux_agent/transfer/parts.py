"""Which sink has a part open, which one waits for it to let go, and which parts are to be removed then."""

from __future__ import annotations

from fileflux.protocol import messages as m
from flux_agent.transfer.bundle_sink import BundleSink
from flux_agent.transfer.sink import SinkMachine

Sink = SinkMachine | BundleSink


class Parts:
    """A part has one holder at a time, and one that waits behind it: the hub gives up an older attempt before it begins another."""

    def __init__(self) -> None:
        self._holders: dict[str, Sink] = {}
        self._behind: dict[str, SinkMachine] = {}
        self._discards: dict[str, m.DiscardPartItem] = {}

    def take(self, sink: SinkMachine) -> list[Sink]:
        """Empty: it has its part. Otherwise it waits for these, which are to be cancelled."""
        (part,) = sink.parts
        holder = self._holders.get(part)
        if holder is None:
            self._holders[part] = sink
            return []
        waiting = self._behind.get(part)
        self._behind[part] = sink
        return [older for older in (waiting, holder) if older is not None]

    def take_all(self, bundle: BundleSink) -> bool:
        """Whether it has its parts now; not if one of them has a holder."""
        if any(part in self._holders for part in bundle.parts):
            return False
        self._holders.update(dict.fromkeys(bundle.parts, bundle))
        return True

    def discard(self, item: m.DiscardPartItem) -> Sink | None:
        """Who has the part open: ``let_go`` gives ``item`` back then. None when it may be removed now."""
        holder = self._holders.get(item.part)
        if holder is not None:
            self._discards[item.part] = item
        return holder

    def let_go(self, sink: Sink) -> tuple[list[SinkMachine], list[m.DiscardPartItem]]:
        """The sink is done: those that begin now, and the parts to be removed."""
        following: list[SinkMachine] = []
        discards: list[m.DiscardPartItem] = []
        for part in sink.parts:
            if self._holders.get(part) is not sink:
                if self._behind.get(part) is sink:
                    del self._behind[part]
                continue
            del self._holders[part]
            discard = self._discards.pop(part, None)
            behind = self._behind.pop(part, None)
            if behind is not None:
                self._holders[part] = behind
                following.append(behind)
            elif discard is not None:
                discards.append(discard)
        return following, discards
