"""Feeds on different Gateways share one bus: slots are counted by Gateway, so a slot's number alone names nobody."""

from __future__ import annotations

from bus_helpers import pending, raw
from feed_host import Gateway, feed
from support import eventually, run

from ibstream.contracts.registry import FEED_REQUESTS


def test_each_reads_requests_under_a_name_of_its_own(redis_url: str) -> None:
    """Both are in slot 0. By one name each would take what the other has in hand for left over from its own last life."""

    async def scenario() -> None:
        async with (
            feed(redis_url, source=Gateway(gateway="127.0.0.1:4001")) as one,
            feed(redis_url, source=Gateway(gateway="127.0.0.1:4002")) as other,
        ):
            assert (one.host.instance, other.host.instance) == ("0", "0")
            names = {b"feed-127.0.0.1:4001/0", b"feed-127.0.0.1:4002/0"}

            async def both_read() -> bool:
                await one.ask("AAPL")
                consumers = await raw(one.bus).xinfo_consumers(FEED_REQUESTS.name, FEED_REQUESTS.group)
                return {consumer["name"] for consumer in consumers} == names

            await eventually(both_read, what="both to have read of the group")

            async def none_left() -> bool:
                return await pending(one.bus, FEED_REQUESTS) == {}

            await eventually(none_left, what="each to have acknowledged what it read")

    run(scenario())
