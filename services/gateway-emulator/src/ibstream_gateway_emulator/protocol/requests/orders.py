"""Requests about orders and executions. The longest of them, placeOrder, is in `protocol.place_order`."""

from __future__ import annotations

from ibstream_gateway_emulator.protocol.base import Request
from ibstream_gateway_emulator.protocol.fields import Contract11


class CancelOrder(Request, frozen=True):
    """End a working order."""

    HEAD = (4, 1)
    order_id: int
    manual_time: str = ""


class ReqOpenOrders(Request, frozen=True):
    """The client's own working orders."""

    HEAD = (5, 1)


class ReqAutoOpenOrders(Request, frozen=True):
    """Client 0 asks for orders entered by hand, of which there are none here."""

    HEAD = (15, 1)
    bind: bool


class ReqAllOpenOrders(Request, frozen=True):
    """The working orders of all clients."""

    HEAD = (16, 1)


class ReqGlobalCancel(Request, frozen=True):
    """End all working orders of all clients."""

    HEAD = (58, 1)


class ReqCompletedOrders(Request, frozen=True):
    """The orders that ended today."""

    HEAD = (99,)
    api_only: bool = False


class ReqExecutions(Request, frozen=True):
    """Today's executions; an empty filter field, or client 0, fits all."""

    HEAD = (7, 3)
    req_id: int
    client_id: int
    account: str
    since: str
    symbol: str
    security_type: str
    exchange: str
    side: str


class ExerciseOptions(Request, frozen=True):
    """Exercise an option (`action` 1) or let it lapse (2)."""

    HEAD = (21, 2)
    req_id: int
    contract: Contract11
    action: int
    quantity: int
    account: str
    override: int
