"""How a job's destination is listed, for a plan and for ``delete_extra``: with the job's own rules, so that what they leave out is not seen."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from fileflux.errors import RefusedPathError
from fileflux.jobs.models import JobSpec
from fileflux.protocol import messages as m
from fileflux.protocol.names import check_relative
from fileflux.protocol.systems import decode
from fileflux.protocol.versions import is_version_name


def destination_request(spec: JobSpec, base: str, request_id: int, page: int, page_size: int) -> m.ListRequest:
    """Ask for a page. ``base``: what the source's listing named; at the same agent it, and an archive, may lie below the destination, and are
    not part of it.
    """
    rules = m.ListRules(spec.wanted, spec.exclude, spec.recursive)
    if spec.source_agent_id != spec.destination_agent_id:
        return m.ListRequest(request_id, spec.destination_path, page, page_size, rules, write=True)
    inside = spec.on_success == "archive" and _is_below(posixpath.join(base, spec.archive_path), spec.destination_path)
    return m.ListRequest(
        request_id, spec.destination_path, page, page_size, rules, destination=base,
        on_success="archive" if inside else "keep",
        archive=posixpath.join(base, spec.archive_path) if inside else "",
        write=True,
    )  # fmt: skip


def named(result: m.ListResult, spec: JobSpec) -> Iterator[tuple[str, m.Entry]]:
    """The entries of a page and what each would be called at the source; kept versions and names that nobody may have are left out."""
    for entry in result.entries:
        if is_version_name(entry.path):
            continue
        try:
            check_relative(entry.path)
        except RefusedPathError:
            continue
        yield decode(entry.path) if spec.names == "encode" else entry.path, entry


def troubles_of(result: m.ListResult, spec: JobSpec) -> list[str]:
    """What could not be listed; a destination that is not there yet is no trouble."""
    return [
        f"{error.path or spec.destination_path}: {error.message}"
        for error in result.errors
        if error.path or error.code != "not_found"
    ]


def _is_below(path: str, folder: str) -> bool:
    return f"{posixpath.normpath(path)}/".startswith(f"{posixpath.normpath(folder)}/")
