"""What the feed needs from whoever has the quotes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.quotes import Quote
from ibstream.runtime.connection import Connection

OnQuote = Callable[[Quote], None]
"""Called synchronously with the whole new row of a symbol. It must be quick: the socket waits."""

OnSubscription = Callable[[str, SubscriptionOutcome, str, int], None]
"""Called with symbol, outcome, a sentence, and IBKR's code (0 without one) when a subscription begins or fails."""


class QuotesPort(Connection, Protocol):
    """A source of quotes.

    After `subscribe` rows arrive through `on_quote`, each the latest of its symbol; ticks in between may have been
    conflated, none arrives out of order per symbol. Subscriptions end with the session: after a new `connect`, and after a
    link restored without its data, `subscribe` is called again.
    """

    def listen(self, on_quote: OnQuote, on_subscription: OnSubscription) -> None:
        """Tell where rows and outcomes go; called once, before the first `connect`."""
        ...

    async def subscribe(self, instruments: Sequence[Instrument], *, afresh: bool) -> None:
        """Ask for all of them, the first ones first; return when each has been asked for or refused.

        `afresh`: earlier subscriptions are gone. Otherwise those that still stand are left alone.

        An instrument that cannot be had is told through `on_subscription` and hinders no other. Raises a
        `RecoverableError` when the session ends meanwhile.
        """
        ...
