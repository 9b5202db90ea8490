"""What the hub asks of an agent besides transfers: listings, directories, what people want to see, and what this machine is."""

from __future__ import annotations

import platform
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

import psutil

from fileflux.errors import FluxError, LocalProtocolError, OverloadedError, RemoteProtocolError
from fileflux.protocol import messages as m
from fileflux.protocol.limits import MAX_ITEMS, Limits
from flux_agent.doctor_report import Check
from flux_agent.transfer.machine import printable
from flux_agent.transfer.workers import Workers
from flux_agent.watches import Watches

LISTINGS_MAX: Final = 64
"""Listings that wait for a page at once: each holds an open directory in a worker."""
BROWSES_MAX: Final = 16
"""Pages for people that wait at once. One worker makes them, so that the others go on with chunks."""
CHECKS_MAX: Final = 100
"""A dozen, and one for each root."""
Examine = Callable[[Callable[[Sequence[Check] | None, FluxError | None], None]], None]


class Requests:
    """Answers through ``send``. All methods are called inside the process's ``Turns``."""

    def __init__(
        self,
        workers: Workers,
        limits: Limits,
        version: str,
        send: Callable[[m.Message], None],
        examine: Examine,
        bandwidth_limit: int | None = None,
    ) -> None:
        self._bandwidth_limit = bandwidth_limit or 0
        self._workers = workers
        self._limits = limits
        self._version = version
        self._send = send
        self._examine = examine
        self._watches: Watches | None = None
        self._browsing = 0
        self._listing: set[int] = set()
        # Answers of an earlier session must not reach a later one, whose request ids may be the same.
        self._generation = 0

    def bind(self, watches: Watches) -> None:
        """Once, before the first message."""
        self._watches = watches

    def reset(self) -> None:
        """A new session: whoever asked is gone."""
        if self._watches is not None:
            self._watches.reset()
        self._generation += 1
        self._listing.clear()
        self._browsing = 0

    def handle(self, message: m.Message) -> bool:
        """Begin to answer; False when it is nothing of this module's."""
        match message:
            case m.ListRequest():
                self._list(message)
            case m.ListCancel():
                self._listing.discard(message.request_id)
                self._submit(_list_key(message.request_id), "list_cancel", {"request_id": message.request_id}, _ignore)
            case m.DirApply():
                self._apply(message)
            case m.DeletePaths():
                self._delete(message)
            case m.TransferRelease():
                self._release(message)
            case m.BrowseRequest():
                self._browse(message)
            case m.DoctorRequest():
                self._examined(message.request_id)
            case m.WatchSet() if self._watches is not None:
                self._watches.set(message)
            case m.WatchClear() if self._watches is not None:
                self._watches.clear(message)
            case m.ConnectionTest():
                self._send(m.ConnectionTestResult(message.token))
            case _:
                return False
        return True

    def tell_about_us(self) -> None:
        """Send ``agent_info`` as soon as a worker has looked at the disks."""

        def done(value: dict[str, Any] | None, error: FluxError | None) -> None:
            roots = () if value is None or error is not None else tuple(_root(row) for row in value["roots"])
            memory = psutil.virtual_memory()
            self._send(
                m.AgentInfo(
                    hostname=printable(socket.gethostname())[:255],
                    os=f"{platform.system()} {platform.release()}"[:255],
                    arch=platform.machine()[:255],
                    version=self._version,
                    cpu_count=psutil.cpu_count() or 0,
                    memory_total=memory.total,
                    memory_available=memory.available,
                    roots=roots,
                    bandwidth_limit=self._bandwidth_limit,
                )
            )

        self._submit("disk", "disk_usage", {}, done)

    def _list(self, request: m.ListRequest) -> None:
        if request.page == 0 and len(self._listing) >= LISTINGS_MAX:
            self._send(_no_listing(request, OverloadedError("too many listings are open at this agent; try again")))
            return
        self._listing.add(request.request_id)
        rules = request.rules
        args = {
            "request_id": request.request_id,
            "path": request.path,
            "page": request.page,
            "page_size": max(1, min(request.page_size, MAX_ITEMS, self._limits.list_page)),
            "rules": {
                "include": list(rules.include),
                "exclude": list(rules.exclude),
                "recursive": rules.recursive,
                "min_age_s": rules.min_age_s,
                "symlinks": rules.symlinks,
            },
            "destination": request.destination,
            "on_success": request.on_success,
            "archive": request.archive,
            "write": request.write,
        }

        def done(value: dict[str, Any] | None, error: FluxError | None) -> None:
            if request.request_id not in self._listing:
                return
            result = _listing(request, value) if value is not None else _no_listing(request, error)
            try:
                self._send(result)
            except LocalProtocolError as too_large:
                result = _no_listing(request, too_large)
                self._send(result)
            if result.last:
                self._listing.discard(request.request_id)

        self._submit(_list_key(request.request_id), "list_page", args, done)

    def _apply(self, request: m.DirApply) -> None:
        if len(request.items) > MAX_ITEMS:
            raise RemoteProtocolError(f"more than {MAX_ITEMS} directories", field="items")
        items = [{"path": item.path, "mode": item.mode, "mtime_ns": item.mtime_ns} for item in request.items]

        def done(value: dict[str, Any] | None, error: FluxError | None) -> None:
            rows = value["errors"] if value is not None else [{"path": "", **_described(error)}]
            self._send(m.DirApplied(request.request_id, tuple(_list_error(row) for row in rows[:MAX_ITEMS])))

        self._submit(f"dirs:{request.base}", "dir_apply", {"base": request.base, "items": items}, done)

    def _delete(self, request: m.DeletePaths) -> None:
        if len(request.items) > MAX_ITEMS:
            raise RemoteProtocolError(f"more than {MAX_ITEMS} paths", field="items")
        items = [
            {"path": item.path, "directory": item.directory, "size": item.size, "mtime_ns": item.mtime_ns}
            for item in request.items
        ]

        def done(value: dict[str, Any] | None, error: FluxError | None) -> None:
            failed = [{"path": item.path, **_described(error)} for item in request.items]
            rows = value["errors"] if value is not None else failed
            self._send(m.PathsDeleted(request.request_id, tuple(_list_error(row) for row in rows[:MAX_ITEMS])))

        self._submit(f"dirs:{request.base}", "delete_paths", {"base": request.base, "items": items}, done)

    def _release(self, request: m.TransferRelease) -> None:
        items, answered = request.items, request.request_id
        if len(items) > MAX_ITEMS:
            raise RemoteProtocolError(f"more than {MAX_ITEMS} files", field="items")
        rows = [{"name": item.name, "on_success": item.on_success, "identity": item.identity} for item in items]

        def done(value: dict[str, Any] | None, error: FluxError | None) -> None:
            answers = value["answers"] if value is not None else [_described(error)] * len(items)
            released = (
                m.TransferReleasedItem(item.transfer_id, answer["code"], printable(answer["message"]))
                for item, answer in zip(items, answers, strict=True)
            )
            self._send(m.TransferReleased(tuple(released), answered))

        args = {"path": request.path, "archive": request.archive, "again": request.again, "items": rows}
        self._submit(f"dirs:{request.path}", "release", args, done)

    def _browse(self, request: m.BrowseRequest) -> None:
        if self._browsing >= BROWSES_MAX:
            self._send(_no_page(request, OverloadedError("too many look at this agent's directories; try again")))
            return
        self._browsing += 1
        args = {"path": request.path, "after": request.after, "limit": min(request.limit, MAX_ITEMS)}

        def done(value: dict[str, Any] | None, error: FluxError | None) -> None:
            self._browsing -= 1
            if value is None:
                self._send(_no_page(request, error))
                return
            items = tuple(m.BrowseItem(**row) for row in value["items"])
            page = m.BrowseResult(request.request_id, value["path"], value["parent"], items, value["following"])
            try:
                self._send(page)
            except LocalProtocolError as unsendable:
                self._send(_no_page(request, unsendable))

        self._submit("browse", "browse", args, done)

    def _examined(self, request_id: int) -> None:
        generation = self._generation

        def done(checks: Sequence[Check] | None, error: FluxError | None) -> None:
            if generation != self._generation:
                return
            if checks is None:
                described = _described(error)
                self._send(m.DoctorResult(request_id, code=described["code"], message=printable(described["message"])))
                return
            shown = (m.DoctorCheck(c.name, c.status, printable(c.found), printable(c.advice)) for c in checks)
            self._send(m.DoctorResult(request_id, tuple(shown)[:CHECKS_MAX]))

        self._examine(done)

    def _submit(
        self, key: str, task: str, args: dict[str, Any], done: Callable[[dict[str, Any] | None, FluxError | None], None]
    ) -> None:
        generation = self._generation

        def if_current(value: dict[str, Any] | None, error: FluxError | None) -> None:
            if generation == self._generation:
                done(value, error)

        self._workers.submit(key, task, args, if_current)


