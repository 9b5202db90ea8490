"""Every field of a job that decides what a run does (docs/reference.md, A job), through REST with real agents: a line for each value."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from fileflux.storage.cluster import DATABASE, USER, Cluster
from tests.integration.conftest import Site
from tests.integration.harness import Agent, Hub, kill_pid, wait_for

CHUNK = 2**18
OLD = 1_500_000_000 * 10**9
"""Nanoseconds: when every file of a source was written, but those named ``young``."""

Tree = Mapping[str, str]
"""Content by name. ``/`` behind a name: an empty directory. A text that begins with ``->``: a symbolic link."""


@dataclass(frozen=True)
class Case:
    """``there`` stands at the destination before, ``arrives`` at the end; ``stays`` is left of the source, if that is not everything."""

    source: Tree
    arrives: Tree
    fields: Mapping[str, Any] = field(default_factory=dict)
    there: Tree = field(default_factory=dict)
    stays: Tree | None = None
    status: str = "succeeded"
    says: Mapping[str, str] = field(default_factory=dict)
    """By the name of a transfer: what its reason tells, among other things."""
    because: str = ""
    """What the run's reason tells, among other things."""
    newer_there: bool = False
    shows: Mapping[str, Any] = field(default_factory=dict)
    """Fields of every transfer."""


ONE = {"a": "1"}
STANDS = {"a": "older"}
NESTED = {"a.csv": "1", "b.txt": "2", "d/c.csv": "3", "d/e/f.txt": "4"}
LONG = {"a": "y" * (2 * CHUNK + 1)}
LINKS = {
    "d/f": "1", "to-f": "-> d/f", "to-d": "-> d", "broken": "-> nothing", "out": "-> ../../..", "loop": "-> loop",
}  # fmt: skip
ALIKE = {"A.txt": "1", "a.txt": "2", "\u00e9": "3", "e\u0301": "4", "aux: x?": "5"}

