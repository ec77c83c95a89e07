"""Bars, ticks and trading days of the past."""

from __future__ import annotations

import msgspec

from ibstream_gateway_emulator.protocol.base import Message
from ibstream_gateway_emulator.protocol.fields import Number


class HistoricalBar(msgspec.Struct, frozen=True):
    """One bar. `date` is YYYYMMDD, a local time with its zone, or epoch seconds, as the request wanted it."""

    date: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    average: str
    count: int


class HistoricalData(Message, frozen=True):
    """All bars asked for, in one frame."""

    HEAD = (17,)
    req_id: int
    start: str
    end: str
    bars: tuple[HistoricalBar, ...]


class HistoricalDataUpdate(Message, frozen=True):
    """The newest bar of a request that is kept up to date, as it stands. Mind the order: close comes before high and low."""

    HEAD = (90,)
    req_id: int
    count: int
    date: str
    open: Number
    close: Number
    high: Number
    low: Number
    average: Number
    volume: Number


class HeadTimestamp(Message, frozen=True):
    """When the history of an instrument begins."""

    HEAD = (88,)
    req_id: int
    time: str


class Session(msgspec.Struct, frozen=True):
    """One trading session, `20260312-09:30:00` in the schedule's time zone, and the day YYYYMMDD it counts for."""

    start: str
    end: str
    reference_date: str


class HistoricalSchedule(Message, frozen=True):
    """The trading sessions of a period."""

    HEAD = (106,)
    req_id: int
    start: str
    end: str
    time_zone: str
    sessions: tuple[Session, ...]


class PastMidpoint(msgspec.Struct, frozen=True):
    """The middle between bid and ask at a time; a field without meaning follows it, and its size is always 0."""

    epoch_s: int
    unused: int
    price: Number
    size: Number


class PastBidAsk(msgspec.Struct, frozen=True):
    """Bid and ask at a time. Bits: 0 ask above the day's high, 1 bid below the day's low."""

    epoch_s: int
    attributes: int
    bid: Number
    ask: Number
    bid_size: Number
    ask_size: Number


class PastTrade(msgspec.Struct, frozen=True):
    """A trade. Bits: 0 beyond the day's limit, 1 not reported to the tape."""

    epoch_s: int
    attributes: int
    price: Number
    size: Number
    exchange: str
    conditions: str


class HistoricalMidpoints(Message, frozen=True):
    """Midpoints of the past; `is_done` where nothing follows."""

    HEAD = (96,)
    req_id: int
    ticks: tuple[PastMidpoint, ...]
    is_done: bool


class HistoricalBidAsks(Message, frozen=True):
    """Bids and asks of the past; `is_done` where nothing follows."""

    HEAD = (97,)
    req_id: int
    ticks: tuple[PastBidAsk, ...]
    is_done: bool


class HistoricalTrades(Message, frozen=True):
    """Trades of the past; `is_done` where nothing follows."""

    HEAD = (98,)
    req_id: int
    ticks: tuple[PastTrade, ...]
    is_done: bool
