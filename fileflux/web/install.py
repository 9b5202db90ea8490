"""The scripts that install an agent from this hub, and the wheel that they install. Public: nothing in them is secret.

A script names the hub as the request did, so what stands in the request's ``Host`` ends up in a program that somebody pipes into a
shell. It is therefore taken apart here and only what is made of harmless characters is written, between quotes. The scheme is the one of
the connection, or what a trusted proxy said of it (``forwarded.py``); where that is not the address for agents, ``--hub`` is.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from importlib import resources
from typing import Final

import structlog
from flask import Response, request
from werkzeug.exceptions import BadRequest

from fileflux.errors import FluxError, NotFoundError
from fileflux.web.resource import Resource
from fileflux.web.wheel import Wheel, own_wheel

install = Resource("install", "Installs an agent from this hub.")

_PLACES: Final = re.compile(r"@[A-Z0-9]+@")
_HARMLESS: Final = re.compile(r"[A-Za-z0-9.:/_+!\[\]-]+")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?")
"""A name may be as long as DNS has them."""
_SHELL: Final = "text/x-shellscript; charset=utf-8"
_PLAIN: Final = "text/plain; charset=utf-8"

log = structlog.get_logger(__name__)


def prepare() -> None:
    """Make the wheel while nobody waits for the hub. A hub that cannot make one serves all the same; the routes say why."""
    try:
        own_wheel()
    except FluxError as error:
        log.warning("no installers are served", reason=error.message)


@install.route("GET", "/install.sh")
def install_sh() -> Response:
    """A script for `sh` that installs an agent on Linux or macOS."""
    return _script("install.sh", _SHELL)


@install.route("GET", "/install.ps1")
def install_ps1() -> Response:
    """A script for PowerShell that installs an agent on Windows, where it cannot run yet."""
    return _script("install.ps1", _PLAIN)


@install.route("GET", "/install/<wheel_name>")
def wheel(wheel_name: str) -> Response:
    """The wheel of this very hub, which holds the agent too; the scripts know its name and its SHA-256."""
    own = own_wheel()
    if wheel_name != own.name:
        raise NotFoundError("this hub has no such wheel; fetch its install script again: it names the present one")
    response = Response(own.content, content_type="application/octet-stream")
    response.set_etag(own.sha256)
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


def hub_url(scheme: str, host: str | None) -> str:
    """The hub's address as a client wrote it. Raises BadRequest for a ``Host`` that is no host and port, however harmless it looks."""
    match = _HOST.fullmatch(host or "")
    if match is None or scheme not in ("http", "https"):
        raise BadRequest(
            "the Host of this request is not a name or address with or without a port: use the hub's own address"
        )
    if match["v6"] is not None:
        try:
            ipaddress.IPv6Address(match["v6"])
        except ValueError:
            raise BadRequest("the Host of this request is no IPv6 address: use the hub's own address") from None
    if match["port"] is not None and not 1 <= int(match["port"]) <= 65_535:
        raise BadRequest("the Host of this request has a port that does not exist: use the hub's own address")
    return f"{scheme}://{match[0]}"


def render(template: str, values: dict[str, str]) -> str:
    """``template`` with every ``@NAME@`` replaced. Raises BadRequest rather than write a character that could end a quoted string."""
    for name, value in values.items():
        if not _HARMLESS.fullmatch(value):
            raise BadRequest(f"{name.lower()} has characters that are not written into a script")
    return _PLACES.sub(lambda place: values[place[0].strip("@")], template)


def _script(name: str, content_type: str) -> Response:
    own: Wheel = own_wheel()
    url = hub_url(request.scheme, request.headers.get("Host"))
    values = {"HUB": url, "WHEEL": own.name, "VERSION": own.version, "SHA256": own.sha256}
    response = Response(render(_template(name), values), content_type=content_type)
    response.headers["Cache-Control"] = "no-cache"
    return response


@functools.cache
def _template(name: str) -> str:
    return resources.files("fileflux.web.installers").joinpath(name).read_text("utf-8")
