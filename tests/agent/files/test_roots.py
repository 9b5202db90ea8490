from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fileflux.errors import ConfigError, FluxError
from flux_agent.files.guard import part_name
from flux_agent.files.handles import Directory
from flux_agent.files.roots import Place, Roots
from tests.agent.files.mounts import mounted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_text("inside")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("outside")
    return root


@pytest.fixture
def roots(root: Path) -> Roots:
    return Roots([str(root)], [str(root)])


@contextmanager
def refused(*codes: str) -> Iterator[None]:
    with pytest.raises(FluxError) as caught:
        yield
    assert caught.value.code in codes, caught.value
    assert "\n" not in str(caught.value)


def read(roots: Roots, place: Place) -> str:
    with roots.open_directory(place.parent) as directory:
        file, status = roots.open_file(directory, place)
        with file:
            buffer = bytearray(status.size)
            file.read_into(memoryview(buffer), 0)
    return buffer.decode()


def open_for_writing(roots: Roots, path: str, name: str = "") -> Directory:
    return roots.open_directory(roots.resolve(path, name, write=True))


def test_absolute_relative_and_joined_paths(roots: Roots, root: Path) -> None:
    for path, name in (
        (f"{root}/sub/file", ""),
        ("sub/file", ""),
        (str(root), "sub/file"),
        (f"{root}//sub/./", "file"),
    ):
        place = roots.resolve(path, name, write=False)
        assert place.path == f"{root}/sub/file"
        assert read(roots, place) == "inside"
    assert roots.resolve("", write=False).components == ()
    assert roots.resolve(str(root), write=False).path == str(root)


def test_a_root_may_be_a_link_and_may_be_named_by_its_target(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    roots = Roots([str(link)], [])
    assert read(roots, roots.resolve(f"{link}/sub/file", write=False)) == "inside"
    assert read(roots, roots.resolve(f"{root}/sub/file", write=False)) == "inside"


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "{root}x/file", "{outside}/secret"])
def test_outside(roots: Roots, root: Path, path: str) -> None:
    with refused("outside_roots"):
        roots.resolve(path.format(root=root, outside=root.parent / "outside"), write=False)


@pytest.mark.parametrize(
    "path", ["{root}/../outside/secret", "../outside/secret", "sub/../file", "a\0b", "\ud800", "x/" * 3000]
)
def test_refused_paths(roots: Roots, root: Path, path: str) -> None:
    with refused("refused_path"):
        roots.resolve(path.format(root=root), write=False)


def test_no_roots_is_the_default_and_each_kind_is_its_own(root: Path) -> None:
    none = Roots([], [])
    read_only = Roots([str(root)], [])
    with refused("outside_roots"):
        none.resolve("file", write=False)
    with refused("outside_roots"):
        read_only.resolve("file", write=True)
    with refused("outside_roots"):
        read_only.resolve(f"{root}/file", write=True)
    for bad in ("relative", "/a/../b", ""):
        with pytest.raises(ConfigError):
            Roots([bad], [])


def test_symbolic_links_are_never_followed(roots: Roots, root: Path) -> None:
    outside = root.parent / "outside"
    (root / "absolute").symlink_to(outside)
    (root / "relative").symlink_to("../outside")
    (root / "chain").symlink_to("absolute")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to(outside / "later")
    (root / "last").symlink_to(outside / "secret")
    (root / "within").symlink_to("sub")
    for link in ("absolute", "relative", "chain", "loop", "dangling", "within"):
        with refused("refused_path"):
            open_for_writing(roots, f"{root}/{link}")
        with refused("refused_path"):
            open_for_writing(roots, f"{root}/{link}/")
        with refused("refused_path"):
            roots.open_directory(roots.resolve(str(root), f"{link}/deeper", write=True), create=True)
    with refused("refused_path"):
        read(roots, roots.resolve(str(root), "last", write=False))
    (outside / "later").mkdir()
    with refused("refused_path"):
        open_for_writing(roots, f"{root}/dangling")
    assert sorted(os.listdir(outside)) == ["later", "secret"]


