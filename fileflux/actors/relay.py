"""Routes frames from sources to destinations, keeps windows and the byte budget, records acknowledgements.

Control messages come through the mailbox. Data does not: ``receive_binary`` is called by the pump with every binary message of every
agent, looks at its header only and queues it on the destination's link. It never yields, so mailbox and pump never see each
other's half-done work. What one mailbox hop a piece would cost is measured by ``scripts/bench/relay.py``.
"""

from __future__ import annotations

from fileflux.actors import messages as a
from fileflux.actors.grants import Attempt, Grants
from fileflux.actors.hub_check import HubCheck
from fileflux.actors.kernel.actor import Actor, Cancellable
from fileflux.actors.session_port import SessionPort, SharedReceipt
from fileflux.actors.stream import Stream
from fileflux.clock import Clock
from fileflux.errors import RemoteProtocolError
from fileflux.jobs.bottleneck import Bottleneck
from fileflux.metrics import Traffic
from fileflux.protocol import messages as m
from fileflux.protocol.cutting import cut_binary
from fileflux.protocol.frames import HavePage, Piece, WholeFrame, iter_binary
from fileflux.protocol.limits import Limits
from fileflux.protocol.link import Buffer

REPORT_INTERVAL = 0.25
"""Seconds between two progress reports of a transfer to its run."""
SAMPLE_EVERY = 64
"""``hub_check: sample`` looks at one chunk in so many, counted over index and wire id so that small files have their turn."""


Spoken = m.TransferAccept | m.TransferComplete | m.TransferErrorMessage | m.BundleAccept | m.BundleComplete
SpokenItem = (
    m.TransferAcceptItem | m.TransferCompleteItem | m.TransferErrorItem | m.BundleAcceptItem | m.BundleCompleteItem
)


