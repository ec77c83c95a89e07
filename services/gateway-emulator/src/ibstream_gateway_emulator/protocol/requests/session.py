"""Requests about the connection itself, and those that belong to no other topic."""

from __future__ import annotations

from ibstream_gateway_emulator.protocol.base import Request


class StartApi(Request, frozen=True):
    """Ends the handshake: the client names itself."""

    HEAD = (71, 2)
    client_id: int
    capabilities: str = ""


class ReqIds(Request, frozen=True):
    """The next order id."""

    HEAD = (8, 1)
    count: int = 1


class ReqManagedAccounts(Request, frozen=True):
    """The accounts of the login."""

    HEAD = (17, 1)


class ReqCurrentTime(Request, frozen=True):
    """The gateway's time."""

    HEAD = (49, 1)


class SetServerLogLevel(Request, frozen=True):
    """How much the gateway writes into its own log, 1 to 5."""

    HEAD = (14, 1)
    level: int


class ReqNewsBulletins(Request, frozen=True):
    """Begin the stream of bulletins, with those of today if `all_messages`."""

    HEAD = (12, 1)
    all_messages: bool


class CancelNewsBulletins(Request, frozen=True):
    """End that stream."""

    HEAD = (13, 1)


class ReqScannerParameters(Request, frozen=True):
    """What scanners can be asked for."""

    HEAD = (24, 1)


class ReqFamilyCodes(Request, frozen=True):
    """The families of the login's accounts."""

    HEAD = (80,)


class ReqNewsProviders(Request, frozen=True):
    """The sources of news the login may read."""

    HEAD = (85,)


class ReqUserInfo(Request, frozen=True):
    """The white label of the login."""

    HEAD = (104,)
    req_id: int
