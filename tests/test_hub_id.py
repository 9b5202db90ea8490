from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fileflux.errors import ConfigError
from fileflux.hub_id import hub_id


def test_a_hub_keeps_its_id_and_a_copy_on_another_machine_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub_id(tmp_path)
    assert hub_id(tmp_path) == first
    (tmp_path / "other").mkdir()
    assert hub_id(tmp_path / "other") != first
    monkeypatch.setattr(socket, "gethostname", lambda: "copy")
    assert hub_id(tmp_path) != first


def test_an_id_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "hub-id").write_text("mine")
    with pytest.raises(ConfigError, match="remove the file"):
        hub_id(tmp_path)
