"""The pages for people: the built user interface and the page of the API. Public: they hold no data, only programs that ask for it.

Everything is read into memory once, so a request is a look-up of a name in a table: no path of a request ever reaches the file system.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from flask import Response, request

from fileflux.errors import ConfigError, NotFoundError
from fileflux.protocol.limits import MIB
from fileflux.web.resource import Resource

ui = Resource("ui", "The pages for people.")

SIZE_MAX: Final = 16 * MIB
"""Of all files together; they stay in memory. The built interface takes 2.5 MiB, most of it the page of the API."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
# A name of the build has the hash of its content in it.
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"

NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>FileFlux</title></head>
<body>
<h1>FileFlux</h1>
<p>This hub is running. Its user interface is not built: install Node 20 or newer, run <code>make ui</code> where this hub was
installed from, and start the hub again.</p>
<ul>
<li><a href="/healthz">/healthz</a>: is the hub alive; <a href="/readyz">/readyz</a>: can it work</li>
<li><a href="/install.sh">/install.sh</a>: installs an agent on another machine:
<code>curl -fsSL THIS-HUB/install.sh | sh</code></li>
<li><a href="/api/openapi.json">/api/openapi.json</a>: the REST API (needs a token)</li>
</ul>
<p>On the command line: <code>fileflux login</code>, then <code>fileflux agents list</code>,
<code>fileflux jobs list</code>, <code>fileflux runs list</code>.</p>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class File:
    """One file of the build; ``compressed`` is the same by gzip, where the build made that."""

    content: bytes
    compressed: bytes | None
    content_type: str
    etag: str


@functools.cache
def files() -> Mapping[str, File]:
    """The built interface by name, as in ``assets/index-1a2b3c4d.js``; empty when it was not built.

    Read once: call it before the hub serves. A build that comes later shows after a restart.
    """
    return read(resources.files("fileflux.web").joinpath("static"))


def read(folder: Traversable) -> dict[str, File]:
    """The files of a build: of the types that it makes, in the folder and its ``assets``. Raises ConfigError when they are too much."""
    found = dict(_contents(folder, ""))
    if sum(map(len, found.values())) > SIZE_MAX:
        raise ConfigError(
            f"the user interface in {folder} is larger than {SIZE_MAX // MIB} MiB: build it anew with make ui"
        )
    served = {}
    for name, content in found.items():
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is not None:
            etag = hashlib.sha256(content).hexdigest()[:32]
            served[name] = File(content, found.get(f"{name}.gz"), kind, etag)
    return served if "index.html" in served else {}


@ui.route("GET", "/")
def index() -> Response:
    """The user interface."""
    return _page("index.html")


@ui.route("GET", "/api/docs")
def docs() -> Response:
    """The description of the API for people; it is read with the token of who is logged in in the same browser."""
    return _page("docs.html")


@ui.route("GET", "/favicon.svg")
def favicon() -> Response:
    """The picture of the browser's tab."""
    return _answer("favicon.svg", _ASK_AGAIN)


@ui.route("GET", "/assets/<name>")
def asset(name: str) -> Response:
    """A program, a style sheet or a picture of the user interface."""
    return _answer(f"assets/{name}", _FOREVER)


def _page(name: str) -> Response:
    if name not in files():
        return Response(NOT_BUILT, content_type=_TYPES["html"])
    response = _answer(name, _ASK_AGAIN)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _answer(name: str, cache: str) -> Response:
    file = files().get(name)
    if file is None:
        raise NotFoundError("the user interface of this hub has no such file: reload the page")
    zipped = file.compressed if request.accept_encodings["gzip"] else None
    response = Response(file.content if zipped is None else zipped, content_type=file.content_type)
    if zipped is not None:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(file.etag if zipped is None else f"{file.etag}-gzip")
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = cache
    response.make_conditional(request)
    return response


def _contents(folder: Traversable, place: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if not _NAME.fullmatch(entry.name):
            continue
        if entry.is_file():
            yield place + entry.name, entry.read_bytes()
        elif entry.name == "assets" and not place:
            yield from _contents(entry, "assets/")
