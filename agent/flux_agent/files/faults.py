"""What went wrong with a file, as an error of a transfer."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fileflux.errors import TransferError
from fileflux.workers.tasks import describe_os_error

_CODES: Final = {
    errno.ELOOP: "refused_path",
    errno.ENAMETOOLONG: "refused_path",
    errno.EILSEQ: "refused_path",
    errno.ENOTDIR: "not_regular",
    errno.EISDIR: "not_regular",
    errno.EEXIST: "exists",
    errno.ENOTEMPTY: "exists",
    errno.EBUSY: "busy",
    errno.ETXTBSY: "busy",
    errno.EMFILE: "overloaded",
    errno.ENFILE: "overloaded",
    errno.ENOMEM: "overloaded",
    errno.EFBIG: "too_large",
}


def shown(path: str) -> str:
    """A path for a message: on one line, whatever its name holds."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in path[:1000])


def transfer_error(error: OSError, path: str) -> TransferError:
    """``error``, which befell ``path``, with the code that it has in a transfer."""
    code = _CODES.get(error.errno or 0) or describe_os_error(error).code
    return TransferError(f"{shown(path)}: {error.strerror or type(error).__name__}", code=code)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """What the system refuses inside is a TransferError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise transfer_error(error, path) from None