CASES: dict[str, Case] = {
    "type pull": Case(NESTED, NESTED, {"type": "pull"}, {"b.txt": "other"}),
    "pattern": Case(NESTED, {"a.csv": "1", "d/c.csv": "3"}, {"pattern": "*.csv"}),
    "include": Case(NESTED, {"b.txt": "2"}, {"include": ["/b.*"]}),
    "pattern and include": Case(
        NESTED, {"a.csv": "1", "b.txt": "2", "d/c.csv": "3"}, {"pattern": "*.csv", "include": ["/b.txt"]}
    ),
    "exclude": Case(NESTED, {"a.csv": "1", "b.txt": "2", "d/c.csv": "3", "d/e/": ""}, {"exclude": ["d/e/**"]}),
    "not recursive": Case(NESTED, {"a.csv": "1", "b.txt": "2"}, {"recursive": False}),
    "compression auto": Case(LONG, LONG, {"compression": "auto"}, shows={"compression": "zstd"}),
    **{
        f"compression {name}": Case(LONG, LONG, {"compression": name}, shows={"compression": name})
        for name in ("zstd", "lz4", "none")
    },
    "chunk_size": Case(LONG, LONG, {"chunk_size": CHUNK}, shows={"chunk_size": CHUNK, "total_chunks": 3}),
    **{f"verify {how}": Case(LONG, LONG, {"verify": how, "chunk_size": CHUNK}) for how in ("chunks", "full", "reread")},
    **{f"hub_check {which}": Case(ONE, ONE, {"hub_check": which}) for which in ("off", "sample", "all")},
    "conflict overwrite": Case(ONE, ONE, {"conflict": "overwrite"}, STANDS),
    "conflict skip": Case(ONE, STANDS, {"conflict": "skip"}, STANDS, says={"a": "conflict: skip"}),
    "conflict newer, and it is": Case(ONE, ONE, {"conflict": "newer"}, STANDS),
    "conflict newer, and it is not": Case(
        ONE, STANDS, {"conflict": "newer"}, STANDS, says={"a": "conflict: newer"}, newer_there=True
    ),
    "conflict rename": Case(ONE, {"a": "older", "a (1)": "1"}, {"conflict": "rename"}, STANDS),
    "conflict fail": Case(ONE, STANDS, {"conflict": "fail"}, STANDS, status="failed", says={"a": "exists already"}),
    "on_success keep": Case(NESTED, NESTED, {"on_success": "keep"}),
    "on_success delete": Case(NESTED, NESTED, {"on_success": "delete"}, stays={"d/e/": ""}),
    "on_success delete, and one is there already": Case(
        {"a": "1", "b": "2"}, {"a": "1", "b": "2"}, {"on_success": "delete"}, {"b": "2"},
        stays={"b": "2"}, says={"b": "equal file at the destination"},
    ),
    "on_success archive": Case(
        NESTED, NESTED, {"on_success": "archive"},
        stays={"d/e/": "", **{f".fileflux-archive/{name}": text for name, text in NESTED.items()}},
    ),
    "on_success archive, elsewhere, where names are taken": Case(
        {"a.txt": "new", "done/a.txt": "old", "done/a (1).txt": "older"}, {"a.txt": "new"},
        {"on_success": "archive", "archive_path": "done"},
        stays={"done/a.txt": "old", "done/a (1).txt": "older", "done/a (2).txt": "new"},
    ),
    "delete_extra": Case(
        {"a": "1", "d/f": "2", "kept/": ""}, {"a": "1", "d/f": "2", "kept/": "", "a.~1~": "old"},
        {"delete_extra": True, "keep_versions": 1},
        {"b": "x", "a": "old", "d/g": "y", "e/h/i": "z", "empty/": "", "link": "-> a", "f": "-> nothing"},
    ),
    "delete_extra in a pull": Case(ONE, ONE, {"delete_extra": True, "type": "pull"}, {"b/c": "x"}),
    "delete_extra leaves what the rules leave out": Case(
        {"a.csv": "1"}, {"a.csv": "1", "note.txt": "x", "d/note.txt": "y"}, {"delete_extra": True, "include": ["*.csv"]},
        {"b.csv": "x", "note.txt": "x", "d/c.csv": "z", "d/note.txt": "y"},
    ),
    "delete_extra of an empty source": Case(
        {"d/": ""}, {"d/": "", "b": "x"}, {"delete_extra": True}, {"b": "x"},
        because="nothing was removed at the destination: the source is empty",
    ),
    "delete_extra when a file has not arrived": Case(
        {"a": "1", "c": "2"}, {"a": "older", "b": "x", "c": "2"}, {"delete_extra": True, "conflict": "fail"},
        {"a": "older", "b": "x"}, status="partial",
        because="nothing was removed at the destination: not every file has arrived",
    ),
    "symlinks skip": Case(LINKS, {"d/f": "1"}, {"symlinks": "skip"}, says={"to-f": "symbolic link (symlinks: skip)"}),
    "symlinks copy": Case(
        LINKS, {"d/f": "1", "to-f": "-> d/f", "to-d": "-> d", "broken": "-> nothing", "loop": "-> loop"},
        {"symlinks": "copy"}, {"to-f": "-> d/old"}, status="partial", says={"out": "may lead out of this agent's root"},
    ),
    "symlinks follow": Case(
        LINKS, {"d/f": "1", "to-f": "1", "to-d/f": "1"}, {"symlinks": "follow"}, status="partial",
        says={"broken": "leads to nothing", "out": "leads out of", "loop": "in a circle"},
    ),
    "names reject": Case(ALIKE, ALIKE, {"names": "reject"}),
    "names encode": Case(ALIKE | {"a%41": "6"}, ALIKE | {"a%2541": "6"}, {"names": "encode"}),
    "keep_versions": Case(
        {"a": "5"}, {"a": "5", "a.~8~": "3", "a.~9~": "4"}, {"keep_versions": 2},
        {"a": "4", "a.~6~": "1", "a.~7~": "2", "a.~8~": "3"},
    ),
    "keep_versions in a pull": Case(ONE, {"a": "1", "a.~1~": "older"}, {"keep_versions": 1, "type": "pull"}, STANDS),
    "min_age": Case({"a": "1", "young": "2"}, ONE, {"min_age": 60}, says={"young": "younger than 60 s"}),
    "parallel": Case({str(n): "x" for n in range(9)}, {str(n): "x" for n in range(9)}, {"parallel": 1}),
    "retry": Case(ONE, ONE, {"retry": {"attempts": 0, "delay": 1, "factor": 1}}),
}  # fmt: skip


