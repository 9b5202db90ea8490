from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xxhash import xxh3_128

from .files.tasks_bench import CHUNK, Bench, fails, frame_of, sha, text

CONTENT = text(3 * CHUNK + 100)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def have(bench: Bench, opened: dict[str, Any], wire: int = 2) -> list[str]:
    """Hashes of all chunks that the sink has, asked in two steps of different workers."""
    count = opened["have_count"]
    first = count // 2
    hashes = ""
    for worker, start, number in ((1, 0, first), (2, first, count - first)):
        hashes += bench("sink_have", worker=worker, wire=wire, handle=opened["handle"], first=start, count=number)[
            "hashes"
        ]
    return [hashes[at : at + 64] for at in range(0, len(hashes), 64)]


def quick(content: bytes, index: int) -> str:
    """What a copy of this chunk is compared by."""
    return xxh3_128(content[index * CHUNK : (index + 1) * CHUNK]).hexdigest()


def chunk_hashes(content: bytes) -> list[str]:
    return [sha(content[at : at + CHUNK]) for at in range(0, len(content), CHUNK)]


def begin(bench: Bench, *chunks: int, content: bytes = CONTENT) -> None:
    """An attempt that wrote some chunks and then lost its agent."""
    opened = bench.open_sink("f", len(content))
    for index in chunks:
        bench.write_frame(opened["handle"], frame_of(content, index))


def test_what_the_part_holds_is_not_sent_again(bench: Bench) -> None:
    begin(bench, 0, 2)
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2)
    assert (opened["state"], opened["basis"], opened["have_count"]) == ("resume", "part", 3)
    wanted = chunk_hashes(CONTENT)
    held = have(bench, opened)
    assert [index for index in range(3) if held[index] == wanted[index]] == [0, 2]
    for index in (1, 3):
        bench.write_frame(opened["handle"], frame_of(CONTENT, index, wire=2), wire=2)
    assert bench("sink_copy", wire=2, handle=opened["handle"], index=0, quick=quick(CONTENT, 0)) == {}
    assert not bench.commit(opened["handle"], CONTENT, wire=2, attempt=2)["delivered"]
    assert (bench.target / "f").read_bytes() == CONTENT


def test_a_whole_part_is_had_whole(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2)
    assert have(bench, opened) == chunk_hashes(CONTENT)


def test_a_flipped_bit_shows(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    with bench.part.open("r+b") as file:
        file.seek(CHUNK + 5)
        file.write(b"\0")
    held = have(bench, bench.open_sink("f", len(CONTENT), wire=2, attempt=2))
    assert [a == b for a, b in zip(held, chunk_hashes(CONTENT), strict=True)] == [True, False, True, True]


@pytest.mark.parametrize(
    ("size", "count"), [(0, 0), (CHUNK - 1, 0), (CHUNK, 1), (len(CONTENT) - 1, 3), (len(CONTENT) + 5, 4)]
)
def test_a_truncated_or_extended_part(bench: Bench, size: int, count: int) -> None:
    begin(bench, 0, 1, 2, 3)
    os.truncate(bench.part, size)
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2)
    assert opened["have_count"] == count
    assert have(bench, opened) == chunk_hashes(CONTENT)[:count]
    assert bench.part.stat().st_size <= len(CONTENT)


def test_have_false_believes_nothing(bench: Bench) -> None:
    begin(bench, 0, 1, 2, 3)
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2, have=False)
    assert (opened["state"], opened["basis"], opened["have_count"]) == ("new", None, 0)
    assert bench.part.stat().st_size == 0
    bench.write_all(opened["handle"], CONTENT, wire=2)
    bench.commit(opened["handle"], CONTENT, wire=2, attempt=2)
    assert (bench.target / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400, 0o444, *([0] if os.getuid() == 0 else [])])
def test_a_commit_that_was_cut_short_just_before_the_rename(bench: Bench, mode: int) -> None:
    begin(bench, 0, 1, 2, 3)
    bench.part.chmod(mode)
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2, mode=mode)
    assert opened["basis"] == "part"
    assert bench.part.stat().st_mode & 0o7777 == 0o600