def test_what_is_not_a_regular_file(roots: Roots, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(root)
        listener.bind("socket")
        for name, code in (
            ("fifo", "not_regular"),
            ("socket", "not_regular"),
            ("sub", "not_regular"),
            ("no", "not_found"),
        ):
            with refused(code):
                read(roots, roots.resolve(name, write=False))
    with refused("not_regular"):
        roots.open_directory(roots.resolve("sub/file/below", write=True))
    with refused("not_regular"):
        roots.open_directory(roots.resolve("fifo/below", write=True), create=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make device files")
def test_devices_are_not_opened(roots: Roots, root: Path) -> None:
    try:
        os.mknod(root / "zero", 0o20600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this system does not let root make device files")
    with refused("not_regular"):
        read(roots, roots.resolve("zero", write=False))


@pytest.mark.parametrize("path", ["self/environ", "kmsg", "self/fd/0", "version"])
def test_files_of_the_kernel(path: str) -> None:
    roots = Roots(["/"], [])
    with refused("refused_path", "not_regular"):
        read(roots, roots.resolve(f"/proc/{path}", write=False))
    with refused("refused_path"):
        roots.open_directory(roots.resolve("/sys/kernel", write=False))
    with refused("refused_path"):
        roots.open_directory(Roots(["/proc"], []).resolve("/proc", write=False))


def test_devices_of_the_system() -> None:
    roots = Roots(["/"], [])
    for path in ("/dev/zero", "/dev/null", "/dev/stdin"):
        with refused("not_regular", "refused_path", "not_found"):
            read(roots, roots.resolve(path, write=False))


@pytest.mark.parametrize(
    "name",
    [
        ".ssh/authorized_keys",
        ".SSH/x",
        ".bashrc",
        "home/.profile",
        "etc/cron.d/x",
        "x/.git/hooks/post-commit",
        "etc/systemd/system/x.service",
        ".config/autostart/x.desktop",
    ],
)
def test_names_that_run_by_themselves(roots: Roots, root: Path, name: str) -> None:
    with refused("refused_path"):
        roots.resolve(str(root), name, write=True)
    roots.resolve(str(root), name, write=False)


def test_a_root_inside_such_a_directory_was_listed_on_purpose(root: Path) -> None:
    (root / "cron.d").mkdir()
    roots = Roots([], [str(root), str(root / "cron.d")])
    place = roots.resolve(str(root), "cron.d/x", write=True)
    assert place.components == ("x",)
    assert place.path == f"{root}/cron.d/x"
    with refused("refused_path"):
        roots.resolve(str(root), "cron.daily/x", write=True)


def test_the_agents_own_folder_by_whatever_name(root: Path) -> None:
    own = root / "agent"
    own.mkdir()
    (own / "token").write_text("secret")
    os.link(own / "token", root / "hardlink")
    roots = Roots([str(root)], [str(root)], [str(own), str(own / "token"), str(root / "not-yet")])
    for path in ("agent", "agent/token", "agent/new/x", "not-yet/x"):
        for write in (False, True):
            with refused("refused_path"):
                roots.resolve(path, write=write)
    with refused("refused_path"):
        read(roots, roots.resolve("hardlink", write=False))
    own.rename(root / "renamed")
    own.symlink_to("renamed")
    with refused("refused_path"):
        open_for_writing(roots, "renamed")


def test_the_program_is_read_and_never_written(root: Path, tmp_path: Path) -> None:
    own = root / "program"
    (own / "lib").mkdir(parents=True)
    (own / "lib" / "module").write_text("code")
    (tmp_path / "alias").symlink_to(own / "lib")
    paths = [str(root), str(own / "lib"), str(tmp_path / "alias")]
    roots = Roots(paths, paths, [], [str(own)])
    for path in ("program", "program/new/x", "program/lib/module", f"{own}/lib/module", f"{tmp_path}/alias/x"):
        with refused("refused_path"):
            roots.resolve(path, write=True)
    for path in ("program/lib/module", f"{own}/lib/module", f"{tmp_path}/alias/module"):
        assert read(roots, roots.resolve(path, write=False)) == "code"
    own.rename(root / "renamed")
    (root / "program").symlink_to("renamed")
    with refused("refused_path"):
        open_for_writing(roots, "renamed/lib")
    assert read(roots, roots.resolve("renamed/lib/module", write=False)) == "code"


def test_the_agents_own_file_by_the_other_name_of_its_root(root: Path, tmp_path: Path) -> None:
    (root / "conf").mkdir()
    token = root / "conf" / "token"
    token.write_text("secret")
    (tmp_path / "alias").symlink_to(root)
    for own, given in ((token, tmp_path / "alias"), (tmp_path / "alias" / "conf" / "token", root)):
        roots = Roots([str(given)], [str(given)], [str(own)])
        for path in (f"{given}/conf/token", "conf/token", f"{root}/conf/token"):
            for write in (False, True):
                with refused("refused_path"):
                    roots.resolve(path, write=write)
    with mounted("--bind", str(root / "conf"), on=root / "sub"):
        roots = Roots([str(root)], [str(root)], [str(token)])
        with refused("refused_path"):
            read(roots, roots.resolve("sub/token", write=False))


def test_missing_parents_are_made_and_synced_top_down(
    roots: Roots, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []
    real_mkdir, real_fsync = os.mkdir, os.fsync

    def mkdir(name: str, mode: int, *, dir_fd: int) -> None:
        calls.append(("mkdir", name))
        real_mkdir(name, mode, dir_fd=dir_fd)

    def fsync(fd: int) -> None:
        calls.append(("sync", Path(os.readlink(f"/proc/self/fd/{fd}")).name))
        real_fsync(fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "fsync", fsync)
    with refused("not_found"):
        roots.open_directory(roots.resolve("a/b/c", write=True))
    assert roots.find_directory(roots.resolve("a/b/c", write=True)) is None
    roots.open_directory(roots.resolve("a/b/c", write=True), create=True).close()
    assert calls == [("mkdir", "a"), ("sync", "root"), ("mkdir", "b"), ("sync", "a"), ("mkdir", "c"), ("sync", "b")]
    roots.open_directory(roots.resolve("a/b/c", write=True), create=True).close()
    assert len(calls) == 6


def test_no_descriptor_is_left_open(roots: Roots, root: Path) -> None:
    (root / "link").symlink_to("sub")
    before = len(os.listdir("/proc/self/fd"))
    read(roots, roots.resolve("sub/file", write=False))
    for path in ("sub/no/x", "link/x", "sub/file/x"):
        with refused("not_found", "refused_path", "not_regular"):
            roots.open_directory(roots.resolve(path, write=True))
    assert len(os.listdir("/proc/self/fd")) == before


def test_usage(root: Path, tmp_path: Path) -> None:
    lines = Roots([str(root)], [str(root), str(tmp_path / "missing")]).usage()
    assert [(line["path"], line["read"], line["write"]) for line in lines] == [
        (str(root), True, True),
        (str(tmp_path / "missing"), False, True),
    ]
    assert lines[0]["total"] > lines[0]["free"] > 0
    assert lines[1]["total"] == 0


@pytest.mark.parametrize("part", ["", "x" * 32, "A" * 32, "0" * 31, "0" * 33, "../" + "0" * 29, "0" * 32 + "\n"])
def test_part_names(part: str) -> None:
    assert part_name("0" * 32) == f".{'0' * 32}.fluxpart"
    with refused("refused_path"):
        part_name(part)