def make(folder: Path, tree: Tree, mtime_ns: int) -> None:
    for name, text in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        elif text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
        if not name.startswith("young"):
            os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def tree_of(folder: Path) -> Tree:
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[f"{name}/"] = ""
    return found


class Table:
    """All cases, each in folders of its own; their runs are started together."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.runs: dict[str, int] = {}
        # What is below a write root may be taken away; the source's agent reads and writes the same folder.
        for number, (name, case) in enumerate(CASES.items()):
            make(self.source(number), case.source, OLD)
            for there, text in case.there.items():
                same = case.source.get(there) == text
                shift = 0 if same else 10**9 if case.newer_there else -(10**9)
                make(self.target(number), {there: text}, OLD + shift)
            self.runs[name] = start(site, self.source(number), self.target(number), **case.fields)

    def source(self, number: int) -> Path:
        return self.site.source.write / f"case-{number}"

    def target(self, number: int) -> Path:
        return self.site.destination.write / f"case-{number}"


def start(site: Site, source: Path | str, target: Path | str, **fields: Any) -> int:
    fields = {"retry": {"attempts": 1, "delay": 0.1, "factor": 1}} | fields
    return site.hub.run(site.hub.job(site.source.id, Path(source), site.destination.id, f"{target}/", **fields))


class OwnSite(Site):
    """Its source agent may take away what it reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = Hub(folder).start()
        self.source = Agent(self.hub, "source", folder)
        self.source.read = self.source.write
        self.source.start(wait=False)
        self.destination = Agent(self.hub, "destination", folder).start()
        self.source.wait_online()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSite]:
    site = OwnSite(tmp_path_factory.mktemp("site"))
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def table(site: Site) -> Table:
    return Table(site)


@pytest.mark.parametrize("name", CASES)
def test_a_field_does_what_it_says(table: Table, name: str) -> None:
    case, number = CASES[name], list(CASES).index(name)
    run = table.site.hub.wait_ended(table.runs[name])
    transfers = {transfer["filename"]: transfer for transfer in table.site.hub.transfers(run["id"])}
    assert run["status"] == case.status, (run, transfers)
    assert case.because in run["reason"]
    assert tree_of(table.target(number)) == case.arrives, run["reason"]
    assert tree_of(table.source(number)) == (case.source if case.stays is None else case.stays)
    for transfer in transfers.values():
        assert {key: transfer[key] for key in case.shows} == case.shows
    for filename, said in case.says.items():
        assert said in transfers[filename]["reason"], transfers[filename]


@pytest.mark.parametrize("preserve", [[], ["mtime"], ["mode"]])
def test_preserve(site: Site, preserve: list[str]) -> None:
    source, target = site.source.write / "p", site.destination.write / f"p-{'-'.join(preserve)}"
    make(source, ONE, OLD)
    (source / "a").chmod(0o640)
    assert site.hub.wait_ended(start(site, source, target, preserve=preserve))["status"] == "succeeded"
    status = (target / "a").stat()
    assert (status.st_mtime_ns == OLD) is ("mtime" in preserve)
    assert (stat.S_IMODE(status.st_mode) == 0o640) is ("mode" in preserve)


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """Something writes to the end of the file all the time."""
    stop = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.001):
                file.write(b"more")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("on_change", ["retry", "fail", "prefix"])