def _ignore(value: dict[str, Any] | None, error: FluxError | None) -> None:
    """Nobody waits for this answer."""


def _list_key(request_id: int) -> str:
    # All pages of a listing come from the worker that has it open.
    return f"list:{request_id}"


def _listing(request: m.ListRequest, value: dict[str, Any]) -> m.ListResult:
    return m.ListResult(
        request_id=request.request_id,
        page=request.page,
        last=value["last"],
        base=value["base"],
        path_type=value["path_type"],
        entries=tuple(
            m.Entry(row["path"], row["kind"], row["size"], row["mtime_ns"], row["mode"], row["code"])
            for row in value["entries"]
        ),
        errors=tuple(_list_error(row) for row in value["errors"]),
    )


def _no_listing(request: m.ListRequest, error: FluxError | None) -> m.ListResult:
    failed = _list_error({"path": "", **_described(error)})
    return m.ListResult(
        request.request_id, request.page, last=True, base=request.path, path_type="directory", errors=(failed,)
    )


def _no_page(request: m.BrowseRequest, error: FluxError | None) -> m.BrowseResult:
    described = _described(error)
    return m.BrowseResult(request.request_id, code=described["code"], message=printable(described["message"]))


def _described(error: FluxError | None) -> dict[str, str]:
    return {"code": error.code if error else "internal", "message": str(error) if error else "no answer"}


def _list_error(row: dict[str, Any]) -> m.ListError:
    return m.ListError(row["path"], row["code"], printable(row["message"]))


def _root(row: dict[str, Any]) -> m.RootInfo:
    return m.RootInfo(row["path"], row["read"], row["write"], row["total"], row["free"])
