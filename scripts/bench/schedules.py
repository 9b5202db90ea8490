"""1,000 schedules due in the same minute: when their runs are there, and how long the loop is held; and the same with a job of APScheduler for each.

    python scripts/bench/schedules.py [--jobs 1000] [--apscheduler 1000 10000]

A hub with its embedded PostgreSQL gets ``--jobs`` jobs that are due at the same second, of agents that are offline. The limit is 5 s until every
run is made, once each. Then APScheduler alone, in a process like the hub's: as many jobs with a trigger on the same cron rules, due at the same second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration.harness import Hub, wait_for

LIMIT_S = 5.0

LIBRARY = """
from fileflux.actors.kernel import runtime
runtime.patch()
import json, logging, resource, sys, time
from datetime import UTC, datetime, timedelta
import gevent
from apscheduler.schedulers.gevent import GeventScheduler
from apscheduler.triggers.base import BaseTrigger
from fileflux.jobs import cron

class CronTrigger(BaseTrigger):
    def __init__(self, fields):
        self.fields = fields
    def get_next_fire_time(self, previous, now):
        return cron.next_after(self.fields, UTC, previous or now)

logging.disable(logging.CRITICAL)
count, fired, late, held = int(sys.argv[1]), [], [], [0.0]
scheduler = GeventScheduler(timezone=UTC)
scheduler.start()
def watch():
    last = time.monotonic()
    while True:
        gevent.sleep(0.001)
        held[0], last = max(held[0], time.monotonic() - last), time.monotonic()
gevent.spawn(watch)
due = datetime.now(UTC) + timedelta(seconds=3 + count / 1500)
fields = f"{due.second} {due.minute} {due.hour} * * *"
began = time.monotonic()
for number in range(count):
    scheduler.add_job(lambda: fired.append(time.time()), CronTrigger(fields), id=str(number), misfire_grace_time=None)
    if number % 20 == 0:
        gevent.sleep(1e-6)
added, held_adding = time.monotonic() - began, held[0]
held[0] = 0.0
while len(fired) < count and time.monotonic() < began + 120:
    gevent.sleep(0.2)
began = time.monotonic()
for number in range(20):
    scheduler.reschedule_job(str(number), trigger=CronTrigger("0 0 1 1 *"))
changed = (time.monotonic() - began) / 20
print(json.dumps({"add_s": round(added, 2), "held_adding_ms": round(held_adding * 1e3), "held_firing_ms": round(held[0] * 1e3),
    "change_ms": round(changed * 1e3, 2), "fired": len(fired),
    "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--apscheduler", type=int, nargs="*", default=[1000, 10_000])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fileflux-schedules-"))
    folder.chmod(0o755)
    hub = Hub(folder).start()
    try:
        ok = measure(hub, options.jobs)
    finally:
        hub.stop()
        shutil.rmtree(folder, ignore_errors=True)
    for count in options.apscheduler:
        answer = subprocess.run([sys.executable, "-c", LIBRARY, str(count)], capture_output=True, text=True, check=True)
        print(f"APScheduler, {count} jobs: {json.loads(answer.stdout)}")
    sys.exit(0 if ok else 1)


def measure(hub: Hub, count: int) -> bool:
    source = hub.client.post("/api/agents", {"name": "source"})["id"]
    destination = hub.client.post("/api/agents", {"name": "destination"})["id"]
    began = time.monotonic()
    due = datetime.now(UTC) + timedelta(seconds=45 + count / 30)
    for number in range(count):
        fields = f"{due.second} {due.minute} {due.hour} * * *"
        hub.job(source, "/in", destination, f"/out/{number}", name=f"job-{number}", schedule=fields)
    print(f"{count} jobs made in {time.monotonic() - began:.1f} s")
    fire = due.replace(microsecond=0)
    if datetime.now(UTC) >= fire:
        raise SystemExit("making the jobs took longer than expected: try again")
    # The worst of making the jobs is forgotten after 30 s.
    while datetime.now(UTC) < fire - timedelta(seconds=1):
        time.sleep(0.1)
    database = connect(hub)
    database.autocommit = True
    wait_for("every run", lambda: one(database, "SELECT count(*) FROM runs")[0] >= count, 60)
    wait_for(
        "every run to have begun",
        lambda: one(database, "SELECT count(*) FROM runs WHERE status = 'queued'")[0] == 0,
        60,
    )
    begun = (datetime.now(UTC) - fire).total_seconds()
    total, different, last = one(
        database,
        "SELECT count(*), count(DISTINCT (job_id, fire_time)), extract(epoch FROM max(created_at) - min(fire_time)) FROM runs",
    )
    print(
        f"{total} runs for {different} fire times; the last was made {last:.2f} s after it was due, all waited for agents after {begun:.2f} s"
    )
    print(f"the loop was late by at most {held(hub) * 1e3:.0f} ms meanwhile")
    return bool(total == different == count and last <= LIMIT_S)


def one(database: Any, sql: str) -> tuple[Any, ...]:
    with database.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    assert row is not None
    return tuple(row)


def held(hub: Hub) -> float:
    """The longest that the hub's loop was held up in the last 15 to 30 s, in seconds."""
    headers = {"Authorization": f"Bearer {hub.client.token}"}
    answer = requests.get(f"{hub.client.url}/metrics", headers=headers, timeout=10)
    answer.raise_for_status()
    lines = [line for line in answer.text.splitlines() if line.startswith("fileflux_loop_lag_seconds ")]
    return float(lines[0].rpartition(" ")[2])


def connect(hub: Hub) -> Any:
    """To the hub's embedded PostgreSQL."""
    folder = hub.folder / "hub"
    socket_dir = next(folder.rglob(".s.PGSQL.*")).parent
    password = (folder / "postgres-password").read_text().strip()
    return psycopg2.connect(host=str(socket_dir), user="fileflux", password=password, dbname="postgres")


if __name__ == "__main__":
    main()
