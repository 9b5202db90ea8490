from __future__ import annotations

import pytest

from fileflux.web.password_rules import fault_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("password", ["correct horse", "8 bytes!", "pässwört", "x" * 1024, "密码密", "Admin's own 1"])
def test_good_ones(password: str) -> None:
    assert fault_of(password, "ann@example.org") is None


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("", "bytes"),
        ("1234567", "bytes"),
        ("x" * 1025, "bytes"),
        ("é" * 513, "bytes"),
        ("ann.smith@example.org", "address"),
        (" ANN.Smith@example.ORG ", "address"),
        ("Ann.Smith", "address"),
        ("PassWord", "everybody"),
        ("fileflux", "everybody"),
        ("changeme123", "everybody"),
    ],
)
def test_bad_ones(password: str, word: str) -> None:
    fault = fault_of(password, "ann.smith@example.org")
    assert fault is not None
    assert word in fault
