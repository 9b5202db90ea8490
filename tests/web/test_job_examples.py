"""The files of ``examples/``: each can be imported, and nothing that it says is said in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from fileflux.jobs.job_file import parse
from tests.web.conftest import Api
from tests.web.test_job_import import export, send, sums

FOLDER = Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))
AGENTS = ("web-1", "backup", "nas", "erp", "partner", "branch-1", "branch-2", "branch-3")


@pytest.fixture
def agents(admin: Api) -> None:
    for name in AGENTS:
        assert admin.post("/api/agents", {"name": name}).status_code == 201


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_can_be_imported(admin: Api, file: Path) -> None:
    content = file.read_bytes()
    count = len(parse(content, "yaml"))
    assert sums(send(admin, content, "yaml", "?dry_run=true")) == {"created": count}
    assert admin.get("/api/jobs").json["items"] == []
    assert sums(send(admin, content, "yaml")) == {"created": count}
    assert sums(send(admin, content, "yaml")) == {"unchanged": count}
    # What a field says that is as it would be anyway, the export leaves out.
    exported = {row.fields["name"]: row.fields for row in parse(export(admin, "yaml").encode(), "yaml")}
    for row in parse(content, "yaml"):
        assert {name for name, value in row.fields.items() if value is not None} <= set(exported[row.fields["name"]])


def test_all_of_them_have_two_lines_of_comment_and_one_in_the_list() -> None:
    listed = (FOLDER / "README.md").read_text()
    for file in FILES:
        lines = file.read_text().splitlines()
        assert [line.startswith("# ") for line in lines[:3]] == [True, True, False], file.name
        assert f"({file.name})" in listed
    assert len(FILES) >= 10
