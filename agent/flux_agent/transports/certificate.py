"""What a certificate says of itself, for sentences that tell a person why it is refused. Nothing is decided here.

Python shows the fields of a certificate only after it has verified it, and these are the others. The bytes come from whoever answers, so
everything is bounded and whatever is odd is left out: ``read`` gives None rather than an error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

SIZE_MAX: Final = 64 * 1024
NAMES_MAX: Final = 20
_SEQUENCE, _OID = 0x30, 0x06
_UTC_TIME, _GENERAL_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_COMMON_NAME, _ORGANISATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_ALTERNATIVE_NAMES: Final = b"\x55\x1d\x11"


@dataclass(frozen=True, slots=True)
class Certificate:
    """``names`` are those a client compares: DNS names and addresses."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime


def read(der: bytes) -> Certificate | None:
    """The certificate in ``der``, or None if this is none."""
    if len(der) > SIZE_MAX:
        return None
    try:
        return _certificate(der)
    except (ValueError, IndexError, StopIteration, OverflowError):
        return None


def _certificate(der: bytes) -> Certificate:
    signed = _inside(_inside(der, _SEQUENCE), _SEQUENCE)
    fields = [(tag, value) for tag, value in _parts(signed) if tag != _VERSION]
    # serial, algorithm, issuer, validity, subject, key, then what is optional
    issuer, validity = fields[2][1], fields[3][1]
    begins, ends = (_time(tag, value) for tag, value in _parts(validity))
    names: list[str] = []
    for tag, value in fields[6:]:
        if tag == _EXTENSIONS:
            names = list(_names(_inside(value, _SEQUENCE)))
    return Certificate(tuple(names[:NAMES_MAX]), _issuer(issuer), begins, ends)


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element. Raises ValueError for what is cut."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:
                raise ValueError("a length of this form")
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data):
            raise ValueError("cut")
        yield tag, data[at : at + length]
        at += length


def _inside(data: bytes, tag: int) -> bytes:
    found, value = next(_parts(data))
    if found != tag:
        raise ValueError("another element")
    return value


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: 50 and above are of the last century.
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERAL_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _issuer(name: bytes) -> str:
    found: dict[bytes, str] = {}
    for _, group in _parts(name):
        for _, pair in _parts(group):
            (_, kind), (_, value) = _parts(pair)
            found.setdefault(kind, _printable(value))
    return found.get(_COMMON_NAME) or found.get(_ORGANISATION) or "nobody"


def _names(extensions: bytes) -> Iterator[str]:
    for _, extension in _parts(extensions):
        kind, *_, (_, value) = _parts(extension)
        if kind != (_OID, _ALTERNATIVE_NAMES):
            continue
        for tag, name in _parts(_inside(value, _SEQUENCE)):
            if tag == _DNS_NAME:
                yield _printable(name)
            elif tag == _IP_ADDRESS and len(name) in (4, 16):
                yield str(ipaddress.ip_address(name))


def _printable(value: bytes) -> str:
    text = value.decode("utf-8", "replace")[:100]
    return "".join(character if character.isprintable() else "?" for character in text)
