"""Secrets that the hub shows once: alone on stdout, so that ``> file`` keeps them."""

from __future__ import annotations

from typing import Any

from fileflux.cli.command import Call
from fileflux.cli.options import Format
from fileflux.errors import FluxError


def print_secret(call: Call, made: dict[str, Any], what: str, revoke: str) -> None:
    """``what`` names the thing, as in "token 7"; ``revoke`` is the command that takes it back."""
    if made["value"] is None:
        # The connection broke, and the answer to the second try does not hold the secret.
        raise FluxError(
            f"{what} was made, but its value was lost on the way; take it back with `{revoke}` and try again"
        )
    if call.form is not Format.TABLE or call.fields:
        call.record(made)
        return
    print(made["value"])
    call.say(f"{what}: this value is not shown again")
