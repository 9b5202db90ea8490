"""Tasks about directories: listings, making them, disk usage, clean-up. ``tasks.py`` lists their arguments and values."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from fileflux.errors import FluxError, TransferError
from fileflux.jobs.filters import compile_rules
from fileflux.protocol.names import check_relative
from flux_agent.doctor_roots import check_roots
from flux_agent.files import publish
from flux_agent.files.archive import Release
from flux_agent.files.browse import Shown, browse
from flux_agent.files.faults import naming
from flux_agent.files.guard import part_name
from flux_agent.files.roots import Place, Roots
from flux_agent.files.target import Target
from flux_agent.files.walk import Found, Listing, Trouble

LISTINGS_MAX: Final = 64
"""Listings in progress in one worker, each with one open directory; what was asked for longest ago is given up."""


@dataclass(slots=True)
class _Open:
    listing: Listing
    page: int
    value: dict[str, Any]


class TreeTasks:
    """State: listings in progress, so all pages of one must be asked of the same worker."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._listings: OrderedDict[int, _Open] = OrderedDict()

    def list_page(self, args: dict[str, Any]) -> dict[str, Any]:
        request_id, number = args["request_id"], args["page"]
        known = self._listings.get(request_id)
        if known is not None and number == known.page and number > 0:
            return known.value
        if number == 0:
            self.list_cancel(args)
            try:
                listing = self._begin(args)
            except FluxError as error:
                return _unlistable(args, error)
        elif known is not None and number == known.page + 1 and not known.value["last"]:
            listing = known.listing
        else:
            raise TransferError("this listing is not known any more: begin it again", code="worker_died")
        page = listing.page(args["page_size"])
        value = {
            "request_id": request_id,
            "page": number,
            "last": page.last,
            "base": listing.base.path,
            "path_type": listing.path_type,
            "entries": [_plain(entry) for entry in page.entries],
            "errors": [_plain(error) for error in page.errors],
        }
        self._remember(request_id, _Open(listing, number, value))
        return value

    def list_cancel(self, args: dict[str, Any]) -> dict[str, Any]:
        known = self._listings.pop(args["request_id"], None)
        if known is not None:
            known.listing.close()
        return {}

    def browse(self, args: dict[str, Any]) -> dict[str, Any]:
        page = browse(self._roots, args["path"], args["after"], args["limit"])
        return {
            "path": page.path,
            "parent": page.parent,
            "items": [_plain(item) for item in page.items],
            "following": page.following,
        }

    def check_roots(self, args: dict[str, Any]) -> dict[str, Any]:
        del args
        checks = check_roots((root.path, root.read, root.write) for root in self._roots.listed())
        return {"checks": [{"status": c.status, "found": c.found, "advice": c.advice} for c in checks]}

    def disk_usage(self, args: dict[str, Any]) -> dict[str, Any]:
        del args
        return {"roots": self._roots.usage()}

    def discard_part(self, args: dict[str, Any]) -> dict[str, Any]:
        part = part_name(args["part"])
        place = self._roots.resolve(args["directory"], write=True)
        directory = self._roots.find_directory(place)
        if directory is not None:
            with directory, naming(place.path):
                publish.remove_part(directory, part)
        return {}

    def dir_apply(self, args: dict[str, Any]) -> dict[str, Any]:
        base = self._roots.resolve(args["base"], write=True)
        errors: dict[str, FluxError] = {}
        made: list[tuple[dict[str, Any], Place]] = []
        # All are made before any gets its time, which making another one in it would change.
        for item in args["items"]:
            path = item["path"]
            try:
                place = self._place(base, args["base"], path)
                self._roots.open_directory(place, create=True).close()
                made.append((item, place))
            except FluxError as error:
                errors[path] = error
        for item, place in made:
            try:
                self._apply(place, item)
            except FluxError as error:
                errors[item["path"]] = error
        return {
            "errors": [{"path": path, "code": error.code, "message": error.message} for path, error in errors.items()]
        }

    def _place(self, base: Place, path: str, name: str) -> Place:
        if not name:
            return base
        check_relative(name)
        return self._roots.resolve(path, name, write=True)

    def _apply(self, place: Place, item: dict[str, Any]) -> None:
        with self._roots.open_directory(place) as directory, naming(place.path):
            if item["mode"] is not None:
                directory.set_mode(item["mode"] & publish.PERMISSIONS)
            if item["mtime_ns"] is not None:
                directory.set_mtime(item["mtime_ns"])

    def _begin(self, args: dict[str, Any]) -> Listing:
        rules = args["rules"]
        matches = compile_rules(rules["include"], rules["exclude"])
        destination = Target(self._roots, args["destination"]) if args["destination"] is not None else None
        return Listing(
            self._roots,
            args["path"],
            matches,
            recursive=rules["recursive"],
            destination=destination,
            symlinks=rules.get("symlinks", "skip"),
            min_age_s=rules.get("min_age_s", 0.0),
            release=Release(args.get("on_success", "keep"), args.get("archive", "")),
            write=args.get("write", False),
        )

    def _remember(self, request_id: int, opened: _Open) -> None:
        self._listings[request_id] = opened
        self._listings.move_to_end(request_id)
        if opened.value["last"]:
            opened.listing.close()
        while len(self._listings) > LISTINGS_MAX:
            _, oldest = self._listings.popitem(last=False)
            oldest.listing.close()


def _unlistable(args: dict[str, Any], error: FluxError) -> dict[str, Any]:
    return {
        "request_id": args["request_id"],
        "page": 0,
        "last": True,
        "base": args["path"],
        "path_type": "directory",
        "entries": [],
        "errors": [{"path": "", "code": error.code, "message": error.message}],
    }


def _plain(item: Found | Trouble | Shown) -> dict[str, Any]:
    # dataclasses.asdict copies every value, which is most of the time of a page.
    return {name: getattr(item, name) for name in item.__slots__}
