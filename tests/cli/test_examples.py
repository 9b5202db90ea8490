"""Every example that a command's help shows is run, against the real API and database.

What an example names is made beforehand: ``web-1`` and ``backup``, the job ``nightly``, run 42 and so on. Examples that need more than an API
(a hub's own machine, files that really move) are run by the tests named in ELSEWHERE.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fileflux.bus.bus import Bus
from fileflux.bus.events import AlertRaised, TransferChanged
from fileflux.cli.command import Group
from fileflux.cli.main import run
from fileflux.cli.options import ExitCode
from fileflux.clock import SystemClock
from fileflux.jobs.job_file import render_csv, render_json, render_yaml
from fileflux.jobs.models import JobSpec
from fileflux.protocol.limits import DEFAULT_LIMITS, Limits
from fileflux.protocol.messages import BrowseItem, BrowseResult, DoctorCheck, DoctorResult, Entry, ListResult
from fileflux.storage import (
    agents,
    alerts,
    deliveries,
    jobs,
    keys,
    notifications,
    plan_drift,
    plans,
    runs,
    tokens,
    transfers,
    users,
)
from fileflux.storage.deliveries import Outcome, Settled
from fileflux.storage.pool import Database, Transaction
from fileflux.web import context
from fileflux.web.app import create_app
from fileflux.web.deps import Deps, LiveAgent
from scripts.cases import missing_test
from scripts.cli_reference import every_command
from tests.certificates import Authority
from tests.cli.test_with_api import serving
from tests.web.conftest import PASSWORD, SECRET, InlineWork, ScriptedHub
from tests.web.test_notifications import Sending
from tests.web.test_transfers import new_transfer

NEW_PASSWORD = "another long one"
ADMIN = "me@example.org"
NAMED_HUB = re.compile(r"https://hub\.(?:example|internal)(?::\d+)?")
READER = Path(sys.executable).parent

EXAMPLES = {line: path for path, command in every_command() for line in command.examples}
EXAMPLES |= {line: "" for line in Group.examples if line not in EXAMPLES}

ELSEWHERE = {
    "fileflux serve": "tests/docs/test_pages.py::test_the_page_works",
    "fileflux serve --host 0.0.0.0 --tls auto --tls-name hub.example.com": "tests/integration/test_tls.py::test_rest_and_the_scheme",
    "fileflux demo": "tests/integration/test_demo.py::test_the_demo",
    "fileflux demo --once": "tests/integration/test_demo.py::test_the_demo",
    "fileflux migrate --data-dir /var/lib/fileflux": "tests/integration/test_demo.py::test_the_demo",
    "fileflux backup --data-dir /var/lib/fileflux hub.backup": "tests/integration/test_demo.py::test_the_demo",
    "fileflux restore --data-dir /var/lib/fileflux hub.backup": "tests/integration/test_demo.py::test_the_demo",
    "fileflux doctor": "tests/docs/test_pages.py::test_the_page_works",
    "fileflux doctor --data-dir /var/lib/fileflux -o json": "tests/integration/test_demo.py::test_the_demo",
    "fileflux send ./report.pdf backup:/in/": "tests/integration/test_send.py::test_from_this_machine",
    "fileflux send ./logs ./more web-1:/var/tmp/logs --exclude '*.tmp' --verify reread": "tests/integration/test_send.py::test_from_this_machine",
    "fileflux send web-1:/srv/x ./here/": "tests/integration/test_send.py::test_to_this_machine",
}  # fmt: skip
"""Example → the test that runs it, or the same command with places and options of its own."""

FOLLOWED = ("fileflux events", "fileflux events --run 42 --type transfer")
"""They go on until somebody presses Ctrl-C."""

RUN_STATUS = {
    "runs cancel": "transferring",
    "runs pause": "transferring",
    "runs resume": "paused",
    "runs retry": "partial",
    "transfers cancel": "transferring",
    "transfers resume": "transferring",
}
"""Of run 42, where it is not that it succeeded."""
TRANSFER_STATUS = {"runs retry": "failed", "transfers cancel": "transferring", "transfers resume": "failed"}

MADE_WITH_IDS = {
    "agents": 3,
    "agent_tokens": 7,
    "api_keys": 7,
    "runs": 42,
    "transfers": 1234,
    "alerts": 3,
    "plans": 7,
    "notification_deliveries": 99,
}
EMPTIED = (
    "plans", "notification_targets", "notification_events", "transfers", "run_directories", "job_versions", "runs", "jobs", "agent_tokens", "api_keys", "user_sessions", "users", "agents", "alerts",
    "idempotency_keys",
)  # fmt: skip


class EndingHub(ScriptedHub):
    """Its runs succeed at once."""

    def start(self, job_id: int, requested_by: str) -> runs.RunRow:
        row = super().start(job_id, requested_by)
        self.begin(row.id)
        return row

    def begin(self, run_id: int) -> None:
        super().begin(run_id)
        with self.database.transaction() as tx:
            tx.execute("UPDATE runs SET status = 'succeeded', ended_at = now() WHERE id = %s", (run_id,))


class ReadyPlans:
    """Plans of nothing, made at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, row: plans.PlanRow) -> None:
        with self._database.transaction() as tx:
            self.finish(tx, row.id)

    def compare(self, plan_id: int, run_id: int) -> None:
        with self._database.transaction() as tx:
            plan_drift.finish(tx, plan_id)

    @staticmethod
    def finish(tx: Transaction, plan_id: int) -> None:
        sums = {name: [0, 0] for name in plans.CLASSES}
        plans.update(
            tx, plan_id, status="ready", sums={**sums, "directories": 0, "estimate_s": None, "estimate_note": ""}
        )


