"""Array literals are read back as what they were made of."""

from __future__ import annotations

import pytest

from fileflux.errors import FluxError
from fileflux.storage import arrays
from fileflux.storage.pool import Database


def test_what_goes_in_comes_out(database: Database) -> None:
    numbers = [0, -1, 2**63 - 1, None]
    binaries = [b"", b"\x00\xff\\\"'{}", None, b"NULL"]
    texts = ["", "NULL", 'a "quoted" one', "back\\slash", "{a,b}", "new\nline", "ü€😀", "'; --", None, " "]
    flags = [True, False]
    with database.transaction() as tx:
        row = tx.one(
            "SELECT %s::bigint[], %s::bytea[], %s::text[], %s::bool[], %s::int[]",
            (
                arrays.numbers(numbers),
                arrays.binaries(binaries),
                arrays.texts(texts),
                arrays.flags(flags),
                arrays.numbers([]),
            ),
        )
    assert row is not None
    assert row[0] == numbers
    assert [None if value is None else bytes(value) for value in row[1]] == binaries
    assert row[2] == texts
    assert row[3] == flags
    assert row[4] == []


@pytest.mark.parametrize("text", ["nul\0", "lone \ud800"])
def test_what_the_database_cannot_hold_is_refused(database: Database, text: str) -> None:
    with pytest.raises(FluxError) as caught, database.transaction() as tx:
        tx.one("SELECT %s::text[]", (arrays.texts([text]),))
    assert caught.value.code == "bad_value"
