"""Certificates for tests, made by the code that makes the hub's own."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fileflux.web import own_ca


class Authority:
    """A CA in ``folder``; each certificate is a file with key and chain."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.made = own_ca.make_ca(datetime.now(UTC))
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.made.certificate_pem())

    def issue(
        self,
        name: str = "server",
        names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
        age: timedelta = timedelta(),
    ) -> Path:
        """``age`` of 398 days and more: expired; below -1 day: not yet valid."""
        issued = own_ca.issue(self.made, names, datetime.now(UTC) - age)
        path = self.folder / f"{name}.pem"
        path.write_bytes(issued.key_pem() + issued.certificate_pem() + self.made.certificate_pem())
        return path

    def server_context(self, certificate: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate or self.issue())
        return context
