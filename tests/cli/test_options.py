from __future__ import annotations

import pytest

from fileflux import errors as e
from fileflux.cli.options import ExitCode, WaitedTooLongError, exit_code

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (e.FluxError("x"), 1),
        (e.ConflictError("x"), 1),
        (e.ConfigError("x"), 2),
        (e.NotFoundError("x"), 3),
        (e.AuthError("x"), 4),
        (e.ForbiddenError("x"), 4),
        (e.UnavailableError("x"), 5),
        (e.OverloadedError("x"), 5),
        (WaitedTooLongError("x"), 10),
    ],
)
def test_exit_codes_are_those_of_the_reference(error: e.FluxError, code: int) -> None:
    assert exit_code(error) == ExitCode(code)
