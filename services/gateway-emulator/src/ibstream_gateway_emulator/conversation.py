"""What one client says, understood: bytes to requests, requests to answers."""

from __future__ import annotations

from typing import Protocol

import structlog

from ibstream.simulation.sessions import NEW_YORK
from ibstream_gateway_emulator import handlers
from ibstream_gateway_emulator.client import Client, Outlet
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.rate import MessageRate
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.errors import FieldError, ProtocolError
from ibstream_gateway_emulator.protocol.framing import Frame, FrameReader, Hello, Inbound
from ibstream_gateway_emulator.protocol.handshake import VersionError, greeting, negotiate
from ibstream_gateway_emulator.protocol.requests import NO_REQ_ID, StartApi, read_request

_MUTE = frozenset({"accept_silently", "silent_after_handshake", "half_open"})
"""The faults by which a connection falls silent both ways."""

_log = structlog.get_logger(__name__)


class Speaking(Outlet, Protocol):
    """The connection over which a conversation is held."""

    def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are."""
        ...


class Conversation:
    """Supervises one client: whatever it says ends, at worst, its own connection."""

    def __init__(self, gateway: Gateway, connection: Speaking) -> None:
        self._gateway = gateway
        self._connection = connection
        self._reader = FrameReader()
        self._is_senseless = False
        self._rate = MessageRate()
        self._speaker: int | None = None
        self.version = 0
        """The protocol's version, once agreed on."""
        self.client: Client | None = None
        """The client, from startApi until it is taken for gone."""
        self.unheard = ""
        """Why nobody looks at what is said any more: a fault's name, `closed` or `reset`; empty while somebody does."""

    @property
    def is_mute(self) -> bool:
        """Whether what comes is not looked at and nothing is written, by command."""
        return self.unheard in _MUTE

    def end(self, why: str) -> None:
        """Look at nothing that is said from now on; the first reason stays."""
        self.unheard = self.unheard or why

    def hear(self, data: bytes) -> None:
        """Take requests. A stream that makes no sense, or a defect of ours, closes this client alone."""
        if self._is_senseless:
            return
        try:
            for inbound in self._reader.feed(data):
                if self.unheard:
                    self._lose(inbound)
                else:
                    self._take(inbound)
        except ProtocolError as error:
            self._is_senseless = True
            if not self.unheard:
                self._connection.close(str(error))
        except Exception:  # noqa: BLE001 - the supervisor of one client
            self.fail()

    def fail(self) -> None:
        """Close the connection over the exception that is being handled."""
        _log.exception("gateway_emulator.client_failed", client_id=self._speaker)
        self._connection.close("a defect of the emulator")

    def _lose(self, inbound: Inbound) -> None:
        """Nobody looks at what the client says; only of an order the journal knows that it was lost."""
        if isinstance(inbound, Frame) and self._speaker is not None:
            handlers.lose(self._gateway, self._speaker, inbound.fields, self.version, self.unheard)

    def _take(self, inbound: Inbound) -> None:
        match inbound:
            case Hello():
                self._greet(inbound)
            case Frame(fields) if self.client is None:
                self._start(fields)
            case Frame(fields):
                assert self.client is not None  # noqa: S101 - the case above
                self._answer(self.client, fields)

    def _greet(self, hello: Hello) -> None:
        try:
            self.version = negotiate(hello)
        except VersionError as error:
            _log.warning("gateway_emulator.client_without_common_version", reason=str(error))
            raise
        self._connection.send_bytes(greeting(self.version, self._gateway.clock.now().astimezone(NEW_YORK)))

    def _start(self, fields: tuple[str, ...]) -> None:
        """The first message must be startApi: only then is it known whose the connection is."""
        try:
            request = read_request(fields, self.version)
        except FieldError as error:
            raise ProtocolError(f"startApi cannot be read: {error}") from error
        if not isinstance(request, StartApi):
            raise ProtocolError(f"the client must send startApi (71) first, not message {fields[0][:8]}")
        if self._gateway.faults.is_silent_after_handshake(request.client_id):
            self._speaker, self.unheard = request.client_id, "silent_after_handshake"
            return
        client = Client(request.client_id, self._connection)
        objection = self._gateway.join(client)
        if objection is not None:
            self._connection.send([objection.about(NO_REQ_ID)])
            self._connection.close(f"client id {request.client_id}: {objection.text}")
            return
        self.client, self._speaker = client, client.client_id
        _log.info("gateway_emulator.client_joined", client_id=client.client_id, server_version=self.version)
        self._connection.send(self._gateway.welcome(client))

    def _answer(self, client: Client, fields: tuple[str, ...]) -> None:
        gateway = self._gateway
        gateway.journal.heard(gateway.now_ns(), client.client_id, fields, self.version)
        allowed = gateway.settings.limits.messages_per_s
        if self._rate.admits(gateway.clock.monotonic(), allowed):
            self._connection.send(handlers.answer(gateway, client, fields, self.version))
            return
        excess = self._rate.violations
        refusal = codes.too_many_messages(allowed or 0, self._rate.received, excess)
        handlers.turn_away(gateway, client, fields, self.version, refusal)
        self._connection.send([refusal.about(NO_REQ_ID)])
        if self._rate.is_over:
            self._connection.close(f"more than {allowed} messages in a second, {excess} times")
