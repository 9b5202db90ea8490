"""Tasks of workers for watches. All of one watch are asked of the same worker, which has its scan and its events open.

A worker that is new knows no watch: it answers with ``worker_died``, and the watch begins with a scan again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fileflux.errors import FluxError, TransferError
from fileflux.jobs.filters import compile_rules
from fileflux.jobs.selection import Selection, glob_of
from flux_agent.files.archive import Release
from flux_agent.files.roots import Roots
from flux_agent.files.target import Target
from flux_agent.watch.native import EVENTS_MAX, Events, remote_file_system
from flux_agent.watch.scan import DIRECTORIES_MAX, Looker, Scan

SCAN_PAGE: Final = 1000


@dataclass(slots=True)
class _Watch:
    scan: Scan
    looker: Looker
    events: Events | None = None
    left: tuple[tuple[int, str], ...] = ()
    """Events of directories that were watched before."""


class WatchTasks:
    """``watch`` in the arguments is the number of the watch at this agent."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._watches: dict[int, _Watch] = {}

    def scan(self, args: dict[str, Any]) -> dict[str, Any]:
        """The next page; with ``first`` of a new scan."""
        watch = self._watches.get(args["watch"])
        if args["first"]:
            scan = self._scan(args)
            looker = self._looker(args, scan)
            if watch is None:
                watch = self._watches[args["watch"]] = _Watch(scan, looker)
            else:
                watch.scan.close()
                watch.scan, watch.looker = scan, looker
        elif watch is None:
            raise _unknown()
        scan = watch.scan
        page = scan.page(SCAN_PAGE)
        movable = ("file", "symlink") if args["rules"]["symlinks"] == "copy" else ("file",)
        value: dict[str, Any] = {
            "last": page.last,
            "files": [
                [found.path, found.size, found.mtime_ns]
                for found in page.entries
                if found.kind in movable and watch.looker.wants(found.path)
            ],
        }
        if page.last:
            scan.close()
            value |= {"base": scan.base.path, "path_type": scan.path_type, "directories": scan.directories}
        return value

    def open(self, args: dict[str, Any]) -> dict[str, Any]:
        """Hear of events in these directories from now on. The code no_events: there are none to be had."""
        watch = self._known(args)
        directories = args["directories"]
        if len(directories) > DIRECTORIES_MAX:
            raise TransferError(f"it has more than {DIRECTORIES_MAX} directories", code="no_events")
        remote = remote_file_system(directories[0])
        if remote:
            raise TransferError(f"it is on a network file system ({remote})", code="no_events")
        events = Events(directories)
        if watch.events is not None:
            watch.left = (*watch.left, *watch.events.take())[: EVENTS_MAX + 1]
            watch.events.close()
        watch.events = events
        return {}

    def events(self, args: dict[str, Any]) -> dict[str, Any]:
        """What came since the last time. ``more``: not all of it is here."""
        watch = self._known(args)
        if watch.events is None:
            raise _unknown()
        found, watch.left = [*watch.left, *watch.events.take()], ()
        return {"events": found[:EVENTS_MAX], "more": len(found) > EVENTS_MAX}

    def look(self, args: dict[str, Any]) -> dict[str, Any]:
        """One sight for each path, or None."""
        looker = self._known(args).looker
        sights = [looker.look(path) for path in args["paths"]]
        return {
            "sights": [
                None if s is None else [s.kind, s.size, s.mtime_ns, s.ctime_ns, s.mode, s.young_s, s.marked]
                for s in sights
            ]
        }

    def end(self, args: dict[str, Any]) -> dict[str, Any]:
        """Forget the watch."""
        watch = self._watches.pop(args["watch"], None)
        if watch is not None:
            watch.scan.close()
            if watch.events is not None:
                watch.events.close()
        return {}

    def _known(self, args: dict[str, Any]) -> _Watch:
        watch = self._watches.get(args["watch"])
        if watch is None:
            raise _unknown()
        return watch

    def _scan(self, args: dict[str, Any]) -> Scan:
        rules, destination = args["rules"], args["destination"]
        return Scan(
            self._roots,
            args["path"],
            compile_rules(rules["include"], rules["exclude"]),
            recursive=rules["recursive"],
            destination=None if destination is None else Target(self._roots, destination),
            symlinks=rules["symlinks"],
            release=Release(args["on_success"], args["archive"]),
        )

    def _looker(self, args: dict[str, Any], scan: Scan) -> Looker:
        rules = args["rules"]
        glob = glob_of(args["path"]) if scan.path_type == "glob" else ""
        selection = Selection(rules["include"], rules["exclude"], recursive=rules["recursive"], glob=glob)
        name = self._roots.resolve(args["path"], write=False).name if scan.path_type == "file" else None
        return Looker(
            self._roots,
            scan,
            selection,
            marker=args["marker"],
            symlinks=rules["symlinks"],
            min_age_s=rules["min_age_s"],
            only=name,
        )


def _unknown() -> FluxError:
    return TransferError("this watch is not known here: begin it again", code="worker_died")
