from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fileflux import file_lock
from fileflux.errors import UnavailableError

pytestmark = pytest.mark.unit


def test_one_at_a_time_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        file_lock.held(path, 5),
        pytest.raises(UnavailableError, match="lock"),
        file_lock.held(path, 0),
    ):
        pytest.fail("two have it")
    with file_lock.held(path, 0):
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold = f"from pathlib import Path\nfrom fileflux import file_lock\nwith file_lock.held(Path({str(path)!r}), 1):\n    print('held', flush=True)\n    input()"
    other = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UnavailableError), file_lock.held(path, 0):
            pytest.fail("two have it")
    finally:
        other.kill()
        other.communicate()
    with file_lock.held(path, 5):
        pass


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"), file_lock.held(tmp_path / "no" / "lock", 0):
        pytest.fail("it cannot be held")
