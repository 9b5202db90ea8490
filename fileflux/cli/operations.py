"""``fileflux backup``, ``restore`` and ``doctor``: for whoever runs a hub, on the hub's machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fileflux.cli.hub import ConfigOption, DatabaseOption, DataDirOption
from fileflux.cli.options import Format, JsonOption, OutputOption

if TYPE_CHECKING:
    from fileflux.backup import Place
    from fileflux.backup_file import Manifest
    from fileflux.serve import ServeSettings


def backup(
    file: Annotated[Path, typer.Argument(help="The file to make; it must not exist.")],
    data_dir: DataDirOption = None,
    database_url: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Write all that makes the hub into one file, also while it runs.

    Whoever has the file can be this hub: keep it where nobody else can read it. A database's password belongs into
    FILEFLUX_DATABASE_URL or FILEFLUX_DATABASE_URL_FILE.
    """
    from fileflux.backup import back_up

    manifest = back_up(_place(data_dir, database_url, config), file, _version())
    print(f"{file}: {_described(manifest)}", file=sys.stderr)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `fileflux backup` made.")],
    data_dir: DataDirOption = None,
    database_url: DatabaseOption = None,
    config: ConfigOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Move aside what is in the data folder, replace what is in the database.")
    ] = False,
) -> None:
    """Make a hub from a backup, in an empty data folder or database. The hub must not run; start it afterwards.

    Runs that had not ended when the backup was made end as failed: run their jobs again.
    """
    from fileflux.backup import restore as run_restore

    manifest, ended = run_restore(_place(data_dir, database_url, config), file, force=force)
    live = "1 run that was" if ended == 1 else f"{ended} runs that were"
    runs = f"; {live} live ended as failed" if ended else ""
    print(f"restored {_described(manifest)}{runs}", file=sys.stderr)


def doctor(
    data_dir: DataDirOption = None,
    database_url: DatabaseOption = None,
    config: ConfigOption = None,
    output: OutputOption = Format.TABLE,
    json_only: JsonOption = False,
) -> None:
    """Say whether a hub works here, layer by layer, and what to do where it does not. Disturbs no running hub.

    Reads the same environment and file as `fileflux serve`. Ends with 0 when a hub works, 2 for what has to be changed, 5 for what may
    pass by itself.
    """
    from fileflux.cli.output import print_record
    from fileflux.hub_doctor import examine
    from fileflux.log import configure
    from flux_agent.doctor_report import as_json, as_text

    # What is wrong is in the report; what the parts of a hub log meanwhile would only say it twice.
    configure(level="critical")
    report = examine(lambda: _settings(data_dir, database_url, config))
    form = Format.JSON if json_only else output
    if form is Format.TABLE:
        print(as_text(report))
    else:
        print_record(json.loads(as_json(report)), form)
    raise typer.Exit(report.exit_code)


def _settings(data_dir: Path | None, database_url: str | None, config: Path | None) -> ServeSettings:
    from fileflux.cli.hub_settings import hub_settings

    flags = {"data_dir": None if data_dir is None else str(data_dir), "database_url": database_url}
    return hub_settings(flags, config)


def _place(data_dir: Path | None, database_url: str | None, config: Path | None) -> Place:
    from fileflux.backup import Place

    settings = _settings(data_dir, database_url, config)
    return Place(settings.data_dir, settings.database_url, settings.limits)


def _described(manifest: Manifest) -> str:
    size = sum(part.bytes for part in manifest.parts.values())
    return f"backup of {manifest.created_at}, fileflux {manifest.fileflux}, schema {manifest.schema}, {size / 2**20:.1f} MiB"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of("fileflux")
    except PackageNotFoundError:
        return "unknown"
