"""The pages for people: what is served of a build, how, and that nothing else is."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fileflux.errors import ConfigError
from fileflux.web import ui
from tests.web.conftest import Api

PROGRAM = b"console.log('a program');\n" * 50


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small build, and what may lie beside one."""
    folder = tmp_path / "static"
    (folder / "assets" / "deep").mkdir(parents=True)
    (folder / ".secret.js").write_bytes(b"private")
    (folder / "notes.txt").write_bytes(b"private")
    (folder / "index.html").write_bytes(b"<!doctype html><title>The interface</title>")
    (folder / "docs.html").write_bytes(b"<!doctype html><title>The API</title>")
    (folder / "favicon.svg").write_bytes(b"<svg/>")
    (folder / "assets" / "index-1a2b.js").write_bytes(PROGRAM)
    (folder / "assets" / "index-1a2b.js.gz").write_bytes(gzip.compress(PROGRAM))
    (folder / "assets" / "small-3c4d.css").write_bytes(b"a{}")
    (folder / "assets" / "index-1a2b.js.map").write_bytes(b"{}")
    (folder / "assets" / "deep" / "x.js").write_bytes(b"too deep")
    served = ui.read(folder)
    monkeypatch.setattr(ui, "files", lambda: served)
    return folder


def test_only_files_of_a_build_are_taken(build: Path) -> None:
    assert set(ui.files()) == {
        "index.html", "docs.html", "favicon.svg", "assets/index-1a2b.js", "assets/small-3c4d.css",
    }  # fmt: skip


def test_half_a_build_is_none(build: Path, tmp_path: Path) -> None:
    (build / "index.html").unlink()
    assert ui.read(build) == ui.read(tmp_path / "nothing") == {}


def test_a_build_is_bounded(build: Path) -> None:
    with (build / "assets" / "huge.js").open("wb") as file:
        file.truncate(ui.SIZE_MAX)
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        ui.read(build)


@pytest.mark.parametrize(
    ("path", "content_type", "cache"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/api/docs", "text/html; charset=utf-8", "no-store"),
        ("/favicon.svg", "image/svg+xml", "no-cache"),
        ("/assets/index-1a2b.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/assets/small-3c4d.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable"),
    ],
)
def test_each_file_with_its_type_and_how_long_it_keeps(
    build: Path, anonymous: Api, path: str, content_type: str, cache: str
) -> None:
    answer = anonymous.get(path)
    assert answer.status_code == 200
    assert answer.content_type == content_type
    assert answer.headers["Cache-Control"] == cache
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head = anonymous.call("HEAD", path)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(answer.data))
    again = anonymous.call("GET", path, **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert anonymous.call("POST", path).status_code == 405


@pytest.mark.parametrize("path", ["/", "/api/docs"])
def test_the_pages_may_load_their_own_files_and_nothing_else(build: Path, anonymous: Api, path: str) -> None:
    policy = anonymous.get(path).headers["Content-Security-Policy"]
    rules = dict(part.split(" ", 1) for part in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'; base-uri" in anonymous.get("/assets/index-1a2b.js").headers["Content-Security-Policy"]


def test_what_is_compressed_goes_to_who_takes_it(build: Path, anonymous: Api) -> None:
    path = "/assets/index-1a2b.js"
    plain = anonymous.get(path)
    assert plain.data == PROGRAM
    for header in ("identity", "br", "gzip;q=0", ""):
        assert anonymous.call("GET", path, **{"Accept-Encoding": header}).data == PROGRAM
    zipped = anonymous.call("GET", path, **{"Accept-Encoding": "gzip, deflate, br"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == PROGRAM
    assert zipped.headers["ETag"] != plain.headers["ETag"]
    assert zipped.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    small = anonymous.call("GET", "/assets/small-3c4d.css", **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/index.js",
        "/assets/../index.html",
        "/assets/..%2findex.html",
        "/assets/%2e%2e/index.html",
        "/assets/..%5cindex.html",
        "/assets//index-1a2b.js",
        "//assets/index-1a2b.js",
        "/assets/./index-1a2b.js",
        "/assets/index-1a2b.js%00",
        "/assets/index-1a2b.js/",
        "/assets/index-1a2b.js.gz",
        "/assets/index-1a2b.js.map",
        "/assets/deep/x.js",
        "/assets/deep%2fx.js",
        "/assets/%252e%252e%252findex.html",
        "/static/index.html",
        "/index.html",
        "/.secret.js",
        "/notes.txt",
        "/api/docs/",
        "/agents",
    ],
)
def test_no_other_path_is_a_file(build: Path, anonymous: Api, path: str) -> None:
    answer = anonymous.get(path)
    assert answer.status_code == 404
    assert answer.json["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/api/docs"])
def test_a_hub_without_a_build_says_how_to_make_one(anonymous: Api, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(ui, "files", dict)
    answer = anonymous.get(path)
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert "make ui" in answer.text
    assert "/install.sh" in answer.text
    assert "default-src 'none'; base-uri" in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    assert anonymous.get("/assets/index-1a2b.js").status_code == 404
