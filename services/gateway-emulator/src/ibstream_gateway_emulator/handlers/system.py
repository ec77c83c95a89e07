"""Requests about the Gateway itself."""

from __future__ import annotations

from collections.abc import Iterator

from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.protocol.messages import (
    CurrentTime,
    Message,
    NewsProviders,
    ScannerParameters,
    UserInfo,
)
from ibstream_gateway_emulator.protocol.requests import (
    CancelNewsBulletins,
    ReqCurrentTime,
    ReqNewsBulletins,
    ReqNewsProviders,
    ReqScannerParameters,
    ReqUserInfo,
    SetServerLogLevel,
)

Messages = Iterator[Message]

_NO_SCANNERS = '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse></ScanParameterResponse>'


def current_time(gateway: Gateway, client: Client, _request: ReqCurrentTime) -> Messages:
    """The Gateway's time in whole seconds; silence to one that had it less than a second ago."""
    now_ns = gateway.now_ns()
    if gateway.clock_desk.answers(client, now_ns):
        yield CurrentTime(now_ns // NS_PER_S)


def log_level(_gateway: Gateway, _client: Client, _request: SetServerLogLevel) -> Messages:
    """Taken note of in silence, as by a Gateway."""
    yield from ()


def news_providers(_gateway: Gateway, _client: Client, _request: ReqNewsProviders) -> Messages:
    """This login reads no news."""
    yield NewsProviders(())


def news_bulletins(_gateway: Gateway, _client: Client, _request: ReqNewsBulletins | CancelNewsBulletins) -> Messages:
    """There is nothing to report, and nothing is."""
    yield from ()


def scanner_parameters(_gateway: Gateway, _client: Client, _request: ReqScannerParameters) -> Messages:
    """There are no scanners here."""
    yield ScannerParameters(_NO_SCANNERS)


def user_info(_gateway: Gateway, _client: Client, request: ReqUserInfo) -> Messages:
    """No white label."""
    yield UserInfo(request.req_id, "")
