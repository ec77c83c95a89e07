"""One client's connection: bytes to requests, answers to bytes, and the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import cast

import structlog

from ibstream.simulation.sessions import NEW_YORK
from ibstream_gateway_emulator import handlers
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.errors import FieldError, ProtocolError
from ibstream_gateway_emulator.protocol.framing import Frame, FrameReader, Hello, Inbound
from ibstream_gateway_emulator.protocol.handshake import greeting, negotiate
from ibstream_gateway_emulator.protocol.messages import ManagedAccounts, Message, NextValidId, encode
from ibstream_gateway_emulator.protocol.requests import NO_REQ_ID, StartApi, read_request

UNREAD_BYTES_MAX = 64 * 1024 * 1024
"""A client that leaves more than this unread is cut off; it has long missed what is going on."""

_log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """Supervises one client: whatever it sends ends, at worst, its own connection."""

    def __init__(self, gateway: Gateway, connections: set[Connection]) -> None:
        self._gateway = gateway
        self._connections = connections
        self._reader = FrameReader()
        self._version = 0
        self._client: Client | None = None
        self._congested = False
        self._apart: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to the client."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Take in what the client sent. A stream that makes no sense, or a defect of ours, closes this client alone."""
        try:
            for inbound in self._reader.feed(data):
                if self._is_closing:
                    return
                self._take(inbound)
        except ProtocolError as error:
            self.close(str(error))
        except Exception:  # noqa: BLE001 - the supervisor of one client
            self._fail()

    def pause_writing(self) -> None:
        """The client reads too slowly; its ticks are left out until it has caught up."""
        self._congested = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._congested = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._connections.discard(self)
        self.gone.set_result(None)
        for task in self._apart:
            task.cancel()
        if self._client is not None:
            self._gateway.leave(self._client)
            _log.info("gateway_emulator.client_left", client_id=self._client_id, error=str(exc) if exc else None)

    @property
    def is_congested(self) -> bool:
        """Whether ticks are to be left out."""
        return self._congested

    def send(self, messages: Iterable[Message]) -> None:
        """Write the messages, in order, in one piece."""
        if self._transport is None or self._is_closing:
            return
        told = messages if self._client is None else self._gateway.faults.shape(self._client.client_id, messages)
        self.send_frames(b"".join(encode(message, self._version) for message in told))

    def send_frames(self, frames: bytes) -> None:
        """Write frames that are encoded already, as ticks are."""
        if self._transport is None or self._is_closing:
            return
        self._transport.write(frames)
        if self._transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            _log.warning("gateway_emulator.client_too_slow", client_id=self._client_id)
            self._transport.abort()

    def send_apart(self, work: Callable[[], Message], wanted: Callable[[], bool]) -> None:
        """Run `work` in a thread and write what it returns, if it is still `wanted` then."""

        async def run() -> None:
            try:
                message = await asyncio.to_thread(work)
                if wanted():
                    self.send([message])
            except Exception:  # noqa: BLE001 - the supervisor of one client
                self._fail()

        task = asyncio.get_running_loop().create_task(run())
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)

    def close(self, reason: str) -> None:
        """End the connection after what has been written."""
        _log.info("gateway_emulator.client_closed", client_id=self._client_id, reason=reason)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once, whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()

    def _fail(self) -> None:
        _log.exception("gateway_emulator.client_failed", client_id=self._client_id)
        self.close("a defect of the emulator")

    @property
    def _is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def _client_id(self) -> int | None:
        return self._client.client_id if self._client is not None else None

    def _take(self, inbound: Inbound) -> None:
        match inbound:
            case Hello():
                self._greet(inbound)
            case Frame(fields) if self._client is None:
                self._start(fields)
            case Frame(fields):
                assert self._client is not None  # noqa: S101 - the case above
                self.send(handlers.answer(self._gateway, self._client, fields, self._version))

    def _greet(self, hello: Hello) -> None:
        self._version = negotiate(hello)
        if self._transport is not None:
            self._transport.write(greeting(self._version, self._gateway.clock.now().astimezone(NEW_YORK)))

    def _start(self, fields: tuple[str, ...]) -> None:
        """The first message must be startApi: only then is it known whose the connection is."""
        try:
            request = read_request(fields, self._version)
        except FieldError as error:
            raise ProtocolError(f"startApi cannot be read: {error}") from error
        if not isinstance(request, StartApi):
            raise ProtocolError(f"the client must send startApi (71) first, not message {fields[0][:8]}")
        client = Client(request.client_id, self)
        if not self._gateway.join(client):
            self.send([codes.CLIENT_ID_IN_USE.about(NO_REQ_ID)])
            self.close(f"client id {request.client_id} is in use")
            return
        self._client = client
        _log.info("gateway_emulator.client_joined", client_id=client.client_id, server_version=self._version)
        self.send(
            [
                ManagedAccounts(self._gateway.account),
                NextValidId(self._gateway.orders.next_order_id(client.client_id)),
                *(notice.about(NO_REQ_ID) for notice in codes.FARMS_OK),
            ]
        )
