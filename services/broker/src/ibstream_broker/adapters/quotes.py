"""The last quotes of the feed, from `quotes:last:<shard>`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import structlog

from ibstream.bus import Bus, BusRefused, BusUnavailable
from ibstream.contracts.quotes import Quote, shard_of
from ibstream.contracts.registry import last_quotes_key
from ibstream_broker.domain.quotes import LastQuote

QUOTES_DEADLINE_S = 0.25
"""How long the quotes of a batch of orders are waited for. Cancels in the same batch wait as long; without them an order is
refused where a live quote is required."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_US = 1000

_log = structlog.get_logger(__name__)
_row = msgspec.json.Decoder(Quote)


class LastQuotes:
    """Asked for when an order is judged. What cannot be read is no quote: whether an order may go without, the limits say."""

    def __init__(self, bus: Bus, shards: int) -> None:
        """`bus` is the server that the feed writes quotes to; `shards` is `feed.shards`."""
        self._bus = bus
        self._shards = shards
        self._away = False

    async def of(self, symbol: str) -> LastQuote | None:
        """The last quote of a symbol of the feed; None where there is none, or Redis does not answer."""
        return (await self.of_each([symbol])).get(symbol)

    async def of_each(self, symbols: Collection[str]) -> dict[str, LastQuote]:
        """The last quotes of these symbols, in one round trip; without those that there is none of.

        None at all after `QUOTES_DEADLINE_S`, or where Redis does not answer; that is logged once, until it answers again.
        """
        wanted = sorted(set(symbols))
        if not wanted:
            return {}
        try:
            async with asyncio.timeout(QUOTES_DEADLINE_S):
                rows = await self._bus.fields([(last_quotes_key(shard_of(one, self._shards)), one) for one in wanted])
        except (BusUnavailable, BusRefused, TimeoutError) as error:
            self._note_away(str(error) or f"no answer within {QUOTES_DEADLINE_S:g} s")
            return {}
        self._note_away("")
        quotes = {one: _read(one, row) for one, row in zip(wanted, rows, strict=True) if row is not None}
        return {one: quote for one, quote in quotes.items() if quote is not None}

    def _note_away(self, error: str) -> None:
        """Log the beginning and the end of an outage. `error` is empty while there is none."""
        if error and not self._away:
            _log.warning("broker.no_quotes", error=error)
        elif self._away and not error:
            _log.info("broker.quotes_again")
        self._away = bool(error)


def _read(symbol: str, row: bytes) -> LastQuote | None:
    try:
        quote = _row.decode(row)
    except msgspec.DecodeError as error:
        _log.warning("broker.quote_unreadable", symbol=symbol, error=str(error))
        return None
    return LastQuote(
        bid=_exact(quote.bid),
        ask=_exact(quote.ask),
        last=_exact(quote.last),
        at=_EPOCH + timedelta(microseconds=quote.time_ns // _NS_PER_US),
        quality=quote.quality,
    )


def _exact(price: float | None) -> Decimal | None:
    """The number as the row has it written."""
    return None if price is None else Decimal(str(price))
