"""What makes a bundle one (docs/protocol.md, Bundles)."""

from __future__ import annotations

from fileflux.errors import RemoteProtocolError
from fileflux.protocol.limits import BUNDLE_BYTES, BUNDLE_FILES
from fileflux.protocol.messages import BundleRequestItem


def check_bundle(item: BundleRequestItem) -> None:
    """Raises RemoteProtocolError unless the lists fit each other and the bounds of a bundle."""
    count = len(item.names)
    lengths = [len(item.sizes), len(item.mtimes)]
    if item.role == "destination":
        lengths += [len(item.modes), len(item.parts)]
    if not 0 < count <= BUNDLE_FILES or any(length != count for length in lengths):
        raise RemoteProtocolError(f"a bundle has 1 to {BUNDLE_FILES} files, and as many of everything", field="names")
    if sum(item.sizes) > BUNDLE_BYTES:
        raise RemoteProtocolError(f"a bundle has at most {BUNDLE_BYTES} bytes", field="sizes")
    if len(set(item.parts)) != len(item.parts):
        raise RemoteProtocolError("a part belongs to one file", field="parts")
