"""The feed's subscriptions over a real Redis: who gets a line, what becomes of the rest, and what is done about what fails."""

from __future__ import annotations

from feed_host import SYMBOLS, feed
from support import run

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.contracts.quotes import Quality


def test_the_list_is_subscribed_and_flows(redis_url: str) -> None:
    """Every symbol of the list has a line; its ticks are live rows in the streams and in the hashes, numbered without a gap."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            await it.subscribed(SYMBOLS)
            for symbol in SYMBOLS:
                it.source.tick(symbol, bid=10.0, ask=10.1, bid_size=1.0, ask_size=1.0)
            await it.quality(Quality.LIVE, *SYMBOLS)
            await it.told("BRK.B", SubscriptionOutcome.ACTIVE)
            await it.assert_continuous()

    run(scenario())
