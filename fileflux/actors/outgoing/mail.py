"""Mails to a relay that the operator named. Headers are built from texts that were made harmless first; the body is plain text."""

from __future__ import annotations

import re
import smtplib
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Final

from fileflux.actors.kernel.tls import TlsError
from fileflux.actors.outgoing.reach import Reach, explain
from fileflux.jobs import notice_text
from fileflux.storage.deliveries import Batch, Delivery, Outcome
from fileflux.storage.notifications import MailSettings

_HELLO: Final = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 15.0
"""For each answer of the relay; the notifier bounds the whole."""
_SAID_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail and the deliveries that it makes."""

    message: EmailMessage
    deliveries: tuple[Delivery, ...]


class MailClient:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def send(self, batch: Batch, settings: MailSettings, site: str) -> list[Outcome]:
        """One outcome for each delivery of the batch, over one connection; never raises for anything that a relay does."""
        mails = compose(batch, settings, site, self._now())
        outcomes: list[Outcome] = []
        try:
            with _Relay(self._reach, settings) as relay:
                for mail in mails:
                    outcomes += [_deliver(relay, mail, settings, batch.addresses)] * len(mail.deliveries)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            failed = Outcome(ok=False, error=_why(error))
            outcomes += [failed] * (len(batch.deliveries) - len(outcomes))
        return outcomes

    def _now(self) -> str:
        return format_datetime(self._reach.clock.utc_now())


def compose(batch: Batch, settings: MailSettings, site: str, date: str) -> list[Mail]:
    """A mail for each of the first deliveries, and one for all the others."""
    alone, rest = batch.deliveries[: batch.single], batch.deliveries[batch.single :]
    mails = []
    for one in alone:
        subject = notice_text.subject(site, one.notice)
        text = notice_text.text(one.notice, settings.hub_url)
        mails.append(Mail(_message(batch, settings, date, subject, text, one), (one,)))
    if rest:
        subject = notice_text.digest_subject(site, len(rest))
        text = notice_text.digest_text([one.notice for one in rest])
        mails.append(Mail(_message(batch, settings, date, subject, text, rest[0]), rest))
    return mails


def _message(batch: Batch, settings: MailSettings, date: str, subject: str, text: str, first: Delivery) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.sender
    message["To"] = ", ".join(batch.addresses)
    message["Subject"] = subject
    message["Date"] = date
    # The same at every attempt: a mail that the relay took before the connection broke is recognised.
    message["Message-ID"] = f"<{first.message_id}.{first.id}@fileflux.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, charset="utf-8", cte="quoted-printable")
    return message


def _deliver(relay: smtplib.SMTP, mail: Mail, settings: MailSettings, addresses: Sequence[str]) -> Outcome:
    try:
        refused = relay.send_message(mail.message, settings.sender, list(addresses))
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException as error:
        with suppress(smtplib.SMTPException):
            relay.rset()
        return Outcome(ok=False, error=_why(error))
    return Outcome(ok=True, answer="not to " + ", ".join(sorted(refused)) if refused else "")


class _Relay(smtplib.SMTP):
    """Logged in. What smtplib would look up by itself, and connect to, goes through ``reach``."""

    def __init__(self, reach: Reach, settings: MailSettings) -> None:
        self._reach = reach
        self._secure = settings.security == "tls"
        if not settings.host:
            raise ValueError("no mail relay is set; see `fileflux notifications mail`")
        super().__init__(settings.host, settings.port, local_hostname=_own_name(), timeout=_ANSWER_S)
        try:
            if settings.security == "starttls":
                self.starttls(context=reach.context())
            if settings.user:
                self.login(settings.user, settings.password)
        except BaseException:
            self.close()
            raise

    # typeshed hides it; smtplib's own SMTP_SSL is made in the same way.
    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        deadline = self._reach.clock.monotonic() + _CONNECT_S
        sock = self._reach.connect(host, port, wait=_CONNECT_S, deadline=deadline)
        sock.settimeout(timeout)
        if not self._secure:
            return sock
        try:
            return self._reach.context().wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise


def _own_name() -> str:
    """Of this machine, as it is set; smtplib would ask the name servers."""
    name = socket.gethostname()
    return name if _HELLO.fullmatch(name) else "localhost"


def _why(error: Exception) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return "the relay does not take this user and password"
        case smtplib.SMTPRecipientsRefused():
            code, said = next(iter(error.recipients.values()))
            return f"the relay takes none of the addresses: {code} {_said(said)}"
        case smtplib.SMTPResponseException():
            return f"the relay answered {error.smtp_code} {_said(error.smtp_error)}"
        case smtplib.SMTPNotSupportedError():
            return "the relay has no STARTTLS or no login; see the mail settings"
        case smtplib.SMTPServerDisconnected():
            return "the relay closed the connection, or did not answer in time"
        case smtplib.SMTPException() | ValueError():
            return notice_text.plain(error, _SAID_MAX)
        case TlsError():
            return f"TLS: {error}"
    return explain(error)


def _said(text: bytes | str) -> str:
    return notice_text.plain(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, _SAID_MAX)