class Relay(Actor[a.RelayMessage]):
    """One per hub. Bounded by ``relay_budget`` and by the number of open attempts, which the runs bound."""

    mailbox_size = 20_000

    def __init__(self, limits: Limits, clock: Clock, check: HubCheck, traffic: Traffic | None = None) -> None:
        super().__init__()
        self._traffic = traffic or Traffic()
        self._limits = limits
        self._clock = clock
        self._check = check
        self._attempts: dict[int, Attempt] = {}
        self._last_wire_id = 0
        self._grants = Grants(limits, self._attempts, clock, self._serve_in)
        self._round: Cancellable | None = None

    def on_start(self) -> None:
        self._check.bind(self.ref)
        self.after(self._limits.slow_destination_after / 2, a.Tick())

    def receive(self, message: a.RelayMessage) -> None:
        match message:
            case a.FromAgent():
                self._from_agent(message)
            case a.OpenAttempt():
                self._open_attempt(message)
            case a.OpenRoute():
                self._open_route(message)
            case a.StartRoute():
                self._expect_have(message)
            case a.Relink():
                self._relink(message.wire_id)
            case a.CloseAttempt():
                self._close(message.wire_id)
            case a.ChunkChecked():
                self._checked(message)
            case a.SetLimits():
                self._grants.set_limits(message)
            case a.Tick("serve"):
                self._grants.pacing.serve()
            case a.Tick():
                self._grants.find_slow(self._clock.monotonic())
                self.after(self._limits.slow_destination_after / 2, a.Tick())

    @property
    def bytes_held(self) -> int:
        """Bytes of pieces that came from sources and are not yet in a destination's socket."""
        streams = (attempt.stream for attempt in self._attempts.values())
        return sum(stream.received - stream.drained for stream in streams if stream is not None)

    def held_back(self, wire_id: int) -> bool:
        """Whether the attempt waits for bandwidth, or did a moment ago; for display."""
        attempt = self._attempts.get(wire_id)
        return attempt is not None and self._grants.held_back(attempt)

    def bottleneck(self, wire_id: int) -> Bottleneck | None:
        """What the attempt waits for most; for display. None when too little is known."""
        attempt = self._attempts.get(wire_id)
        if attempt is None:
            return None
        return "limit" if self._grants.held_back(attempt) else attempt.stages.verdict(self._clock.monotonic())

    def chunks(self, wire_id: int, first: int, count: int) -> list[str] | None:
        """How each of these chunks is now, for display; None when the attempt is not open or its size is not known."""
        attempt = self._attempts.get(wire_id)
        return None if attempt is None or attempt.stream is None else attempt.stream.chunks(first, count)

    # The data plane

    def receive_binary(self, port: SessionPort, data: Buffer) -> None:
        """One binary message of the agent behind ``port``.

        Raises RemoteProtocolError; its ``close`` says whether the link can go on. Items before a bad one count.
        """
        for item in iter_binary(data, self._limits):
            match item:
                case Piece():
                    self._piece(port, item, data)
                case WholeFrame():
                    self._frame(port, item)
                case HavePage():
                    self._have_page(port, item, data)

    def _piece(self, port: SessionPort, piece: Piece, data: Buffer) -> None:
        attempt = self._attempt_of(port, piece.transfer_id, "source")
        if attempt is None:
            return
        stream = self._stream_of(attempt)
        try:
            header = stream.take_piece(piece)
        except RemoteProtocolError as error:
            self._spoiled(attempt, error)
            raise
        if piece.offset == 0 and piece.header is not None:
            self._check.begin(attempt.wire_id, piece.header, self._wanted(attempt, piece.index))
        self._check.add(attempt.wire_id, piece.index, piece.data)
        self._forward(attempt, stream, data, len(piece.data))
        if header is not None:
            self._check.complete(attempt.wire_id, piece.index)

    def _frame(self, port: SessionPort, item: WholeFrame) -> None:
        attempt = self._attempt_of(port, item.header.transfer_id, "source")
        if attempt is None:
            return
        stream = self._stream_of(attempt)
        try:
            stream.take_frame(item.header)
        except RemoteProtocolError as error:
            self._spoiled(attempt, error)
            raise
        index = item.header.index
        self._check.begin(attempt.wire_id, item.header, self._wanted(attempt, index))
        self._check.add(attempt.wire_id, index, item.frame)
        self._check.complete(attempt.wire_id, index)
        self._forward(attempt, stream, item.frame, len(item.frame))

    def _have_page(self, port: SessionPort, page: HavePage, data: Buffer) -> None:
        attempt = self._attempt_of(port, page.transfer_id, "destination")
        if attempt is None:
            return
        stream = self._stream_of(attempt)
        count = len(page.hashes) // 32
        if stream.started or page.first != stream.have_seen or page.first + count > stream.total:
            raise RemoteProtocolError("have page out of place", code="bad_have")
        stream.have_seen += count
        if attempt.source.link is not None:
            attempt.source.link.send_binary(data, tag=attempt.wire_id, cut=cut_binary)
        if stream.have_expected is not None and stream.have_seen == stream.have_expected:
            self._grants.admit(attempt, self._stream_of(attempt))

    def _forward(self, attempt: Attempt, stream: Stream, data: Buffer, length: int) -> None:
        self._traffic.bytes_relayed += length
        link = attempt.destination.link
        if link is None:
            stream.sent_on(length)
            self._grants.budget.update(stream)
            return
        attempt.last_drain = attempt.last_drain or self._clock.monotonic()

        def sent() -> None:
            stream.sent_on(length)
            self._grants.budget.update(stream)
            attempt.last_drain = 0.0 if stream.drained == stream.received else self._clock.monotonic()
            if self._attempts.get(attempt.wire_id) is attempt:
                self._grants.grant(attempt)
            self._grants.feed_hungry()

        link.send_binary(data, tag=attempt.wire_id, on_sent=sent, cut=cut_binary)

    def _wanted(self, attempt: Attempt, index: int) -> str | None:
        if attempt.hub_check == "off":
            return None
        stream = attempt.stream
        refused = stream is not None and index in stream.nacks
        if attempt.hub_check == "all" or refused:
            return "all"
        return "sample" if (index + attempt.wire_id) % SAMPLE_EVERY == 0 else None

    def _attempt_of(self, port: SessionPort, wire_id: int, role: m.Role) -> Attempt | None:
        """The open attempt that ``port`` may speak of in ``role``; None for late words about a closed one."""
        attempt = self._attempts.get(wire_id)
        if attempt is None:
            if wire_id > self._last_wire_id:
                raise RemoteProtocolError(
                    f"there is no transfer {wire_id}", code="unknown_transfer", field="transfer_id"
                )
            return None
        expected = attempt.source if role == "source" else attempt.destination
        if expected is port:
            return attempt
        if port in (attempt.source, attempt.destination):
            raise RemoteProtocolError(
                f"only the {role} of transfer {wire_id} may send this", code="wrong_role", field="transfer_id"
            )
        raise RemoteProtocolError(
            f"transfer {wire_id} belongs to others", code="foreign_transfer", field="transfer_id", close=True
        )

    def _stream_of(self, attempt: Attempt) -> Stream:
        if attempt.stream is None:
            raise RemoteProtocolError("data before the transfer is open", code="out_of_place", field="transfer_id")
        return attempt.stream

    def _spoiled(self, attempt: Attempt, error: RemoteProtocolError) -> None:
        """The source sent a frame that cannot be right: without it the transfer would wait for ever."""
        self._tell_run(
            attempt, a.RouteFailed(attempt.token, attempt.wire_id, "protocol", error.message, retryable=False)
        )

    # Control messages about wire ids

    def _from_agent(self, message: a.FromAgent) -> None:
        body = message.message
        try:
            match body:
                case m.ChunkAck():
                    for item in body.items:
                        self._acked(message.port, item)
                case m.ChunkNack():
                    for nack in body.items:
                        self._nacked(message.port, nack)
                case m.ChunkSame():
                    for item in body.items:
                        self._same(message.port, item)
                case m.TransferProgress():
                    for progress in body.items:
                        self._progressed(message.port, progress)
                case _ if isinstance(body, Spoken):
                    self._to_runs(message, body)
                    return
                case _:
                    pass
        except RemoteProtocolError as error:
            message.port.post(a.Violation(None, error.code, error.message, error.close))
        message.receipt.done()

    def _to_runs(self, message: a.FromAgent, body: Spoken) -> None:
        receipt = SharedReceipt(message.receipt, len(body.items))
        for item in body.items:
            try:
                attempt, role = self._speaking(message.port, item)
            except RemoteProtocolError as error:
                message.port.post(a.Violation(None, error.code, error.message, error.close))
                attempt = None
            if attempt is None:
                receipt.done()
            else:
                self._tell_run(attempt, a.TransferSaid(attempt.token, attempt.wire_id, role, item, receipt))

    def _speaking(self, port: SessionPort, item: SpokenItem) -> tuple[Attempt | None, m.Role]:
        """The attempt that ``item`` is about, if it is open, and as which of its ends the agent speaks. Raises RemoteProtocolError.

        An agent that is both has to say it. If it does not, the transfer fails: without the item it would wait for ever.
        """
        attempt = self._attempts.get(item.transfer_id)
        role = item.role or ("destination" if attempt is not None and attempt.destination is port else "source")
        found = self._attempt_of(port, item.transfer_id, role)
        if found is not None and item.role is None and found.source is found.destination:
            error = RemoteProtocolError(
                f"transfer {item.transfer_id} has one agent at both ends: say the role in each item",
                code="wrong_role",
                field="role",
            )
            self._spoiled(found, error)
            raise error
        return found, role

    def _progressed(self, port: SessionPort, item: m.TransferProgressItem) -> None:
        attempt = self._attempts.get(item.transfer_id)
        if attempt is not None and attempt.stream is not None and port in (attempt.source, attempt.destination):
            queued = attempt.stream.received - attempt.stream.drained
            attempt.stages.told(item.times, queued, self._clock.monotonic())

    def _acked(self, port: SessionPort, item: m.ChunksItem) -> None:
        attempt = self._attempt_of(port, item.transfer_id, "destination")
        if attempt is None:
            return
        stream = self._stream_of(attempt)
        for first, last in item.chunks:
            counted, wrong = self._check.countable(attempt.wire_id, first, last)
            for ack_first, ack_last in counted:
                stream.acknowledge(ack_first, ack_last)
                attempt.fresh_acks.append((ack_first, ack_last))
            for index, reason in wrong:
                if index in stream.frames:
                    self._request_again(attempt, index, stream.refuse(index), reason)
        self._after_ack(attempt, stream)

    def _after_ack(self, attempt: Attempt, stream: Stream) -> None:
        self._grants.changed(attempt, stream)
        self._grants.grant(attempt)
        self._grants.admit_waiting(attempt.destination.agent_id)
        now = self._clock.monotonic()
        if stream.done and not stream.complete_reported:
            stream.complete_reported = True
            self._report(attempt, stream, done=True)
        elif now - attempt.reported_at >= REPORT_INTERVAL:
            attempt.reported_at = now
            self._report(attempt, stream, done=False)

    def _nacked(self, port: SessionPort, item: m.ChunkNackItem) -> None:
        attempt = self._attempt_of(port, item.transfer_id, "destination")
        if attempt is None:
            return
        stream = self._stream_of(attempt)
        times = stream.refuse(item.index)
        self._grants.changed(attempt, stream)
        self._request_again(attempt, item.index, times, item.reason)
        self._grants.grant(attempt)

    def _request_again(self, attempt: Attempt, index: int, times: int, reason: str) -> None:
        self._traffic.chunks_refused += 1
        if times > self._limits.nack_max:
            where = self._check.verdict(attempt.wire_id, index)
            text = f"chunk {index} was refused {times} times ({reason}); {where}"
            self._tell_run(attempt, a.RouteFailed(attempt.token, attempt.wire_id, "corrupt", text, retryable=False))
            return
        attempt.source.post(a.PostItem(m.ChunkRequest, m.ChunkRequestItem(attempt.wire_id, index)))

    def _same(self, port: SessionPort, item: m.ChunksItem) -> None:
        attempt = self._attempt_of(port, item.transfer_id, "source")
        if attempt is None:
            return
        stream = self._stream_of(attempt)
        try:
            for first, last in item.chunks:
                stream.same(first, last)
        except RemoteProtocolError as error:
            self._spoiled(attempt, error)
            raise
        attempt.destination.post(a.PostItem(m.ChunkSame, item))

    def _checked(self, message: a.ChunkChecked) -> None:
        attempt = self._attempts.get(message.wire_id)
        held = self._check.finished(message.wire_id, message.index, ok=message.ok, reason=message.reason)
        if attempt is None or attempt.stream is None:
            return
        stream = attempt.stream
        if not message.ok:
            text = f"chunk {message.index} of transfer {message.wire_id}: {message.reason}"
            attempt.source.post(a.Violation(None, "bad_chunk", text, close=False))
            if held and message.index in stream.frames:
                # The destination took what the hub found to be wrong: it counts as refused.
                times = stream.refuse(message.index)
                self._request_again(attempt, message.index, times, message.reason)
        elif held and message.index in stream.frames:
            stream.acknowledge(message.index, message.index)
            attempt.fresh_acks.append((message.index, message.index))
            self._after_ack(attempt, stream)

    # Routes

    def _open_attempt(self, message: a.OpenAttempt) -> None:
        ends = (message.run, message.token, message.source, message.destination)
        attempt = Attempt(message.wire_id, *ends, message.hub_check, message.job_id, message.job)
        self._attempts[message.wire_id] = attempt
        self._last_wire_id = max(self._last_wire_id, message.wire_id)
        self._grants.find_path(attempt)

    def _open_route(self, message: a.OpenRoute) -> None:
        attempt = self._attempts.get(message.wire_id)
        if attempt is not None:
            weight = self._grants.pacing.job(attempt.job_id, attempt.job).priority
            attempt.stream = Stream(message.wire_id, message.size, message.chunk_size, message.total_chunks, weight)

    def _expect_have(self, message: a.StartRoute) -> None:
        attempt = self._attempts.get(message.wire_id)
        if attempt is None or attempt.stream is None:
            return
        attempt.stream.have_expected = message.have_count
        if attempt.stream.have_seen == message.have_count:
            self._grants.admit(attempt, self._stream_of(attempt))

    def _relink(self, wire_id: int) -> None:
        attempt = self._attempts.get(wire_id)
        if attempt is None or attempt.stream is None or not attempt.stream.started:
            return
        stream = attempt.stream
        for port in (attempt.source, attempt.destination):
            if port.link is not None:
                port.link.drop(wire_id)
        self._check.forget(wire_id)
        received = stream.relink()
        self._grants.regrant(attempt, stream)
        acked = stream.acked.to_tuple(8192)
        item = m.TransferResumeItem(wire_id, acked=acked, received=received, up_to=stream.up_to)
        attempt.destination.post(a.PostItem(m.TransferResume, item))
        attempt.source.post(a.PostItem(m.TransferResume, item))
        self._grants.grant(attempt)

    def _close(self, wire_id: int) -> None:
        attempt = self._attempts.pop(wire_id, None)
        if attempt is None:
            return
        self._check.forget(wire_id)
        for port in (attempt.source, attempt.destination):
            if port.link is not None:
                port.link.drop(wire_id)
        self._grants.close(attempt)

    def _report(self, attempt: Attempt, stream: Stream, *, done: bool) -> None:
        report = a.RouteMoved(
            attempt.token,
            attempt.wire_id,
            stream.acked.count,
            stream.bytes_done(),
            stream.bytes_wire,
            stream.reused,
            stream.compression,
            done,
        )
        self._tell_run(attempt, report)

    def _serve_in(self, seconds: float) -> None:
        if self._round is not None:
            self._round.cancel()
        self._round = self.after(seconds, a.Tick("serve"))

    def _tell_run(self, attempt: Attempt, message: a.RunMessage) -> None:
        if not attempt.run.tell(message):
            # The run is gone or drowning; it rebuilds from the store when it comes back.
            self._close(attempt.wire_id)
