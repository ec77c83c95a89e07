"""Requests about account values, positions, profit and loss."""

from __future__ import annotations

from ibstream_gateway_emulator.protocol.base import Request


class ReqAccountUpdates(Request, frozen=True):
    """Begin or end the stream of account values and portfolio items."""

    HEAD = (6, 2)
    subscribe: bool
    account: str


class ReqPositions(Request, frozen=True):
    """Begin the stream of positions."""

    HEAD = (61, 1)


class CancelPositions(Request, frozen=True):
    """End the stream of positions."""

    HEAD = (64, 1)


class ReqPositionsMulti(Request, frozen=True):
    """Begin the stream of positions of one account or model, under a request id."""

    HEAD = (74, 1)
    req_id: int
    account: str
    model_code: str


class CancelPositionsMulti(Request, frozen=True):
    """End that stream."""

    HEAD = (75, 1)
    req_id: int


class ReqAccountSummary(Request, frozen=True):
    """Begin the stream of some account values."""

    HEAD = (62, 1)
    req_id: int
    group: str
    tags: str


class CancelAccountSummary(Request, frozen=True):
    """End that stream."""

    HEAD = (63, 1)
    req_id: int


class ReqAccountUpdatesMulti(Request, frozen=True):
    """Begin the stream of account values under a request id."""

    HEAD = (76, 1)
    req_id: int
    account: str
    model_code: str
    ledger_and_nlv: bool


class CancelAccountUpdatesMulti(Request, frozen=True):
    """End that stream."""

    HEAD = (77, 1)
    req_id: int


class ReqPnL(Request, frozen=True):
    """Begin the stream of the account's profit and loss."""

    HEAD = (92,)
    req_id: int
    account: str
    model_code: str


class CancelPnL(Request, frozen=True):
    """End that stream."""

    HEAD = (93,)
    req_id: int


class ReqPnLSingle(Request, frozen=True):
    """Begin the stream of one instrument's profit and loss."""

    HEAD = (94,)
    req_id: int
    account: str
    model_code: str
    con_id: int


class CancelPnLSingle(Request, frozen=True):
    """End that stream."""

    HEAD = (95,)
    req_id: int
