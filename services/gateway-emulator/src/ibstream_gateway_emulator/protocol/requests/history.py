"""Requests for the past."""

from __future__ import annotations

from ibstream_gateway_emulator.protocol.base import Legs, Request
from ibstream_gateway_emulator.protocol.fields import Contract


class ReqHistoricalData(Request, frozen=True):
    """Bars of the past."""

    HEAD = (20,)
    req_id: int
    contract: Contract
    include_expired: bool
    end: str
    bar_size: str
    duration: str
    use_rth: bool
    what_to_show: str
    format_date: int
    legs: Legs
    keep_up_to_date: bool
    options: str = ""


class CancelHistoricalData(Request, frozen=True):
    """Forget about bars asked for."""

    HEAD = (25, 1)
    req_id: int


class ReqHeadTimestamp(Request, frozen=True):
    """When the history of an instrument begins."""

    HEAD = (87,)
    req_id: int
    contract: Contract
    include_expired: bool
    use_rth: bool
    what_to_show: str
    format_date: int


class CancelHeadTimestamp(Request, frozen=True):
    """Forget about it; the answer is long out."""

    HEAD = (90,)
    req_id: int


class ReqHistoricalTicks(Request, frozen=True):
    """Ticks of the past, from `start` on or up to `end`: TRADES, BID_ASK or MIDPOINT, at most 1000."""

    HEAD = (96,)
    req_id: int
    contract: Contract
    include_expired: bool
    start: str
    end: str
    count: int
    what_to_show: str
    use_rth: bool
    ignore_size: bool
    options: str = ""
