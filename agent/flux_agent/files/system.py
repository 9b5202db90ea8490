"""This system's implementation of ``handles.py``."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from flux_agent.files.windows import absolute_components, default_mode, join, open_root, own_user
else:
    from flux_agent.files.posix import absolute_components, default_mode, join, open_root, own_user

__all__ = ["absolute_components", "default_mode", "join", "open_root", "own_user"]
