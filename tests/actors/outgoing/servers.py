"""Servers that do to the hub what targets do: on 127.0.0.1, in threads, each for one test module."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

Behaviour = Callable[["Visit"], None]


@dataclass
class Visit:
    """One connection after its request came in."""

    sock: socket.socket
    head: str
    body: bytes
    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> str:
        return self.head.split(" ", 2)[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
        self.sent += len(data)

    def answer(self, status: str, *fields: str, body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
        self.send("\r\n".join(lines).encode() + body)


class WebhookServer:
    """``behaviours`` by path; any other is a 204. Keeps what came in ``visits``."""

    def __init__(self, behaviours: dict[str, Behaviour], context: ssl.SSLContext | None = None) -> None:
        self.visits: list[Visit] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._behaviours = behaviours
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536) or self._ended()
            head, _, body = data.partition(b"\r\n\r\n")
            visit = Visit(sock, head.decode(), body)
            while len(visit.body) < int(visit.headers.get("content-length", "0")):
                visit.body += sock.recv(65536) or self._ended()
            self.visits.append(visit)
            with suppress(OSError):
                self._behaviours.get(visit.path, lambda one: one.answer("204 No Content"))(visit)
            visit.over.set()
        sock.close()

    @staticmethod
    def _ended() -> bytes:
        raise ConnectionError


class MailServer:
    """Takes every mail over plain SMTP, except to addresses that begin with ``nobody``; ``mails`` are (sender, recipients, text)."""

    def __init__(self, *, silent: bool = False) -> None:
        self.mails: list[tuple[str, list[str], str]] = []
        self.connections = 0
        self._silent = silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as lines:
            if self._silent:
                lines.read()
                return
            sock.sendall(b"220 test\r\n")
            sender, recipients = "", list[str]()
            while line := lines.readline().decode().strip():
                verb = line.upper()
                answer = "250 ok"
                if verb.startswith("MAIL FROM:"):
                    sender, recipients = line[10:].split(">")[0].strip("< "), []
                elif verb.startswith("RCPT TO:"):
                    address = line[8:].split(">")[0].strip("< ")
                    if address.startswith("nobody"):
                        answer = "550 no such\x1b[2J user"
                    else:
                        recipients.append(address)
                elif verb == "DATA":
                    sock.sendall(b"354 go on\r\n")
                    text = b""
                    while (part := lines.readline()) != b".\r\n":
                        text += part
                    self.mails.append((sender, recipients, text.decode()))
                elif verb == "QUIT":
                    sock.sendall(b"221 bye\r\n")
                    return
                sock.sendall(f"{answer}\r\n".encode())
