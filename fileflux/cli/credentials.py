"""Where a login is kept: one file that only its owner can read, in the platform's folder for configuration."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fileflux import file_lock
from fileflux.errors import ConfigError

_FILE: Final = "credentials.json"
_PATIENCE_S: Final = 40.0
"""Another command holds the file for one request, which takes 35 s at most."""


@dataclass(frozen=True, slots=True)
class Login:
    """``token`` is sent to ``url`` only, never to another hub."""

    url: str
    email: str
    token: str
    refresh_token: str
    insecure: bool = False
    ca_file: str | None = None
    """The only CAs that are trusted for ``url``."""


def default_path() -> Path:
    from platformdirs import user_config_path

    return user_config_path("fileflux") / _FILE


def load(path: Path | None = None) -> Login | None:
    """None when nobody is logged in. Raises ConfigError for a file that is damaged or that others can read."""
    path = path or default_path()
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"others can read {path}; run `chmod 600` on it, or log in again")
            data = json.load(file)
        return Login(**data)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise ConfigError(f"{path} is damaged; log in again with `fileflux login URL`") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


@contextmanager
def locked(path: Path | None = None) -> Iterator[None]:
    """Hold the file for a change that begins with reading it: a refresh token is good once, and several commands may run at a time.

    Raises ConfigError when its folder cannot be written to, UnavailableError when another command does not let go of it.
    """
    path = path or default_path()
    with ExitStack() as stack:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(file_lock.held(path.with_name(f"{path.name}.lock"), _PATIENCE_S))
        except OSError as error:
            raise _cannot_write(path, error) from None
        yield


def save(login: Login, path: Path | None = None) -> Path:
    """Write it whole or not at all, readable to its owner only. Raises ConfigError."""
    path = path or default_path()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(login), file)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from None
    return path


def forget(path: Path | None = None) -> None:
    (path or default_path()).unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {path}: {error.strerror}; set FILEFLUX_TOKEN instead")
