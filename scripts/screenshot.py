"""Runs the demo and writes what its terminal shows to docs/demo.svg, for the README."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from fileflux.demo import Places, Processes, run_demo

TARGET = Path(__file__).resolve().parent.parent / "docs" / "demo.svg"


def main() -> int:
    # Without a terminal the run is told in lines; a bar that is drawn over and over would be recorded as often.
    console = Console(record=True, width=100, force_terminal=False, color_system="truecolor")
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="fileflux-") as folder:
        try:
            code = run_demo(Places(Path(folder)), processes, console, once=True)
        finally:
            processes.stop()
    text = console.export_svg(title="make demo ARGS=--once")
    # The picture asks nobody for fonts: the viewer's own will do.
    text = re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", text, flags=re.DOTALL)
    TARGET.write_text(text.replace(folder, "/srv/fileflux-demo"))
    return code


if __name__ == "__main__":
    sys.exit(main())
