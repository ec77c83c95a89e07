"""Streams `data:requests` and `data:jobs:<id>`: historical bars as jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ibstream.contracts.base import Message, Text, UtcDatetime
from ibstream.contracts.instrument import Instrument

JobId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", description="the requester's own id of the job")]

BarSize = Literal[
    "1 secs", "5 secs", "10 secs", "15 secs", "30 secs",
    "1 min", "2 mins", "3 mins", "5 mins", "10 mins", "15 mins", "20 mins", "30 mins",
    "1 hour", "2 hours", "3 hours", "4 hours", "8 hours",
    "1 day", "1 week", "1 month",
]  # fmt: skip
"""IBKR's bar sizes, in its own spelling."""

WhatToShow = Literal["TRADES", "MIDPOINT", "BID", "ASK"]


class BarsRequest(Message, frozen=True, kw_only=True, tag="data.bars_request.v1"):
    """Ask for historical bars. The answer comes on `data:jobs:<job_id>`; a repeated id is not done twice."""

    job_id: JobId
    instrument: Instrument
    bar_size: BarSize = "1 min"
    duration: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,4} [SDWMY]$(?!\n)")] = "1 D"
    """How far back from `end`: seconds, days, weeks, months or years."""
    end: UtcDatetime | None = None
    """The end of the period; None for now."""
    what_to_show: WhatToShow = "TRADES"
    regular_hours_only: bool = True
    requested_at: UtcDatetime


class Bar(msgspec.Struct, frozen=True, array_like=True):
    """One bar, a JSON array in this order. `start` is when it begins; a daily bar starts at midnight UTC of its date."""

    start: UtcDatetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    """Shares; -1 where the kind of bar has none."""
    average: float
    """Volume-weighted average price; -1 where there is none."""
    trades: int
    """Number of trades; -1 where there is none."""


class FailureReason(StrEnum):
    """Why a job ended without its bars: a closed list for machines."""

    GATEWAY_DISCONNECTED = "gateway_disconnected"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    AMBIGUOUS_INSTRUMENT = "ambiguous_instrument"
    PACING = "pacing"
    NO_PERMISSION = "no_permission"
    INVALID_REQUEST = "invalid_request"
    TIMED_OUT = "timed_out"
    REFUSED_BY_IBKR = "refused_by_ibkr"


class JobAccepted(Message, frozen=True, kw_only=True, tag="data.accepted.v1"):
    """The job was taken up. A second one says that it was interrupted and started again: drop the chunks from before."""

    job_id: JobId
    at: UtcDatetime


class JobChunk(Message, frozen=True, kw_only=True, tag="data.chunk.v1"):
    """A part of the bars, oldest first. `seq` counts the chunks from 1."""

    job_id: JobId
    seq: int
    bars: list[Bar]
    progress: Annotated[float, Meta(ge=0, le=1)]


class JobDone(Message, frozen=True, kw_only=True, tag="data.done.v1"):
    """All bars are out. Zero bars is an answer too: IBKR has none for the period."""

    job_id: JobId
    bars: int
    chunks: int
    at: UtcDatetime


class JobFailed(Message, frozen=True, kw_only=True, tag="data.failed.v1"):
    """The job ended without its bars."""

    job_id: JobId
    reason: FailureReason
    text: Text = ""
    code: int = 0
    at: UtcDatetime


JobEvent = JobAccepted | JobChunk | JobDone | JobFailed