def test_on_change(site: Site, on_change: str) -> None:
    source, target = site.source.write / f"{on_change}.log", site.destination.write / f"change-{on_change}"
    source.write_bytes(os.urandom(8 * CHUNK))
    retry = {"attempts": 50, "delay": 0.1, "factor": 1}
    with growing(source):
        run_id = start(site, source, target, on_change=on_change, chunk_size=CHUNK, retry=retry)
        if on_change == "retry":
            wait_for("another attempt", lambda: site.hub.transfers(run_id)[0]["retry_count"] > 0)
        else:
            site.hub.wait_ended(run_id)
    run = site.hub.wait_ended(run_id)
    (transfer,) = site.hub.transfers(run_id)
    content = source.read_bytes()
    match on_change:
        case "retry":
            assert run["status"] == "succeeded", run
            assert (target / source.name).read_bytes() == content
        case "fail":
            assert (run["status"], transfer["code"], transfer["retry_count"]) == ("failed", "source_changed", 0)
            assert not target.exists() or tree_of(target) == {}
        case _:
            assert run["status"] == "succeeded", run
            arrived = (target / source.name).read_bytes()
            assert 8 * CHUNK <= len(arrived) == transfer["size"] < len(content)
            assert content.startswith(arrived)


def test_an_offline_agent_is_waited_for_until_the_deadline(site: Site) -> None:
    agent, _ = site.hub.enrol("never", site.folder)
    job = site.hub.job(site.source.id, site.source.write, agent, "/x", deadline=1)
    run_id = site.hub.run(job)
    waiting = wait_for("the run to wait", lambda: (run := site.hub.show(run_id))["status"] == "waiting_agent" and run)
    assert "waiting for agent" in waiting["reason"]
    run = site.hub.wait_ended(run_id)
    assert (run["status"], run["reason"]) == ("failed", "the deadline passed before the run could end")


def test_files_are_taken_away_from_write_roots_only(site: Site) -> None:
    """The destination's agent reads a folder that it may not write."""
    agent = site.destination
    make(agent.read, ONE, OLD)
    for fields in ({"on_success": "delete"}, {"on_success": "archive"}):
        run = site.hub.wait_ended(site.hub.run(site.hub.job(agent.id, agent.read, site.source.id, "taken/", **fields)))
        assert run["status"] == "failed", run
        assert "is not below one of this agent's write roots" in run["reason"]
    outside = site.hub.job(
        site.source.id, site.source.write, agent.id, "taken/", on_success="archive", archive_path="/var"
    )
    run = site.hub.wait_ended(site.hub.run(outside))
    assert run["status"] == "failed", run
    assert tree_of(agent.read) == ONE


def test_what_cannot_be_taken_away_is_said_and_the_rest_is(site: Site) -> None:
    source, target = site.source.write / "stuck", site.destination.write / "stuck"
    make(source, {"a": "1", "d/b": "2", "d/c": "3", ".fileflux-archive/d": "a file in the way"}, OLD)
    run = site.hub.wait_ended(start(site, source, target, on_success="archive"))
    assert (run["status"], run["reason"]) == ("partial", "2 source files could not be archived")
    transfers = {transfer["filename"]: transfer for transfer in site.hub.transfers(run["id"])}
    assert {transfer["status"] for transfer in transfers.values()} == {"completed"}
    assert "source's file was not archived: " in transfers["d/b"]["reason"]
    assert transfers["a"]["reason"] == ""
    assert tree_of(source) == {
        "d/b": "2",
        "d/c": "3",
        ".fileflux-archive/d": "a file in the way",
        ".fileflux-archive/a": "1",
    }
    assert tree_of(target) == {"a": "1", "d/b": "2", "d/c": "3"}


