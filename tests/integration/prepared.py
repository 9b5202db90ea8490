"""A hub's data folder with an empty database: one is made for each process of the tests and copied for each hub.

Making it takes half a second of a core, and sixty hubs are started; that it is made at a first start is what other tests are for.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from fileflux.protocol.limits import DEFAULT_LIMITS
from fileflux.storage.embedded import EmbeddedPostgres
from fileflux.storage.migrate import migrate
from fileflux.storage.pool import Database


def copy_to(data_dir: Path) -> None:
    """``data_dir`` must not exist. Owners and modes are kept: the database runs as another user when root starts it."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(_made()), str(data_dir)], check=True)


@functools.cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fileflux-prepared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    data_dir = folder / "hub"
    server = EmbeddedPostgres(data_dir)
    database = Database(server.start(), DEFAULT_LIMITS, size=1)
    try:
        migrate(database)
    finally:
        database.close()
        server.stop()
    return data_dir
