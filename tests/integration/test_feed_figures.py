"""What the feed's metrics say of its rows, over a real Redis."""

from __future__ import annotations

import pytest
from feed_host import SYMBOLS, feed
from prometheus_client import REGISTRY
from support import eventually, run

from ibstream.contracts.quotes import Quality
from ibstream_feed.domain.line import DELAYED


def told(what: str) -> float | None:
    """What a gauge of the rows says."""
    return REGISTRY.get_sample_value(f"ibstream_quotes_{what}")


def test_rows_are_counted_whether_or_not_anybody_asks_for_a_heartbeat(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delayed rows, and stale ones while there is no session: the desk counts them as it looks at its lines."""

    async def scenario() -> None:
        async with feed(redis_url) as it:
            monkeypatch.setattr(it.service, "details", dict)
            await it.subscribed(SYMBOLS)
            it.source.tick_all()
            await it.quality(Quality.LIVE, *SYMBOLS)
            await eventually(lambda: (told("stale"), told("delayed")) == (0, 0), what="every row to be live")
            it.source.lines["AAPL"].data_type = DELAYED
            it.source.tick_all()
            await eventually(lambda: (told("stale"), told("delayed")) == (0, 1), what="one delayed row")
            it.source.refuses = True
            it.source.lose()
            await eventually(lambda: (told("stale"), told("delayed")) == (len(SYMBOLS), 0), what="stale rows alone")

    run(scenario())
