"""Streams `feed:requests` and `feed:events`: subscription leases and their outcome."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ibstream.contracts.base import Message, Text, UtcDatetime
from ibstream.contracts.instrument import Instrument

Consumer = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$(?!\n)")]


class Subscribe(Message, frozen=True, kw_only=True, tag="feed.subscribe.v1"):
    """Ask for quotes of an instrument until the lease ends; send it again to renew."""

    consumer: Consumer
    instrument: Instrument
    ttl_s: Annotated[float, Meta(gt=0, le=86400)] = 60.0
    requested_at: UtcDatetime


class Unsubscribe(Message, frozen=True, kw_only=True, tag="feed.unsubscribe.v1"):
    """Give a lease back early."""

    consumer: Consumer
    instrument: Instrument
    requested_at: UtcDatetime


class SubscriptionOutcome(StrEnum):
    """What became of a subscription."""

    ACTIVE = "active"
    DELAYED = "delayed"
    NO_PERMISSION = "no_permission"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    OVER_CAPACITY = "over_capacity"
    REFUSED = "refused"
    """For another reason, or without an answer; the text says which."""
    ENDED = "ended"


class SubscriptionChanged(Message, frozen=True, kw_only=True, tag="feed.subscription.v1"):
    """A subscription began, ended, or could not be had."""

    symbol: str
    outcome: SubscriptionOutcome
    text: Text = ""
    code: int = 0
    at: UtcDatetime
