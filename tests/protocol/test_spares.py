from __future__ import annotations

import pytest

from fileflux.protocol.websocket_frames import Spares

pytestmark = pytest.mark.unit


def test_memory_is_used_again_once_nobody_has_it() -> None:
    spares = Spares()
    first = spares.take(100)
    address = id(first)
    first[:] = b"x" * 100
    second = spares.take(100)
    assert second is not first, "somebody has it"
    del first
    assert id(spares.take(100)) == address


def test_a_view_of_a_view_keeps_it() -> None:
    spares = Spares()
    view = memoryview(spares.take(100))[10:][:5]
    taken = spares.take(100)
    taken[:] = b"y" * 100
    assert bytes(view) == bytes(5)


def test_another_size_is_other_memory_and_not_everything_is_kept() -> None:
    spares = Spares()
    held = [spares.take(size) for size in range(1, 40)]
    assert [len(memory) for memory in held] == list(range(1, 40))
    assert len({id(memory) for memory in held}) == 39
    kept = {id(memory) for memory in held[-8:]}
    sizes = {size for size in range(1, 40) if size > 31}
    del held
    assert {id(spares.take(size)) for size in sizes} == kept
