"""Files that are more than their bytes, or seem to be: holes, sizes beyond 32 bits, owners, access lists, attributes, capabilities."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import Site

GIB = 2**30
NOBODY = 65534


@contextmanager
def sparse(path: Path, size: int, *islands: int) -> Iterator[Path]:
    """A file of holes with 4 KiB of noise at each of ``islands``."""
    with path.open("wb") as file:
        try:
            file.truncate(size)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            pytest.skip("this file system has no files of that size")
        for offset in islands:
            file.seek(offset)
            file.write(os.urandom(4096))
    try:
        yield path
    finally:
        path.unlink()


def test_holes_arrive_as_zeros(site: Site) -> None:
    target = site.destination.write / "holes"
    size = 96 * 2**20 + 5
    with sparse(site.source.read / "holes.bin", size, 0, 40 * 2**20) as source:
        run = site.hub.wait_ended(site.hub.run(site.hub.job(site.source.id, source, site.destination.id, f"{target}/")))
        assert run["status"] == "succeeded", str(site.hub.transfers(run["id"]))
        assert run["bytes_transferred"] < 2**20, "zeros cost next to nothing on the way"
        assert filecmp.cmp(source, target / "holes.bin", shallow=False)
    assert (target / "holes.bin").stat().st_blocks * 512 < size // 2, "what docs/reference.md says of holes"
    shutil.rmtree(target)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_five_gibibytes(site: Site) -> None:
    target = site.destination.write / "five"
    target.mkdir()
    size = 5 * GIB
    if shutil.disk_usage(target).free < size + GIB:
        pytest.skip("the disk has no room for 5 GiB")
    with sparse(site.source.read / "five.bin", size, 0, 2 * GIB - 4096, 2 * GIB, 4 * GIB - 2048, size - 4096) as source:
        job = site.hub.job(site.source.id, source, site.destination.id, f"{target}/", verify="full")
        run = site.hub.wait_ended(site.hub.run(job), 500)
        assert run["status"] == "succeeded", run
        (transfer,) = site.hub.transfers(run["id"])
        assert (transfer["size"], transfer["total_chunks"]) == (size, 640)
        assert filecmp.cmp(source, target / "five.bin", shallow=False)
    shutil.rmtree(target)


def access_list() -> bytes:
    """``user::rw- user:nobody:rwx group::--- mask::rwx other::---`` as the kernel keeps it."""
    anybody = 0xFFFFFFFF
    entries = ((0x01, 6, anybody), (0x02, 7, NOBODY), (0x04, 0, anybody), (0x10, 7, anybody), (0x20, 0, anybody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service, effective and permitted."""
ATTRIBUTES = {
    "user.note": b"private",
    "system.posix_acl_access": access_list(),
    "security.capability": CAPABILITY,
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away and set capabilities")
@pytest.mark.parametrize("attribute", [None, *ATTRIBUTES])
def test_only_content_name_time_and_permission_bits_are_carried(site: Site, attribute: str | None) -> None:
    source = site.source.read / f"odd-{attribute}"
    source.write_bytes(b"content")
    os.chown(source, NOBODY, NOBODY)
    source.chmod(0o6755)
    if attribute is not None:
        try:
            os.setxattr(source, attribute, ATTRIBUTES[attribute])
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            pytest.skip(f"this file system keeps no {attribute}")
    status = source.stat()
    target = site.destination.write / "odd"
    target.mkdir(exist_ok=True)
    # What stands there belongs to somebody and has an attribute, too: its name is taken over and nothing else of it.
    final = target / source.name
    final.write_bytes(b"old")
    os.chown(final, NOBODY, NOBODY)
    if attribute is not None:
        os.setxattr(final, attribute, ATTRIBUTES[attribute])
    run = site.hub.wait_ended(site.hub.run(site.hub.job(site.source.id, source, site.destination.id, f"{target}/")))
    assert run["status"] == "succeeded", run
    arrived = final.stat()
    assert final.read_bytes() == b"content"
    assert (arrived.st_uid, arrived.st_gid) == (os.geteuid(), os.getegid())
    assert stat.S_IMODE(arrived.st_mode) == stat.S_IMODE(status.st_mode) & 0o777
    assert arrived.st_mtime_ns == status.st_mtime_ns
    assert os.listxattr(final) == []
