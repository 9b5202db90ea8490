from __future__ import annotations

import pytest

from fileflux.errors import LocalProtocolError, RemoteProtocolError
from fileflux.protocol.window import SendWindow

pytestmark = pytest.mark.unit


def test_room_follows_grants_and_sends() -> None:
    window = SendWindow()
    assert window.room == 0
    window.grant(100)
    window.add(60)
    assert (window.room, window.sent, window.up_to) == (40, 60, 100)
    window.grant(80)
    assert window.room == 40
    window.add(40)
    assert window.room == 0


@pytest.mark.parametrize("length", [11, -1])
def test_nothing_is_sent_beyond_it(length: int) -> None:
    window = SendWindow()
    window.grant(10)
    with pytest.raises(LocalProtocolError):
        window.add(length)
    assert window.room == 10


def test_a_link_change_sets_both_counts() -> None:
    window = SendWindow()
    window.grant(100)
    window.add(90)
    window.reset(50, 120)
    assert (window.sent, window.room) == (50, 70)
    with pytest.raises(RemoteProtocolError):
        window.reset(121, 120)
