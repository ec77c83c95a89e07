"""Requests about the Gateway itself."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import CurrentTime, Message
from ibstream_gateway_emulator.protocol.requests import ReqCurrentTime, SetServerLogLevel

Messages = Iterator[Message]


def current_time(gateway: Gateway, _client: Client, _request: ReqCurrentTime) -> Messages:
    """The Gateway's time in whole seconds."""
    yield CurrentTime(gateway.now_ns() // NS_PER_S)


def log_level(_gateway: Gateway, _client: Client, _request: SetServerLogLevel) -> Messages:
    """Taken note of in silence, as by a Gateway."""
    yield from ()
