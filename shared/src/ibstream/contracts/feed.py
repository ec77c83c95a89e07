"""Streams `feed:requests` and `feed:events`: subscription leases and their outcome."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ibstream.contracts.base import Message, Text, UtcDatetime
from ibstream.contracts.instrument import Instrument

Consumer = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$(?!\n)")]

PRIORITY_DEFAULT = 5
Priority = Annotated[int, Meta(ge=1, le=9)]
"""1 is served first, 9 last; among equals, who asked first. Every lease comes before the feed's own list."""

TTL_S_MAX = 86400


class DataKind(StrEnum):
    """What of an instrument a lease is for."""

    QUOTES = "quotes"
    """Rows on `quotes:<shard>`."""
    TICKS = "ticks"
    """Every trade and every change of bid and ask, on `ticks:<symbol>`."""
    BARS = "bars"
    """Bars of five seconds, on `bars:<symbol>`."""
    DEPTH = "depth"
    """The order book, on `depth:<symbol>`."""


class Subscribe(Message, frozen=True, kw_only=True, tag="feed.subscribe.v1"):
    """Ask for data of an instrument until the lease ends; send it again to renew.

    An instrument is subscribed once, however many consumers hold a lease on it, at the best of their priorities, and until the
    last lease has ended. The lease's time counts from when the entry was written, by the clock of Redis.
    """

    consumer: Consumer
    instrument: Instrument
    data: DataKind = DataKind.QUOTES
    ttl_s: Annotated[float, Meta(gt=0, le=TTL_S_MAX)] = 60.0
    priority: Priority = PRIORITY_DEFAULT
    """1 is served first, 9 last, where lines are short."""
    requested_at: UtcDatetime


class Unsubscribe(Message, frozen=True, kw_only=True, tag="feed.unsubscribe.v1"):
    """Give a lease back early."""

    consumer: Consumer
    instrument: Instrument
    data: DataKind = DataKind.QUOTES
    requested_at: UtcDatetime


class SubscriptionOutcome(StrEnum):
    """What became of a subscription."""

    ACTIVE = "active"
    """It streams, live (or frozen, where the exchange is closed)."""
    DELAYED = "delayed"
    """It streams, delayed: the live data is not subscribed at IBKR."""
    SAMPLED = "sampled"
    """Of the feed's own list: no line is free for it, so it is asked for in turn with others."""
    NO_PERMISSION = "no_permission"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    OVER_CAPACITY = "over_capacity"
    """No line is free, and those who have one come first. Quotes of it are sampled meanwhile; a line that becomes free is
    given to it."""
    COMPETING_SESSION = "competing_session"
    """The same user is logged in elsewhere and has the data (10197); asked for again from time to time."""
    REFUSED = "refused"
    """For another reason, or without an answer; the text says which."""
    ENDED = "ended"
    """Nobody holds a lease on it any more, and it is not of the feed's own list."""


class SubscriptionChanged(Message, frozen=True, kw_only=True, tag="feed.subscription.v1"):
    """A subscription began, changed, ended, or could not be had. Told again when a new lease is taken on it."""

    symbol: str
    """As quotes call it: `AAPL`, `EUR.USD`, `ES 202612`."""
    data: DataKind = DataKind.QUOTES
    outcome: SubscriptionOutcome
    text: Text = ""
    code: int = 0
    at: UtcDatetime
