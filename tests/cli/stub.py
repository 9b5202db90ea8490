"""A hub made of scripted answers, on a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

DROP = object()
"""In place of an answer."""
Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class StubHub:
    """``routes`` maps ``"GET /path"`` to an answer, a list of answers (the last one stays), or a function of the body.

    An answer's second part is sent as JSON, or as it is when it is bytes; DROP closes the connection without one. ``requests`` records
    (line, query, token, body), ``headers`` those of the same requests.
    """

    def __init__(self, routes: dict[str, Any]) -> None:
        self.routes = routes
        self.requests: list[tuple[str, str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                stub._answer(self)

            do_GET = do_POST = do_DELETE = do_PATCH = handle_one

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lines(self) -> list[str]:
        return [request[0] for request in self.requests]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        line = f"{handler.command} {path}"
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        self.requests.append((line, query, token, body))
        self.headers.append(dict(handler.headers.items()))
        answer: Any = self.routes.get(line, (404, {"code": "not_found", "detail": f"nothing at {line}"}))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Callable):
            answer = answer(query, token, body)
        if answer is DROP:
            handler.close_connection = True
            return
        status, content, *more = answer
        headers = {"Content-Type": "application/json" if status < 400 else "application/problem+json"} | (
            more[0] if more else {}
        )
        data = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if status != 204:
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


def problem(status: int, code: str, detail: str = "in words", **more: Any) -> Answer:
    return status, {"status": status, "code": code, "detail": detail, **more}


def run_record(run_id: int = 5, **changes: Any) -> dict[str, Any]:
    """A run as the hub shows it."""
    return {
        "id": run_id, "job_id": 3, "status": "transferring", "reason": "", "requested_by": "a@b", "progress": 50.0,
        "files_total": 2, "files_done": 1, "files_failed": 0, "files_skipped": 0, "bytes_total": 2048, "bytes_done": 1024,
        "bytes_transferred": 512, "bytes_reused": 0, "created_at": "2026-01-01T00:00:00+00:00", "started_at": None,
        "ended_at": None, "deadline_at": None,
    } | changes  # fmt: skip
