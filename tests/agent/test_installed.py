from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fileflux
import flux_agent
from flux_agent import installed


def place(folder: Path, layout: str) -> Path:
    """A virtual environment in ``folder``, as ``layout`` says."""
    environment = folder / ("versions" if "versions" in layout else "venvs") / "1"
    environment.mkdir(parents=True)
    if "config" in layout:
        (folder / "config").mkdir()
    if "current" in layout:
        (folder / "current").symlink_to("versions/1")
    return environment


@pytest.mark.parametrize("layout", ["versions config", "versions current", "versions config current"])
def test_the_installers_folder_is_the_agents_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    monkeypatch.setattr(sys, "prefix", str(place(tmp_path, layout)))
    assert tmp_path in installed.program_folders()
    assert installed.private_folders() == (tmp_path / "config",)


@pytest.mark.parametrize("layout", ["versions", "venvs config", "venvs current"])
def test_another_environment_is_its_own_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    environment = place(tmp_path, layout)
    monkeypatch.setattr(sys, "prefix", str(environment))
    assert environment in installed.program_folders()
    assert tmp_path not in installed.program_folders()
    assert installed.private_folders() == ()


def test_the_system_is_not_the_agents_own_but_its_packages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    packages = {Path(package.__file__ or "").parent for package in (fileflux, flux_agent)}
    assert set(installed.program_folders()) == packages
