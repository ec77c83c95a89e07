"""The SDK for strategies and consumers: everything that ibstream does, from one object.

    from ibstream import Client

    async with Client() as client:
        outcome = await client.submit_and_wait("AAPL", "BUY", 10)
        print(outcome.status, outcome.filled, outcome.average_price)

`client` is the object, and `trading` its part for orders; `subscription` is what is read without end, `quotes` with
`continuity`, `ticks` and `leases` the market, `orders` and `bars` the requests' answers. Requests are made in `requests` and
`groups`, of `instruments` and `decimals`. `errors` is the tree of failures. It talks to Redis alone, never to a Gateway.
"""

from ibstream.client.bars import BarJob
from ibstream.client.client import Client
from ibstream.client.continuity import Continuity, EpochChanged, Gap, Repeated
from ibstream.client.errors import (
    GroupUnresolvedError,
    InvalidRequestError,
    JobFailedError,
    NoAnswerError,
    OrderUnconfirmedError,
    OrderUnresolvedError,
    RequestRefusedError,
)
from ibstream.client.instruments import combo, future, fx, index, leg, option, stock
from ibstream.client.leases import FeedLease
from ibstream.client.orders import OrderEvents, OrderOutcome
from ibstream.client.quotes import QuoteEvent, QuoteSnapshot, QuoteSubscription
from ibstream.client.ticks import DepthSubscription, LiveBarSubscription, TickEvent, TickSubscription

__all__ = [
    "BarJob",
    "Client",
    "Continuity",
    "DepthSubscription",
    "EpochChanged",
    "FeedLease",
    "Gap",
    "GroupUnresolvedError",
    "InvalidRequestError",
    "JobFailedError",
    "LiveBarSubscription",
    "NoAnswerError",
    "OrderEvents",
    "OrderOutcome",
    "OrderUnconfirmedError",
    "OrderUnresolvedError",
    "QuoteEvent",
    "QuoteSnapshot",
    "QuoteSubscription",
    "Repeated",
    "RequestRefusedError",
    "TickEvent",
    "TickSubscription",
    "combo",
    "future",
    "fx",
    "index",
    "leg",
    "option",
    "stock",
]
