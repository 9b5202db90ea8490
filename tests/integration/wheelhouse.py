"""Packages that are installed here as wheels again: an installation for which no index is asked, from real packages all the same."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NOT_IN_WHEELS = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})


def fill(folder: Path, root: str) -> list[Path]:
    """A wheel for each package that ``root`` needs, with what they need, but for ``root`` itself."""
    folder.mkdir()
    wanted, seen, made = [Requirement(root)], {canonicalize_name(root)}, []
    while wanted:
        for text in metadata.requires(wanted.pop().name) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if (name := canonicalize_name(requirement.name)) not in seen:
                seen.add(name)
                wanted.append(requirement)
                made.append(_repack(metadata.distribution(name), folder))
    return made


def _repack(distribution: metadata.Distribution, folder: Path) -> Path:
    files = [
        file
        for file in distribution.files or ()
        # Commands and headers lie outside and are made anew by whoever installs.
        if ".." not in file.parts and "__pycache__" not in file.parts and file.name not in NOT_IN_WHEELS
    ]
    (info,) = {file.parts[0] for file in files if file.parts[0].endswith(".dist-info")}
    described = distribution.read_text("WHEEL") or ""
    tags = [line.removeprefix("Tag: ").split("-") for line in described.splitlines() if line.startswith("Tag: ")]
    tag = "-".join(".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))
    path = folder / f"{info.removesuffix('.dist-info')}-{tag}.whl"
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            content = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.writerow((file.as_posix(), f"sha256={digest}", len(content)))
            archive.writestr(file.as_posix(), content)
        rows.writerow((f"{info}/RECORD", "", ""))
        archive.writestr(f"{info}/RECORD", record.getvalue())
    return path
