"""The agent as a process with real workers and files, against an independent WebSocket server."""

from __future__ import annotations

import hashlib
import os
import queue
import signal
import subprocess
import sys
import time

import pytest

from fileflux.protocol import messages as m
from fileflux.protocol.limits import MIB

from .mini_hub import TOKEN, MiniHub

CHUNK = 1 * MIB


@pytest.fixture
def hub():
    with MiniHub() as hub:
        yield hub


@pytest.fixture
def folders(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def start(hub, folders, tmp_path):
    processes = []

    def begin(token=TOKEN):
        environment = {
            **os.environ,
            "FLUX_AGENT_TOKEN": token,
            "FLUX_AGENT_LIMITS_RECONNECT_INITIAL": "0.1",
            "FLUX_AGENT_LIMITS_RECONNECT_MAX": "0.2",
            "XDG_CONFIG_HOME": str(tmp_path / "conf"),
        }
        log = (tmp_path / "agent.log").open("w")
        command = [sys.executable, "-m", "flux_agent.cli", "run", "--hub", hub.url, "--workers", "2"]
        command += ["--read", str(folders[0]), "--write", str(folders[1])]
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        log.close()
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def request(folders, name, **more):
    return {
        "path": str(folders[0]), "name": name, "target": (str(folders[1]), name), "part": "ab" * 16, "chunk_size": CHUNK, **more,
    }  # fmt: skip


def finish(flow, timeout=30):
    try:
        return flow.result.get(timeout=timeout)
    except queue.Empty:
        raise AssertionError(f"acked {flow.acked} of {getattr(flow, 'total', '?')}") from None


def test_it_connects_tells_about_itself_and_stops_in_order(hub, start, folders):
    process = start()
    info = hub.wait_for(m.AgentInfo)
    assert {root.path for root in info.roots} == {str(folders[0]), str(folders[1])}
    hub.say(m.ConnectionTest("t1"))
    assert hub.wait_for(m.ConnectionTestResult).token == "t1"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def test_a_refused_token_is_told_and_never_logged(hub, start, tmp_path):
    process = start(token="ffx_" + "w" * 43)
    deadline = time.monotonic() + 10
    while "refused_token" not in (tmp_path / "agent.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert "wwww" not in (tmp_path / "agent.log").read_text()


def test_files_of_every_size_arrive_with_every_kind_of_check(hub, start, folders):
    start()
    assert hub.established.wait(10)
    wire_id = 0
    for size in (0, 1, CHUNK, 20 * CHUNK + 3):
        data = os.urandom(size)
        for verify in ("chunks", "full", "reread"):
            wire_id += 1
            name = f"{verify}-{size}"
            (folders[0] / name).write_bytes(data)
            result = finish(hub.transfer(wire_id, **request(folders, name, verify=verify)))
            assert isinstance(result, m.TransferCompleteItem), result
            assert result.file_sha256 == hashlib.sha256(data).hexdigest()
            assert (folders[1] / name).read_bytes() == data
    assert sorted(os.listdir(folders[1])) == sorted(os.listdir(folders[0]))


def test_a_part_and_an_older_file_are_used(hub, start, folders):
    data = bytearray(os.urandom(10 * CHUNK))
    (folders[0] / "f.bin").write_bytes(data)
    start()
    assert hub.established.wait(10)
    assert isinstance(finish(hub.transfer(1, **request(folders, "f.bin"))), m.TransferCompleteItem)
    data[4 * CHUNK] ^= 1
    (folders[0] / "f.bin").write_bytes(data + b"more")
    flow = hub.transfer(2, **request(folders, "f.bin"))
    assert isinstance(finish(flow), m.TransferCompleteItem)
    assert (folders[1] / "f.bin").read_bytes() == data + b"more"
    assert CHUNK < flow.wire_bytes < 2 * CHUNK


def test_a_link_that_is_cut_resumes_where_it_was(hub, start, folders):
    data = os.urandom(300 * MIB)
    (folders[0] / "f.bin").write_bytes(data)
    start()
    assert hub.established.wait(10)
    flow = hub.transfer(1, **request(folders, "f.bin"))
    deadline = time.monotonic() + 20
    while not flow.acked.count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    hub.cut()
    result = finish(flow)
    assert isinstance(result, m.TransferCompleteItem), result
    assert hub.links == 2
    assert flow.wire_bytes <= len(data) + 64 * MIB + 300 * 57
    assert result.file_sha256 == hashlib.sha256(data).hexdigest()
    assert (folders[1] / "f.bin").read_bytes() == data


def test_outside_of_the_roots_nothing_is_read(hub, start, folders, tmp_path):
    (tmp_path / "secret").write_text("x")
    start()
    assert hub.established.wait(10)
    wrong = {**request(folders, "secret"), "path": str(tmp_path)}
    result = finish(hub.transfer(1, **wrong))
    assert isinstance(result, m.TransferErrorItem)
    assert (result.code, result.retryable) == ("outside_roots", False)


def test_many_small_files(hub, start, folders):
    files = {f"{number}.txt": os.urandom(number % 3000) for number in range(200)}
    for name, data in files.items():
        (folders[0] / name).write_bytes(data)
    start()
    assert hub.established.wait(10)
    flows = [
        hub.transfer(number + 1, **{**request(folders, name), "part": f"{number:032x}"})
        for number, name in enumerate(files)
    ]
    for flow in flows:
        assert isinstance(finish(flow), m.TransferCompleteItem)
    assert {path.name: path.read_bytes() for path in folders[1].iterdir()} == files