@dataclass
class Site:
    """A hub's API at ``url``, and what ``make`` puts into its database."""

    url: str
    hub: EndingHub

    def make(self, command: str) -> None:
        """What an example of ``command`` names, and not what it is to make."""
        with self.hub.database.transaction() as tx:
            for table in EMPTIED:
                tx.execute(f"DELETE FROM {table}", ())  # noqa: S608  # names of ours
            for table, first in MADE_WITH_IDS.items():
                tx.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, false)", (table, first))
            me = users.create(tx, ADMIN, self.hub.hash(PASSWORD), "admin")
            alerts.raise_alert(tx, "token_on_two_hosts", "agent:3", "two hosts use one token")
            if command.startswith("notifications ") and command != "notifications create":
                make_notification(tx, ADMIN)
            if command != "users create":
                for name in ("ann", "ci"):
                    users.create(tx, f"{name}@example.org", self.hub.hash(PASSWORD), "operator")
            now = SystemClock().utc_now()
            keys.create(tx, me.id, "script", ["read"], now, now.replace(year=now.year + 1))
            if command != "agents create":
                self._make_agents(tx, command)

    def _make_agents(self, tx: Transaction, command: str) -> None:
        source, destination = (agents.create(tx, name, "", ("web",)) for name in ("web-1", "backup"))
        tokens.create(tx, source.id, "first")
        self.hub.live_agents = {
            agent.id: LiveAgent(True, "websocket", "", SystemClock().utc_now(), f"s{agent.id}")
            for agent in (source, destination)
        }
        if command == "jobs create":
            return
        spec = JobSpec("nightly", source.id, "/srv/data", destination.id, "/data/web-1", tags=("nightly",))
        job = jobs.create(tx, spec, ADMIN, enabled=command != "jobs enable")
        live = runs.create(tx, job, ADMIN)
        if command.startswith("plans "):
            plan = plans.create(tx, job, ADMIN)
            ReadyPlans.finish(tx, plan.id)
            if command == "plans drift":
                plans.ran(tx, plan.id, live.id)
                plan_drift.finish(tx, plan.id)
        (transfer,) = transfers.insert_many(tx, live.id, [new_transfer(b"report.csv")])
        status = RUN_STATUS.get(command, "succeeded")
        wanted = "pause" if status == "paused" else None
        ended = None if status in ("transferring", "paused") else SystemClock().utc_now()
        tx.execute(
            "UPDATE runs SET status = %s, wanted = %s, ended_at = %s WHERE id = %s", (status, wanted, ended, live.id)
        )
        tx.execute(
            "UPDATE transfers SET status = %s WHERE id = %s", (TRANSFER_STATUS.get(command, "completed"), transfer.id)
        )


@pytest.fixture(scope="module")
def site(new_database_url: Callable[[], str]) -> Iterator[Site]:
    with ExitStack() as stack:
        database = Database(new_database_url(), DEFAULT_LIMITS)
        stack.callback(database.close)
        hub = EndingHub(database)
        hub.browse_answer = BrowseResult(1, path="/srv/data", parent="", items=(BrowseItem("a", "file", size=3),))
        hub.listed = [
            ListResult(1, 0, True, "/srv/data", "directory", (Entry("a.csv", "file", 3), Entry("b.tmp", "file")))
        ]
        hub.doctor_answer = DoctorResult(1, checks=(DoctorCheck("dns", "ok", "127.0.0.1"),))
        bus = Bus()
        # A feed whose reader has gone is noticed with the next heartbeat.
        deps = Deps(
            database,
            bus,
            Limits(feed_heartbeat=0.1),
            SECRET,
            SystemClock(),
            hub,
            hub,
            hub,
            hub,
            work=InlineWork(),
            notifications=Sending(database),
            planning=ReadyPlans(database),
        )
        app = create_app(deps)
        feed = context.services_of(app).feed
        listen = feed.listen

        def listen_to_what_happens(*asked: Any) -> Any:
            listener = listen(*asked)
            bus.publish(TransferChanged(1234, 42, "completed"))
            bus.publish(AlertRaised(3, "token_on_two_hosts", "two hosts use one token"))
            feed.tick()
            return listener

        feed.listen = listen_to_what_happens  # type: ignore[method-assign]  # the hub's own loop would do it
        yield Site(stack.enter_context(serving(app)), hub)


