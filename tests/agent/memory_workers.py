"""Workers without processes and disks for tests: they really hash, pack and copy bytes, in an order that the test decides."""

from __future__ import annotations

import hashlib

from xxhash import xxh3_128

from fileflux.errors import TransferError, WorkerDiedError
from fileflux.protocol.frames import FrameHeader, chunk_length, parse_frame_header, total_chunks
from fileflux.protocol.limits import HEADER_SIZE


class Disk:
    """What one machine holds. ``unsynced``: chunk writes that a power cut would lose."""

    def __init__(self):
        self.files = {}
        self.parts = {}
        self.unsynced = {}
        self.renames = []


class MemoryWorkers:
    """Tasks wait in ``waiting`` until ``step``. Tasks of one key keep their order."""

    def __init__(self, disk, memory, post):
        self.disk = disk
        self.memory = memory
        self.post = post
        self.waiting = []
        self.log = []
        self.open = set()
        self.die_next = 0
        self.fail = {}
        self.corrupt_writes = 0

    def submit(self, key, task, args, done, beside=""):
        self.waiting.append((key, task, args, done))

    def broadcast(self, task, args):
        self.waiting.append(("*", task, args, lambda value, error: None))

    def step(self, random):
        """Run one task that may run now; False when none waits."""
        if not self.waiting:
            return False
        firsts, seen = [], set()
        for entry in self.waiting:
            if entry[0] not in seen and (entry[0] != "*" or entry is self.waiting[0]):
                firsts.append(entry)
            seen.add(entry[0])
            if entry[0] == "*":
                break
        entry = random.choice(firsts)
        self.waiting.remove(entry)
        _, task, args, done = entry
        self.log.append((task, args))
        if self.die_next and task not in ("source_close", "sink_close"):
            self.die_next -= 1
            if random.random() < 0.5:
                self._value(task, args)
            self.post(lambda: done(None, WorkerDiedError("gone")))
            return True
        value, error = self._value(task, args)
        self.post(lambda: done(value, error))
        return True

    def _value(self, task, args):
        if task in self.fail:
            return None, self.fail.pop(task)
        try:
            return getattr(self, task)(**args), None
        except TransferError as error:
            return None, error

    def _slot(self, slot):
        return self.memory[slot[0] : slot[0] + slot[1]]

    # Source

    def source_open(self, wire, path, name, chunk_size, **rest):
        data = self.disk.files.get(name)
        if data is None:
            raise TransferError("no such file", code="not_found")
        self.open.add(("source", wire))
        handle = {"name": name, "chunk": chunk_size}
        return {"handle": handle, "size": len(data), "mtime_ns": 5, "mode": 0o644, "identity": "id", "allocated": None}

    def source_chunk(self, wire, handle, index, have, compression, effort, slot):
        data = self.disk.files[handle["name"]]
        size = handle["chunk"]
        chunk = data[index * size : (index + 1) * size]
        sha = hashlib.sha256(chunk).digest()
        times = {"read": 1, "hash": 1, "compress": 1}
        if have == sha.hex():
            return {"sha": have, "size": len(chunk), "same": True, "frame": 0, "compression": "none", "times": times}
        header = FrameHeader(wire, index, total_chunks(len(data), size), sha, len(chunk), len(chunk), 0)
        frame = header.pack() + chunk
        self._slot(slot)[: len(frame)] = frame
        return {
            "sha": sha.hex(),
            "size": len(chunk),
            "same": False,
            "frame": len(frame),
            "compression": "none",
            "times": times,
        }

    def source_compare(self, wire, handle, first, count):
        data, size = self.disk.files[handle["name"]], handle["chunk"]
        chunks = (data[index * size : (index + 1) * size] for index in range(first, first + count))
        hashes = b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)
        return {"hashes": hashes.hex(), "times": {"read": 1, "hash": 1}}

    def source_hash(self, wire, handle, upto):
        data = self.disk.files[handle["name"]]
        end = upto == total_chunks(len(data), handle["chunk"])
        return {"position": upto, "sha256": hashlib.sha256(data).hexdigest() if end else None}

    def source_check(self, wire, handle):
        return {}

    def source_close(self, wire):
        self.open.discard(("source", wire))
        return {}

    # Destination

    def sink_open(self, wire, name, part, size, chunk_size, conflict, attempt, have, **rest):
        state, basis, count = "new", None, 0
        if part in self.disk.parts:
            state, basis = "resume", "part"
            count = len(self.disk.parts[part]) // chunk_size if have else 0
        elif have and name in self.disk.files:
            basis = "final"
            count = min(size, len(self.disk.files[name])) // chunk_size
        self.disk.parts.setdefault(part, bytearray())
        self.open.add(("sink", wire))
        handle = {"part": part, "name": name, "size": size, "chunk": chunk_size, "basis": basis}
        return {"handle": handle, "state": state, "final_path": "/" + name, "basis": basis, "have_count": count}

    def sink_have(self, wire, handle, first, count):
        held = self.disk.parts[handle["part"]] if handle["basis"] == "part" else self.disk.files[handle["name"]]
        size = handle["chunk"]
        chunks = [bytes(held[index * size : (index + 1) * size]) for index in range(first, first + count)]
        hashes, quick = (b"".join(made(chunk).digest() for chunk in chunks) for made in (hashlib.sha256, xxh3_128))
        return {"hashes": hashes.hex(), "quick": quick.hex()}

    def sink_write(self, wire, handle, slot):
        frame = self._slot(slot)
        header = parse_frame_header(frame)
        data = bytes(frame[HEADER_SIZE:])
        assert header.transfer_id == wire
        assert len(data) == chunk_length(header.index, handle["size"], handle["chunk"])
        if self.corrupt_writes or hashlib.sha256(data).digest() != header.sha256:
            self.corrupt_writes = max(0, self.corrupt_writes - 1)
            return {"nack": "bad_hash", "index": header.index}
        self._put(handle, header.index, data)
        return {"index": header.index, "size": len(data), "sha": header.sha256.hex()}

    def _put(self, handle, index, data):
        part = self.disk.parts[handle["part"]]
        start = index * handle["chunk"]
        if len(part) < start:
            part.extend(bytes(start - len(part)))
        part[start : start + len(data)] = data
        self.disk.unsynced.setdefault(handle["part"], set()).add(index)

    def sink_copy(self, wire, handle, index, quick):
        if handle["basis"] == "final":
            size = handle["chunk"]
            data = self.disk.files[handle["name"]][index * size : (index + 1) * size]
            if xxh3_128(bytes(data)).hexdigest() != quick:
                raise TransferError("changed", code="stale_have")
            self._put(handle, index, data)
        return {}

    def sink_sync(self, wire, handle):
        self.disk.unsynced.pop(handle["part"], None)
        return {}

    def sink_hash(self, wire, handle, upto):
        end = upto == total_chunks(handle["size"], handle["chunk"])
        return {"position": upto, "sha256": self._sha(handle) if end else None}

    def _sha(self, handle):
        return hashlib.sha256(self.disk.parts[handle["part"]]).hexdigest()

    def sink_commit(self, wire, handle, size, file_sha256, ours, attempt, **rest):
        if handle["part"] not in self.disk.parts:
            assert attempt > 1
            return {"sha256": ours, "size": size, "final_path": "/" + handle["name"], "delivered": True}
        assert len(self.disk.parts[handle["part"]]) == size
        assert handle["part"] not in self.disk.unsynced
        assert ours == self._sha(handle)
        self.disk.files[handle["name"]] = bytes(self.disk.parts.pop(handle["part"]))
        self.disk.renames.append(handle["name"])
        return {"sha256": ours, "size": size, "final_path": "/" + handle["name"], "delivered": False}

    def sink_close(self, wire, handle, discard):
        self.open.discard(("sink", wire))
        if discard and handle is not None:
            self.disk.parts.pop(handle["part"], None)
        return {}

    def discard_part(self, directory, part):
        self.disk.parts.pop(part, None)
        return {}
