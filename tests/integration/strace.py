"""Attaches strace to running processes: records their system calls, makes chosen ones fail, and reads the record."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from tests.integration.harness import Process, wait_for

_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)", re.DOTALL)
_CALL = re.compile(r"(?P<name>\w+)\((?P<args>.*)\) += (?P<result>\?|-?\d+)(?P<after>.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
# Of a socket's addresses this takes the first.
_HANDLE = re.compile(r"(?:\d+|AT_FDCWD)<([^>]*)>")
_TEXT = 0x81


def require() -> None:
    """Skip the test where processes cannot be traced; fail it there in CI, where that would hide what the test is for."""
    problem = "strace is not installed"
    if shutil.which("strace"):
        # A sibling, as in the tests: some systems let a process trace its own children only.
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as traced:
            command = ["strace", "-f", "-p", str(traced.pid)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
                assert tracer.stderr is not None
                said = tracer.stderr.readline().strip()
                tracer.terminate()
        problem = "" if said.endswith("attached") else f"strace cannot attach: {said}"
    if problem and os.environ.get("CI"):
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call. ``begin`` and ``end`` are places in the record: what ended before another began comes before it."""

    pid: int
    name: str
    args: str
    result: int | None
    """None when the process died in it."""
    begin: int
    end: int
    injected: bool

    @property
    def ok(self) -> bool:
        return self.result is not None and self.result >= 0

    @property
    def strings(self) -> list[bytes]:
        return [_unescape(found) for found in _STRING.findall(self.args)]

    @property
    def path(self) -> str:
        """Where the call's handle leads to; of two, the one that is written to."""
        if self.name == "copy_file_range":
            return _HANDLE.findall(self.args)[1]
        found = _HANDLE.match(self.args)
        return found[1] if found else ""

    @property
    def offset(self) -> int:
        """Where pwrite64 and copy_file_range write."""
        if self.name == "copy_file_range":
            return int(re.findall(r"\[(\d+)", self.args)[1])
        return self.numbers[-1]

    @property
    def paths(self) -> list[str]:
        """The path of each (handle, name) pair, or of each name alone."""
        handles = _HANDLE.findall(_STRING.sub('""', self.args))
        names = [os.fsdecode(name) for name in self.strings]
        folders = handles if len(handles) == len(names) else [""] * len(names)
        return [os.path.normpath(os.path.join(folder, name)) for folder, name in zip(folders, names, strict=True)]

    @property
    def numbers(self) -> list[int]:
        """The numbers after the last string."""
        return [int(word) for word in self.args.rpartition('"')[2].split(",") if word.strip().isdigit()]


def _unescape(literal: str) -> bytes:
    value: bytes = ast.literal_eval("b" + literal)
    return value


class Strace:
    """Use as a context manager: attached inside it, ``calls`` and ``killed`` after it. ``inject`` as in strace's manual."""

    def __init__(
        self, log: Path, pids: Sequence[int], calls: Sequence[str], inject: Sequence[str] = (), text: int = 64
    ) -> None:
        self._log = log
        self._pids = pids
        # ``?``: not every processor has every call.
        self._command = [
            "strace",
            "-f",
            "-yy",
            "-s",
            str(text),
            "-o",
            str(log),
            "-e",
            "trace=" + ",".join(f"?{name}" for name in calls),
        ]
        for rule in inject:
            self._command += ["-e", f"inject={rule}"]
        for pid in pids:
            self._command += ["-p", str(pid)]
        self._process: Process | None = None

    def __enter__(self) -> Self:
        said = self._log.with_suffix(".stderr")
        process = self._process = Process(self._command, said, {})

        def attached() -> bool:
            assert process.popen.poll() is None, said.read_text()
            return all(f"Process {pid} attached" in said.read_text() for pid in self._pids)

        wait_for("strace to attach", attached, 10)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Detach; no effect the second time.

        strace looks whether it was told to end and then waits for its processes, not in one step: a signal between the two is not noticed
        as long as nothing happens to them. The kernel detaches them from a strace that is killed.
        """
        assert self._process is not None
        popen = self._process.popen
        if popen.poll() is None:
            popen.terminate()
            try:
                popen.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()

    @property
    def text(self) -> str:
        return self._log.read_text(errors="surrogateescape") if self._log.exists() else ""

    @property
    def struck(self) -> bool:
        """The injection has taken place."""
        return "(INJECTED)" in self.text or "+++ killed by SIGKILL +++" in self.text

    def calls(self) -> list[Call]:
        """Every recorded call in the order in which they began."""
        return list(_parse(self.text.splitlines()))


def _parse(lines: list[str]) -> Iterator[Call]:
    begun: dict[int, tuple[int, str]] = {}
    calls: list[Call] = []
    for number, line in enumerate(lines):
        found = _LINE.fullmatch(line)
        assert found, line[:200]
        pid, rest = int(found["pid"]), found["rest"]
        begin = number
        if rest.endswith(_UNFINISHED):
            begun[pid] = number, rest.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.match(rest):
            # One that was going on when strace came has no beginning.
            begin, first = begun.pop(pid, (number, ""))
            rest = first + rest[resumed.end() :]
        if call := _CALL.fullmatch(rest):
            result = None if call["result"] == "?" else int(call["result"])
            injected = "(INJECTED)" in call["after"]
            calls.append(Call(pid, call["name"], call["args"], result, begin, number, injected))
    return iter(sorted(calls, key=lambda call: call.begin))


def sent_by(calls: Sequence[Call], pid: int, kind: str) -> Iterator[tuple[Call, bytearray]]:
    """For each send of ``pid`` over sockets of a kind (``TCP``, ``UNIX-STREAM``): the call, and what that socket sent and was not taken yet.

    The caller deletes what it has taken from the front.
    """
    streams: dict[str, bytearray] = {}
    for call in calls:
        if call.pid == pid and call.name in ("sendto", "write") and call.ok and call.path.startswith(kind):
            assert '"...' not in call.args, "the record is cut"
            stream = streams.setdefault(call.path, bytearray())
            stream += call.strings[0][: call.result]
            yield call, stream


def websocket_messages(calls: Sequence[Call], pid: int) -> Iterator[tuple[Call, dict[str, Any]]]:
    """The text messages that a WebSocket client sent, each with the call that sent its end. The record must begin between two frames."""
    for call, stream in sent_by(calls, pid, "TCP"):
        while (frame := _client_frame(stream)) is not None:
            opcode, payload, size = frame
            del stream[:size]
            if opcode == _TEXT:
                yield call, json.loads(payload)


def _client_frame(stream: bytearray) -> tuple[int, bytes, int] | None:
    """First byte, unmasked payload and size of the frame at the front; None while it is not whole."""
    if len(stream) < 2:
        return None
    assert stream[1] & 0x80, "a client masks its frames"
    length, start = stream[1] & 0x7F, 2
    if length >= 126:
        start = 4 if length == 126 else 10
        length = int.from_bytes(stream[2:start], "big")
    end = start + 4 + length
    if len(stream) < end:
        return None
    mask = bytes(stream[start : start + 4])
    payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(stream[start + 4 : end]))
    return stream[0], payload, end


def worker_requests(calls: Sequence[Call], pid: int) -> Iterator[tuple[Call, dict[str, Any]]]:
    """What a process asked of its workers, each with the call that sent its end."""
    for call, stream in sent_by(calls, pid, "UNIX"):
        while len(stream) >= 4:
            (length,) = struct.unpack_from("!I", stream)
            if len(stream) < 4 + length:
                break
            yield call, json.loads(stream[4 : 4 + length])
            del stream[: 4 + length]
