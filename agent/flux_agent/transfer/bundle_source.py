"""The sending end of a bundle: a source of one chunk that is made of many files (docs/protocol.md, Bundles)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fileflux.protocol import messages as m
from fileflux.protocol.limits import BUNDLE_BYTES, Limits
from fileflux.protocol.ranges import RangeSet
from flux_agent.transfer.effects import Effect, RunTask
from flux_agent.transfer.effort import Effort
from flux_agent.transfer.regions import Slot
from flux_agent.transfer.source import SourceMachine
from flux_agent.transfer.source_state import Event
from flux_agent.transfer.steps import out_of_place


class BundleSource(SourceMachine):
    """As ``SourceMachine``: nothing is opened beforehand, and the chunk is read by ``bundle_read``."""

    def __init__(self, request: m.BundleRequestItem, limits: Limits, effort: Effort) -> None:
        super().__init__(
            m.TransferRequestItem(
                request.transfer_id,
                "source",
                0,
                request.run_id,
                0,
                1,
                request.path,
                "",
                BUNDLE_BYTES,
                compression=request.compression,
            ),
            limits,
            effort,
        )
        self._bundle = request
        self.size = sum(request.sizes)
        self._alone: list[int] = []

    def begin(self) -> list[Effect]:
        self._steps.step(Event.OPENED)
        return []

    def have_page(self, first: int, hashes: memoryview, now: float) -> list[Effect]:
        del hashes, now
        raise out_of_place(self.wire_id, f"have page from {first}", "a bundle")

    def _read_chunk(self, index: int, slot: Slot) -> RunTask:
        bundle = self._bundle
        return self._run(
            "bundle_read",
            context=(index, self._pass),
            slot=slot,
            path=bundle.path,
            names=bundle.names,
            sizes=bundle.sizes,
            mtimes=bundle.mtimes,
            compression=bundle.compression,
            effort=int(self._effort.level),
        )

    def _handlers(self) -> dict[str, Callable[[RunTask, dict[str, Any], float], list[Effect]]]:
        return {"bundle_read": self._files_read}

    def _files_read(self, task: RunTask, value: dict[str, Any], now: float) -> list[Effect]:
        self._alone = value["alone"]
        return self._chunk_read(task, value, now)

    def _result(self) -> m.TransferCompleteItem:
        alone = RangeSet.from_ranges((index, index) for index in self._alone).to_tuple(len(self._alone))
        return replace(super()._result(), alone=alone or None)
