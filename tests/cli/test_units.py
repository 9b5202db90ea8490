from __future__ import annotations

import pytest

from fileflux.cli.units import bytes_of, seconds_of
from fileflux.errors import ConfigError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "count"), [("1", 1), ("512KiB", 524_288), ("16M", 16_777_216), ("8 mib", 8_388_608), ("7B", 7)]
)
def test_sizes(text: str, count: int) -> None:
    assert bytes_of("--chunk-size", text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10), ("10s", 10), ("90m", 5_400), ("1h30m", 5_400), ("7d", 604_800), ("0.5s", 0.5)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of("--deadline", text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5MiB", "1e9", "10 MiBs", "1w", "m", "1m!", "\uff19"])
def test_neither(text: str) -> None:
    with pytest.raises(ConfigError, match="--x"):
        bytes_of("--x", text)
    with pytest.raises(ConfigError, match="--x"):
        seconds_of("--x", text)
