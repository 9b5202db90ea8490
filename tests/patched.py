"""pytest in a process whose standard library is cooperative, as the hub's server process and the agent are: ``python -m tests.patched <arguments>``."""

from __future__ import annotations

from fileflux.actors.kernel import runtime

runtime.patch()

import sys  # noqa: E402  # after the patch

import pytest  # noqa: E402  # after the patch

if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[1:]))