@pytest.fixture
def windows(site: Site) -> Iterator[None]:
    """The destination's agent runs on Windows, as far as the hub knows."""

    def set_system(name: str) -> None:
        cluster = Cluster((site.hub.folder / "hub").absolute())
        place = {"dbname": DATABASE, "host": str(cluster.socket_folder())}
        with (
            psycopg2.connect(user=USER, password=cluster.password, **place) as connection,
            connection.cursor() as cursor,
        ):
            change = "UPDATE agents SET info = jsonb_set(info, '{os}', to_jsonb(%s::text)) WHERE id = %s"
            cursor.execute(change, (name, site.destination.id))
        connection.close()

    set_system("Windows 11")
    yield
    set_system("Linux 6")


CLASHES = {
    "A.txt": "1", "a.txt": "2", "dir/x": "3", "DIR/X": "4", "e": "5", "E/f": "6", "con": "7", "x.": "8", "PROGRA~1": "9",
}  # fmt: skip


@pytest.mark.parametrize("names", ["reject", "encode"])
@pytest.mark.usefixtures("windows")
def test_names_that_are_one_or_none_at_the_destination(site: Site, names: str) -> None:
    source, target = site.source.write / f"clash-{names}", site.destination.write / f"clash-{names}"
    make(source, CLASHES, OLD)
    run = site.hub.wait_ended(start(site, source, target, names=names))
    transfers = {transfer["filename"]: transfer for transfer in site.hub.transfers(run["id"])}
    assert run["status"] == "partial", run
    arrived = tree_of(target)
    # Of each pair the first that was listed arrives.
    for pair in (("A.txt", "a.txt"), ("dir/x", "DIR/X"), ("e", "E/f")):
        (lost,) = (name for name in pair if transfers[name]["code"] == "name_collision")
        (kept,) = (name for name in pair if name in arrived)
        assert lost != kept
        assert lost.partition("/")[0] in transfers[lost]["reason"]
        assert kept.partition("/")[0] in transfers[lost]["reason"]
    codes = {name: transfers[name]["code"] for name in ("con", "x.", "PROGRA~1")}
    if names == "reject":
        assert set(codes.values()) == {"bad_name"}
        assert "device" in transfers["con"]["reason"]
    else:
        assert set(codes.values()) == {""}
        assert {"%63on": "7", "x%2E": "8", "PROGRA%7E1": "9"}.items() <= arrived.items()
    # What was wrong with a name is wrong in a retry, too.
    retry = site.hub.wait_ended(int(site.hub.client.post(f"/api/runs/{run['id']}/retry")["id"]))
    assert {transfer["status"] for transfer in site.hub.transfers(retry["id"])} == {"failed"}
    assert tree_of(target) == arrived


@pytest.mark.parametrize(
    "who",
    [
        pytest.param({"source"}, marks=pytest.mark.long),
        pytest.param({"hub"}, marks=pytest.mark.long),
        {"hub", "source"},
    ],
)
def test_files_are_taken_away_once_whoever_dies(site: Site, who: set[str]) -> None:
    """Last in this module: everybody starts anew."""
    name = "-".join(sorted(who))
    source, target = site.source.write / name, site.destination.write / name
    files = {f"{number % 7}/{number}": str(number) for number in range(400)}
    make(source, files, OLD)
    run_id = start(site, source, target, on_success="delete", parallel=2)

    def left() -> int:
        return sum(len(names) for _, _, names in os.walk(source))

    wait_for("some to be taken away", lambda: left() < len(files) - 20)
    if "source" in who:
        site.source.running.kill()
    if "hub" in who:
        kill_pid(site.hub.server_pid)
    assert left() > 0, "it died in the middle"
    if "source" in who:
        site.source.start(wait=False)
    run = site.hub.wait_ended(run_id)
    assert run["status"] == "succeeded", (run, [t for t in site.hub.transfers(run_id) if t["reason"]][:3])
    assert tree_of(target) == files
    assert tree_of(source) == {f"{number}/": "" for number in range(7)}
