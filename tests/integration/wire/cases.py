"""What no HTTP server, and what no WebSocket, should take; by the ids of the ledger. A new case is a row."""

from __future__ import annotations

import struct

from tests.integration.wire.raw import KEY, MIB, login, request
from tests.protocol.wire import frame

CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = request()
"""Rides behind a request that is refused: it must get no answer."""

REFUSED: dict[str, tuple[bytes, int]] = {
    # More than a head may be
    "W11-url-of-1-MiB": (request(path="/" + "a" * MIB), 414),
    "W11-query-of-9-KiB": (request(path="/healthz?" + "a" * 9000), 414),
    "W11-line-of-1-MiB": (request("A: " + "a" * MIB), 431),
    "W11-line-of-9-KiB": (request("A: " + "a" * 9000), 431),
    "W11-name-of-9-KiB": (request("a" * 9000 + ": b"), 431),
    "W11-10000-fields": (request(*(f"A{number}: b" for number in range(10_000))), 431),
    "W11-101-fields": (request(*(f"A{number}: b" for number in range(100))), 431),
    "W11-96-KiB-together": (request(*(f"A{number}: {'b' * 8000}" for number in range(12))), 431),
    # Two lengths, or none that is certain
    "W16-cl-te": (login("Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"), 400),
    "W16-te-cl": (login(CHUNKED, "Content-Length: 5", body=b"0\r\n\r\n"), 400),
    "W16-te-twice": (login(CHUNKED, CHUNKED, body=b"0\r\n\r\n"), 400),
    "W16-chunked-chunked": (login("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), 400),
    "W16-xchunked": (login("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 501),
    "W16-gzip-chunked": (login("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    "W16-chunked-gzip": (login("Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), 400),
    "W16-identity": (login("Transfer-Encoding: identity", body=b"0\r\n\r\n"), 400),
    "W16-te-empty": (login("Transfer-Encoding:", body=b"0\r\n\r\n"), 501),
    "W16-te-quoted": (login('Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), 501),
    "W16-te-vertical-tab": (login("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), 400),
    "W16-te-space-colon": (login("Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    "W16-te-http-1.0": (
        request(CHUNKED, method="POST", path="/api/auth/login", version="HTTP/1.0", body=b"0\r\n\r\n"), 400,
    ),
    "W16-cl-twice": (login("Content-Length: 0", "Content-Length: 0"), 400),
    "W16-cl-two-values": (login("Content-Length: 5", "Content-Length: 6", body=b"hello"), 400),
    "W16-cl-list": (login("Content-Length: 5, 5", body=b"hello"), 400),
    **{
        f"W16-cl-{name}": (login(f"Content-Length: {value}", body=b"hello"), 400)
        for name, value in {
            "plus": "+5", "minus": "-1", "hex": "0x10", "octal": "0o5", "blank": "5 5", "empty": "", "underscore": "5_0", "float": "5.0",
            "superscript": "\xb2", "semicolon": "5;x", "digits": "9" * 5000,
        }.items()
    },
    # Lines that are none
    "W16-obs-fold": (request("A: b\r\n c"), 400),
    "W16-obs-fold-of-length": (login("Content-Length:\r\n 5", body=b"hello"), 400),
    "W16-fold-first": (b"GET /healthz HTTP/1.1\r\n Host: hub\r\n\r\n", 400),
    "W16-bare-lf": (request().replace(b"\r\n", b"\n"), 400),
    "W16-bare-lf-in-fields": (request("A: b\nContent-Length: 5"), 400),
    "W16-bare-cr": (request("A: b\rC: d"), 400),
    "W16-nul": (request("A: b\0c"), 400),
    "W16-no-colon": (request("A b"), 400),
    "W16-no-name": (request(": b"), 400),
    "W16-blank-in-name": (request("A B: c"), 400),
    "W16-name-not-ascii": (request("\xc4: b"), 400),
    # Chunks that are none
    **{
        f"W16-chunk-{name}": (login(CHUNKED, body=body), 400)
        for name, body in {
            "plus": b"+5\r\nhello\r\n0\r\n\r\n", "minus": b"-5\r\nhello\r\n0\r\n\r\n", "hex": b"0x5\r\nhello\r\n0\r\n\r\n",
            "blank": b"5 5\r\nhello\r\n0\r\n\r\n", "empty": b"\r\nhello\r\n0\r\n\r\n", "letters": b"zz\r\nhello\r\n0\r\n\r\n",
            "bare-lf": b"5\nhello\n0\n\n" + b"x" * 9000, "data-too-long": b"5\r\nhello!\r\n0\r\n\r\n",
            "extension-of-1-MiB": b"5;" + b"a" * MIB + b"\r\nhello\r\n0\r\n\r\n", "extension-cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            "extension-control": b"5;a=\x01\r\nhello\r\n0\r\n\r\n", "crumbs": b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n",
            "trailer-length": b"0\r\nContent-Length: 5\r\n\r\n", "trailer-host": b"0\r\nHost: evil\r\n\r\n",
            "trailer-te": b"0\r\nTransfer-Encoding: chunked\r\n\r\n", "trailer-token": b"0\r\nAuthorization: Bearer x\r\n\r\n",
            "trailer-lf": b"0\r\nA: b\nC: d\r\n\r\n", "trailer-of-1-MiB": b"0\r\nA: " + b"b" * MIB + b"\r\n\r\n",
        }.items()
    },
    # Expectations
    "W17-other": (request("Expect: 200-ok"), 417),
    "W17-list": (login("Expect: 100-continue, x", "Content-Length: 2"), 417),
    # Other protocols
    "W22-http-2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400),
    "W22-proxy-v1": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request(), 400),
    "W22-proxy-v2": (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + request(), 400),
    "W22-http-0.9": (b"GET /healthz\r\n\r\n", 400),
    "W22-http-2.0": (request(version="HTTP/2.0"), 400),
    "W22-http-1": (request(version="HTTP/1"), 400),
    "W22-http-x": (request(version="HTTP/1.1x"), 400),
    "W22-ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
    "W22-method": (request(method="get"), 400),
    "W22-method-long": (request(method="G" * 21), 400),
    "W22-target-empty": (request(path=""), 400),
    "W22-target-asterisk": (request(path="*"), 400),
    "W22-target-authority": (request(path="evil.example:80"), 400),
    "W22-target-blank": (request(path="/a b"), 400),
    "W22-target-not-ascii": (request(path="/\xff"), 400),
    # Host
    "W22-host-missing": (request(host=None), 400),
    "W22-host-twice": (request("Host: evil.example"), 400),
    "W22-host-same-twice": (request("Host: hub"), 400),
    **{
        f"W22-host-{name}": (request(host=value), 400)
        for name, value in {
            "empty": "", "blank": "a b", "path": "hub/../x", "user": "user@hub", "port": "hub:99999", "port-letters": "hub:x",
            "list": "hub,evil.example", "bracket": "[::1", "markup": "<script>", "long": "a" * 300, "not-ascii": "h\xfcb",
        }.items()
    },
}  # fmt: skip


HANDSHAKES: dict[str, tuple[tuple[str, ...], dict[str, str], int]] = {
    "W13-no-version": (("Sec-WebSocket-Version:",), {}, 426),
    "W13-version-8": (("Sec-WebSocket-Version: 8",), {}, 426),
    "W13-version-twice": (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"), {}, 426),
    "W13-no-key": (("Sec-WebSocket-Key:",), {}, 400),
    "W13-key-short": (("Sec-WebSocket-Key: AAAA",), {}, 400),
    "W13-key-long": (("Sec-WebSocket-Key: " + "A" * 40,), {}, 400),
    "W13-key-no-base64": (("Sec-WebSocket-Key: %%%%",), {}, 400),
    "W13-key-twice": ((f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Key: {KEY}"), {}, 400),
    "W13-http-1.0": ((), {"version": "HTTP/1.0"}, 426),
    "W13-h2c": (("Upgrade: h2c",), {}, 426),
    "W13-no-upgrade": (("Upgrade:",), {}, 426),
    "W13-no-connection": (("Connection:",), {}, 426),
    "W13-nothing": (
        ("Upgrade:", "Connection:", "Sec-WebSocket-Version:", "Sec-WebSocket-Key:"), {}, 426,
    ),
    "W13-post": ((), {"method": "POST"}, 400),
    "W13-post-nothing": (("Upgrade:", "Connection:"), {"method": "POST"}, 400),
    "W13-delete": ((), {"method": "DELETE"}, 400),
    "W13-body": (("Content-Length: 5",), {}, 400),
    "W13-chunked": ((CHUNKED,), {}, 400),
    "W14-evil": (("Origin: https://evil.example",), {}, 403),
    "W14-null": (("Origin: null",), {}, 403),
    "W14-ends-like-ours": (("Origin: http://evil-hub",), {}, 403),
}  # fmt: skip


FRAMES: dict[str, tuple[bytes, int]] = {
    "W1-unmasked": (frame(1, b"{}", mask=False), 1002),
    "W1-unmasked-binary": (frame(2, b"FFXF", mask=False), 1002),
    "W2-4-GiB": (b"\x82\xff" + struct.pack("!Q", 1 << 32), 1009),
    "W2-8-EiB": (b"\x82\xff" + struct.pack("!Q", (1 << 63) - 1), 1009),
    "W2-top-bit": (b"\x82\xff" + struct.pack("!Q", 1 << 63), 1009),
    "W2-2-MiB-and-1": (b"\x82\xff" + struct.pack("!Q", 2 * MIB + 1), 1009),
    **{f"W4-reserved-bit-{bit}": (frame(1, b"{}", rsv=bit), 1002) for bit in (1, 2, 4)},
    **{f"W4-opcode-{code}": (frame(code), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "W6-continuation": (frame(0, b"x"), 1002),
    "W6-message-in-message": (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
    "W6-ping-in-fragments": (frame(9, b"x", fin=False), 1002),
    "W6-close-in-fragments": (frame(8, b"\x03\xe8", fin=False), 1002),
    "W6-ping-of-126": (frame(9, b"x" * 126), 1002),
    "W6-close-of-1": (frame(8, b"x"), 1002),
    "W6-close-code": (frame(8, struct.pack("!H", 1005)), 1002),
    "W7-FF-FE": (frame(1, b"\xff\xfe"), 1007),
    "W7-overlong": (frame(1, b"\xc0\xaf"), 1007),
    "W7-surrogate": (frame(1, b"\xed\xa0\x80"), 1007),
    "W7-cut": (frame(1, b"\xe2\x82", fin=False) + frame(0, b"x"), 1007),
    "W7-cut-at-the-end": (frame(1, b"\xe2\x82"), 1007),
    "W9-10000-pings": (frame(9, b"x" * 125) * 10_000, 1008),
    "W10-compressed": (frame(1, b"\x00" * 100, rsv=4), 1002),
}
