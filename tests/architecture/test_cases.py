"""The ledger of bad inputs and faults is complete, and what it names exists."""

from __future__ import annotations

import pytest

from scripts.cases import kind, load, missing_test

pytestmark = pytest.mark.unit

LETTERS = {"frames": "B", "wire": "W", "json": "J", "paths": "P", "rest": "R", "cli": "C"}
NUMBERS: dict[str, set[int]] = {
    "frames": {*range(1, 42)} - {16, 18, 32, 33},
    "wire": {1, 2, 4, 6, 7, *range(9, 18), 20, 21, 22},
    "json": {1, 2, 3, 4, 6, 7, *range(10, 18), 19, 20},
    "paths": {1, 2, 4, 5, 7, *range(10, 17), *range(18, 27), 29, 30, 33, 34},
    "rest": {1, 2, 4, 5, *range(7, 13), *range(14, 18), 20, *range(22, 26)},
    "cli": {2, 3, 4, 5, 7, 8, 11},
    "process-death": {*range(1, 15)},
    "network": {*range(15, 33)},
    "disk": {*range(33, 45)},
    "time": {*range(45, 56)},
    "load": {*range(56, 73)},
}
"""The ids of the lists, by section; numbers that are missing were never given out."""

CASES = [(section, number, value) for section, cases in load().items() for number, value in cases.items()]


def test_every_id_is_in_the_ledger_once_and_nothing_else_is() -> None:
    expected = {
        section: {f"{LETTERS.get(section, 'F')}{number}" for number in numbers} for section, numbers in NUMBERS.items()
    }
    assert {section: set(cases) for section, cases in load().items()} == expected


@pytest.mark.parametrize(("section", "number", "value"), CASES, ids=[case[1] for case in CASES])
def test_each_value_is_a_test_that_exists_or_says_why_not(section: str, number: str, value: str) -> None:
    if kind(value) == "test":
        assert [why for name in value.split() if (why := missing_test(name))] == []
    elif kind(value) == "later":
        assert value.removeprefix("later: ")[0].isdigit(), "which piece of work will show it"


@pytest.mark.parametrize("section", ["frames", "json", "paths"])
def test_what_is_due_is_tested(section: str) -> None:
    later = {number: value for number, value in load()[section].items() if kind(value) != "test"}
    assert later.keys() <= {"P14", "P15"}, later


@pytest.mark.parametrize(
    "value", ["", "TODO", "later:", "later: ", "not here: ", "a test", "tests/x.py::test_x and more"]
)
def test_other_values_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is no test"):
        kind(value)


def test_names_of_nothing_are_found() -> None:
    assert missing_test("tests/no/such.py::test_x") == "tests/no/such.py does not exist"
    assert missing_test("tests/architecture/test_cases.py::test_no_such")
    assert missing_test("tests/architecture/test_cases.py::test_names_of_nothing_are_found") is None
