"""Wakes the scheduler when the next tick is due: one APScheduler job, whatever the number of schedules.

Why not a job per schedule: docs/decisions/0013-scheduler.md. APScheduler waits by the wall clock of this machine, which may jump; so the
actor gives it the time anew at every look of its own timer, which is monotonic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from apscheduler.schedulers.gevent import GeventScheduler
from apscheduler.triggers.base import BaseTrigger

_JOB: Final = "due"


class StoredTimes(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires when the next tick in the database is due, as ``seconds`` says that it is; the ticks themselves follow ``jobs/cron.py``."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.armed = False

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """APScheduler asks once when it is given the time, and once when it has fired: then nothing is known before the actor looked."""
        del previous
        if not self.armed:
            return now + timedelta(days=1)
        self.armed = False
        return now + timedelta(seconds=self.seconds)


class WakeUp:
    """Calls ``wake`` in a greenlet of its own. Call ``start``, then ``after`` as often as the next time is known, and ``stop``."""

    def __init__(self, wake: Callable[[], None]) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._trigger = StoredTimes()
        self._scheduler: Any = GeventScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 10}
        )
        self._wake = wake

    def start(self) -> None:
        self._scheduler.add_job(self._wake, self._trigger, id=_JOB)
        self._scheduler.start()

    def after(self, seconds: float) -> None:
        """Wake in so many seconds, and not at the time given before."""
        self._trigger.seconds, self._trigger.armed = seconds, True
        self._scheduler.reschedule_job(_JOB, trigger=self._trigger)

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)
