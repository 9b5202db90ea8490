"""``fileflux jobs import`` and ``export``, and the script that does the first of them alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fileflux.cli.options import ExitCode
from tests.cli.conftest import Command
from tests.cli.stub import StubHub, problem

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "import_jobs.py"
BAD = {"row": 2, "name": "b", "outcome": "failed", "job_id": None, "errors": {"schedule": ["It never comes."]}}
REFUSED = problem(422, "invalid_jobs", errors={"2.schedule": ["It never comes."]}, items=[BAD])


def answer(*outcomes: str, dry_run: bool = False, failed: int = 0) -> tuple[int, Any]:
    rows = [{"row": n, "name": f"j{n}", "outcome": how, "job_id": n, "errors": {}} for n, how in enumerate(outcomes, 1)]
    counts = {how: outcomes.count(how) for how in ("created", "updated", "unchanged", "skipped")}
    return 200, {"dry_run": dry_run, **counts, "failed": failed, "items": rows + [BAD] * failed}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "jobs.json"
    path.write_text("[]")
    return str(path)


def test_the_file_goes_as_it_is(command: Command, hub: StubHub, file: str) -> None:
    hub.routes["POST /api/jobs/import"] = answer("created", "unchanged", dry_run=True)
    code, out, err = command("jobs", "import", file, "--dry-run", "--on-existing", "skip")
    assert (code, err) == (ExitCode.OK, "dry run, nothing was changed: 1 created, 1 unchanged\n")
    assert "j1" in out
    assert "j2" not in out
    assert hub.requests[-1][1:] == ("dry_run=true&partial=false&on_existing=skip", "t", [])
    assert hub.headers[-1]["Content-Type"] == "application/json"


def test_what_is_wrong_is_told_row_by_row(command: Command, hub: StubHub, file: str) -> None:
    hub.routes["POST /api/jobs/import"] = REFUSED
    code, out, err = command("jobs", "import", file)
    assert (code, out) == (ExitCode.USAGE, "")
    assert "row 2 (b): schedule: It never comes." in err
    assert "nothing was changed: 1 job is not acceptable" in err
    hub.routes["POST /api/jobs/import"] = answer("created", failed=1)
    code, _, err = command("jobs", "import", file, "--partial")
    assert code == ExitCode.SOME_FAILED
    assert "row 2 (b): schedule: It never comes." in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing.csv"], ExitCode.NOT_FOUND, "there is no file nothing.csv"),
        (["jobs.txt"], ExitCode.USAGE, "what form is it?"),
        (["jobs.txt", "--format", "toml"], ExitCode.USAGE, "--format is json, yaml or csv"),
        (["-"], ExitCode.USAGE, "--format yaml"),
    ],
)
def test_no_file(command: Command, words: list[str], code: ExitCode, said: str) -> None:
    found, _, err = command("jobs", "import", *words)
    assert found == code
    assert said in err


def test_an_export_goes_into_a_file_of_that_form(command: Command, hub: StubHub, tmp_path: Path) -> None:
    hub.routes["GET /api/jobs/export"] = (200, b"name\r\nnightly\r\n", {"Content-Type": "text/csv"})
    target = tmp_path / "all.csv"
    assert command("jobs", "export", "--out", str(target), "--tag", "a b")[0] == ExitCode.OK
    assert target.read_bytes() == b"name\r\nnightly\r\n"
    assert hub.requests[-1][1] == "format=csv&tag=a+b"
    assert command("jobs", "export", "--out", str(tmp_path / "no" / "all.csv"))[0] == ExitCode.USAGE


def test_the_script_tells_every_row_and_can_be_repeated(hub: StubHub, file: str, tmp_path: Path) -> None:
    hub.routes["POST /api/jobs/import"] = [answer("created"), answer("unchanged"), answer("updated", failed=1), REFUSED]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FILEFLUX_URL": hub.url, "FILEFLUX_TOKEN": "t"}
    runs = []
    for words in ([file], [file], [file, "--partial"], [file], ["nothing.csv"]):
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *words], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        runs.append((done.returncode, done.stdout, done.stderr.splitlines()[0]))
    assert runs == [
        (0, "1\tj1\tcreated\n", "1 created"),
        (0, "1\tj1\tunchanged\n", "1 unchanged"),
        (6, "1\tj1\tupdated\n2\tb\tfailed\tschedule: It never comes.\n", "1 updated, 1 failed"),
        (2, "", "import_jobs: row 2 (b): schedule: It never comes."),
        (3, "", "import_jobs: there is no file nothing.csv"),
    ]
