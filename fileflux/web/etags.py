"""``ETag``, ``If-Match`` and ``If-None-Match`` of things that have a version."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, request

from fileflux import errors as e


class VersionConflictError(e.FluxError):
    """What the request was made for has changed since it was read."""

    code = "version_conflict"
    fault = e.Fault.USER


def etag(version: int) -> dict[str, str]:
    """The header of an answer that shows this version."""
    return {"ETag": f'"{version}"'}


def check_match(version: int, what: str) -> None:
    """Raises VersionConflictError when the request has an ``If-Match`` that this version is not in. Ask while the row is locked."""
    if request.headers.get("If-Match") is not None and not request.if_match.contains(str(version)):
        raise VersionConflictError(f"{what} is at version {version}: read it again, then change that")


def not_modified(version: int) -> Response | None:
    """The answer to a request whose ``If-None-Match`` has this version; else None."""
    if request.headers.get("If-None-Match") is None or not request.if_none_match.contains_weak(str(version)):
        return None
    return Response(status=HTTPStatus.NOT_MODIFIED, headers=etag(version))