def test_a_part_that_is_not_ours_is_not_taken(bench: Bench, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x" * CHUNK)

    def linked() -> None:
        os.link(precious, bench.part)

    def symlinked() -> None:
        bench.part.symlink_to(precious)

    def open_to_all() -> None:
        bench.part.write_bytes(CONTENT)
        bench.part.chmod(0o666)

    def fifo() -> None:
        os.mkfifo(bench.part)

    def foreign() -> None:
        bench.part.write_bytes(CONTENT)
        bench.part.chmod(0o600)
        os.chown(bench.part, 65534, 65534)

    for wire, make in enumerate([linked, symlinked, open_to_all, fifo, *([foreign] if os.getuid() == 0 else [])], 2):
        make()
        opened = bench.open_sink("f", len(CONTENT), wire=wire, attempt=2)
        assert (opened["state"], opened["have_count"]) == ("new", 0), make
        assert bench.part.is_file()
        assert (bench.part.stat().st_uid, bench.part.stat().st_nlink) == (os.getuid(), 1)
        bench("sink_close", wire=wire, handle=opened["handle"], discard=True)
    assert precious.read_bytes() == b"x" * CHUNK
    bench.part.mkdir()
    with fails("not_regular", "permission", "io"):
        bench.open_sink("f", len(CONTENT), wire=9, attempt=2)


def test_an_older_file_at_the_final_name_is_the_basis(bench: Bench) -> None:
    final = bench.target / "f"
    older = CONTENT[:CHUNK] + text(CHUNK, seed=7) + CONTENT[2 * CHUNK : -50]
    final.write_bytes(older)
    os.link(final, bench.target / "second name")
    opened = bench.open_sink("f", len(CONTENT), wire=2)
    assert (opened["state"], opened["basis"], opened["have_count"]) == ("new", "final", 3)
    held = have(bench, opened)
    wanted = chunk_hashes(CONTENT)
    assert [a == b for a, b in zip(held, wanted, strict=False)] == [True, False, True]
    handle = opened["handle"]
    for index in (0, 2):
        assert bench("sink_copy", worker=index, wire=2, handle=handle, index=index, quick=quick(CONTENT, index)) == {}
    with fails("stale_have"):
        bench("sink_copy", wire=2, handle=handle, index=1, quick=quick(CONTENT, 1))
    for index in (1, 3):
        bench.write_frame(handle, frame_of(CONTENT, index, wire=2), wire=2)
    assert final.read_bytes() == older
    bench.commit(handle, CONTENT, wire=2)
    assert final.read_bytes() == CONTENT
    assert (bench.target / "second name").read_bytes() == older


def test_a_longer_file_covers_the_last_chunk(bench: Bench) -> None:
    (bench.target / "f").write_bytes(CONTENT + b"tail")
    opened = bench.open_sink("f", len(CONTENT), wire=2)
    assert have(bench, opened) == chunk_hashes(CONTENT)


def test_the_basis_changes_meanwhile(bench: Bench) -> None:
    final = bench.target / "f"
    final.write_bytes(CONTENT[:-1])
    opened = bench.open_sink("f", len(CONTENT), wire=2)
    final.write_bytes(b"z" * len(CONTENT))
    with fails("stale_have"):
        bench("sink_have", wire=2, handle=opened["handle"], first=0, count=1)
    with fails("stale_have"):
        bench("sink_copy", worker=1, wire=2, handle=opened["handle"], index=0, quick="0" * 32)
    final.unlink()
    with fails("stale_have"):
        bench("sink_copy", worker=2, wire=2, handle=opened["handle"], index=0, quick="0" * 32)


def test_delivered_by_an_attempt_that_could_not_say_so(bench: Bench) -> None:
    bench.deliver("f", CONTENT)
    inode = (bench.target / "f").stat().st_ino
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2)
    assert (opened["state"], opened["basis"], opened["have_count"]) == ("new", "final", 4)
    done = bench.commit(opened["handle"], CONTENT, wire=2, attempt=2)
    assert (done["delivered"], done["sha256"]) == (True, sha(CONTENT))
    assert bench.names() == ["f"]
    assert (bench.target / "f").stat().st_ino == inode


@pytest.mark.parametrize("conflict", ["overwrite", "skip", "newer", "fail", "rename"])
def test_once_for_every_conflict_policy(bench: Bench, conflict: str) -> None:
    first = bench.deliver("f", CONTENT, conflict=conflict, mode=0o444)
    assert first["delivered"] is False
    inode = (bench.target / "f").stat().st_ino
    opened = bench.open_sink(
        "f", len(CONTENT), wire=2, attempt=2, conflict=conflict, final_path=first["final_path"], mode=0o444
    )
    done = bench.commit(opened["handle"], CONTENT, wire=2, attempt=2, conflict=conflict, mode=0o444)
    assert done["delivered"] is True
    assert bench.names() == ["f"]
    assert (bench.target / "f").stat().st_ino == inode


def test_a_worker_dies_after_the_rename(bench: Bench) -> None:
    handle = bench.open_sink("f", len(CONTENT))["handle"]
    bench.write_all(handle, CONTENT)
    bench.commit(handle, CONTENT, worker=0)
    done = bench.commit(handle, CONTENT, worker=1, attempt=2)
    assert done["delivered"] is True
    with fails("io", "stale_have"):
        bench.commit(handle, text(len(CONTENT), seed=3), worker=1, attempt=2)
    assert (bench.target / "f").read_bytes() == CONTENT


def test_an_equal_older_file_gets_its_metadata(bench: Bench) -> None:
    final = bench.target / "f"
    final.write_bytes(CONTENT)
    final.chmod(0o600)
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2)
    assert bench.commit(opened["handle"], CONTENT, wire=2, attempt=2, mode=0o755)["delivered"]
    assert (final.stat().st_mode & 0o7777, final.stat().st_mtime_ns) == (0o755, 1_000_000_000)


def test_another_file_of_that_size_is_replaced_by_a_later_attempt(bench: Bench) -> None:
    final = bench.target / "f"
    final.write_bytes(text(len(CONTENT), seed=5))
    opened = bench.open_sink("f", len(CONTENT), wire=2, attempt=2)
    bench.write_all(opened["handle"], CONTENT, wire=2)
    assert not bench.commit(opened["handle"], CONTENT, wire=2, attempt=2)["delivered"]
    assert final.read_bytes() == CONTENT


def test_a_part_that_cannot_be_opened_just_now_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(bench, 0, 1, 2, 3)
    real = os.open

    def refuse(path: str, *args: Any, **kwargs: Any) -> int:
        if path == bench.part.name:
            raise OSError(24, "Too many open files")
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        with fails("overloaded"):
            bench.open_sink("f", len(CONTENT), wire=2, attempt=2)
    assert bench.open_sink("f", len(CONTENT), wire=3, attempt=2)["have_count"] == 4