def make_notification(tx: Transaction, by: str) -> None:
    """``chat``, with one delivery that has ended."""
    body = {"name": "chat", "kind": "webhook", "url": "https://hooks.example.org/", "events": ["*"]}
    row, _ = notifications.create(tx, {"addresses": [], "job_ids": [], "tags": [], "enabled": True, **body}, by)
    batch = deliveries.make_test(tx, row.id, {})
    deliveries.settle(tx, batch, [Settled(batch.deliveries[0], Outcome(ok=True), None)])


class Terminal(io.StringIO):
    """Where somebody types."""

    def isatty(self) -> bool:
        return True


class Screen(io.StringIO):
    """Where somebody reads, who presses Ctrl-C when the first event is there if ``patient`` is False."""

    def __init__(self, *, patient: bool) -> None:
        super().__init__()
        self._patient = patient

    def write(self, text: str) -> int:
        written = super().write(text)
        if not self._patient and text == "\n":
            raise KeyboardInterrupt
        return written


@pytest.fixture
def here(tmp_path: Path, login_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that examples read; passwords are typed at prompts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", typed)
    (tmp_path / ".config" / "fish" / "completions").mkdir(parents=True)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    place = {"source_agent": "web-1", "source_path": "/srv/a", "destination_agent": "backup", "destination_path": "/a"}
    (tmp_path / "jobs.yaml").write_text("".join(render_yaml([{"name": "a", **place}])))
    (tmp_path / "jobs.json").write_text("".join(render_json([{"name": "a", **place}])))
    (tmp_path / "jobs.csv").write_text("".join(render_csv([{"name": "a", **place}], ["name", *place])))
    (tmp_path / "old-and-new").write_text(f"{PASSWORD}\n{NEW_PASSWORD}\n")
    assert login_file.parent != tmp_path
    return tmp_path


def typed(prompt: str) -> str:
    return PASSWORD if prompt in ("Password: ", "Present password: ") else NEW_PASSWORD


def carried_out(words: list[str], monkeypatch: pytest.MonkeyPatch, *, patient: bool = True) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``fileflux …``, with redirections as a shell has them."""
    out, err = Screen(patient=patient), io.StringIO()
    command, target = list(words), None
    if ">" in command:
        *command, _, target = command
    if "<" in command:
        *command, _, source = command
        monkeypatch.setattr("sys.stdin", io.StringIO(Path(source).expanduser().read_text()))
    assert not {"|", ">", "<", "&&", ";"} & set(command), "this needs a shell"
    with redirect_stdout(out), redirect_stderr(err):
        code = run(command[1:])
    if target is not None:
        Path(target).expanduser().write_text(out.getvalue())
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def ca_pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Authority(tmp_path_factory.mktemp("ca")).file


def test_the_tables_name_examples_and_tests() -> None:
    assert set(ELSEWHERE) | set(FOLLOWED) <= set(EXAMPLES)
    assert [missing for name in set(ELSEWHERE.values()) if (missing := missing_test(name))] == []


@pytest.mark.parametrize("example", [example for example in EXAMPLES if example not in ELSEWHERE])
def test_the_example_works(example: str, site: Site, here: Path, ca_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if example.startswith("eval "):
        read_by_its_shell(example)
        return
    site.make(EXAMPLES[example])
    (here / "ca.pem").symlink_to(ca_pem)
    words = shlex.split(NAMED_HUB.sub(site.url, example))
    if "login" not in words:
        log_in = ["fileflux", "login", site.url, "--email", ADMIN]
        assert carried_out(log_in, monkeypatch)[0] == ExitCode.OK
    followed = example in FOLLOWED
    code, out, err = carried_out(words, monkeypatch, patient=not followed)
    assert code == (ExitCode.INTERRUPTED if followed else ExitCode.OK), err
    assert "internal error" not in err
    if followed or {"--json", "json"} & set(words):
        json.loads(out)
    if ">" in words:
        assert Path(words[-1]).expanduser().read_text().strip()


def read_by_its_shell(example: str) -> None:
    """As in the start file of the shell that the example is for; afterwards the shell knows how to complete."""
    shell = example.partition("completion ")[2].split(")")[0]
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    before, after = {
        "bash": ("", "complete -p fileflux"),
        "zsh": ("autoload -Uz compinit && compinit -u -D", "[[ $_comps[fileflux] = _fileflux ]]"),
    }[shell]
    told = f"set -e\nPATH={shlex.quote(str(READER))}:$PATH\n{before}\n{example}\n{after}\n"
    done = subprocess.run([program, "-c", told], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
