"""``fileflux jobs watch``: how the watch of a job does."""

from __future__ import annotations

from typing import Annotated

import typer

from fileflux.cli.command import Call, verb
from fileflux.cli.completion import complete_job


def add_to(app: typer.Typer) -> None:
    """Add the verb to ``fileflux jobs``."""

    @verb(app, "watch", "fileflux jobs watch nightly", "fileflux jobs watch nightly --json")
    def watch(
        call: Call, job: Annotated[str, typer.Argument(help="Name or #id.", autocompletion=complete_job)]
    ) -> None:
        """Show whether a job hears of files that arrive, and what it has seen."""
        from fileflux.cli.connect import find

        with call.connect() as client:
            call.record(client.get(f"/api/jobs/{find(client, 'job', job)['id']}/watch"))
