"""Reads of the API at a fixed rate, as many people and scripts at once would do. Run by load.py.

    python load_reads.py URL RATE SECONDS PATH_FILE        (the user's token in FILEFLUX_TOKEN)

PATH_FILE has one path a line; they take turns. Each request has its moment, whether the one before is answered or not, and its time counts from
that moment: a hub that stalls is not spared the requests that would have come. Prints one JSON object: count, errors, p50, p99, max, by path.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 32


def main() -> None:
    url, rate, seconds = urlsplit(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    paths = Path(sys.argv[4]).read_text().split()
    due: queue.Queue[tuple[float, str] | None] = queue.Queue()
    times: dict[str, list[float]] = defaultdict(list)
    failed: list[str] = []
    threads = [threading.Thread(target=ask, args=(url, due, times, failed), daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    began = time.monotonic() + 0.5
    for number in range(int(rate * seconds)):
        moment = began + number / rate
        time.sleep(max(0.0, moment - time.monotonic()))
        due.put((moment, paths[number % len(paths)]))
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join(60)
    everything = [one for path in times.values() for one in path]
    print(
        json.dumps(
            {
                "count": len(everything),
                "seconds": round(time.monotonic() - began, 2),
                "errors": len(failed),
                "first_error": failed[0] if failed else "",
                **percentiles(everything),
                "paths": {path: percentiles(found) for path, found in times.items()},
            }
        )
    )


def ask(
    url: object,
    due: queue.Queue[tuple[float, str] | None],
    times: dict[str, list[float]],
    failed: list[str],
) -> None:
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    headers = {"Authorization": f"Bearer {os.environ['FILEFLUX_TOKEN']}"}
    while (item := due.get()) is not None:
        moment, path = item
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failed.append(f"{path}: {answer.status} {body[:200]!r}")
        except (OSError, http.client.HTTPException) as error:
            failed.append(f"{path}: {error!r}")
            connection.close()
        times[path].append(time.monotonic() - moment)


def percentiles(found: list[float]) -> dict[str, float]:
    """Milliseconds."""
    found = sorted(found) or [0.0]
    return {
        name: round(1000 * found[min(len(found) - 1, int(len(found) * part))], 1)
        for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


if __name__ == "__main__":
    main()
