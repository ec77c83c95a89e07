"""Who follows which book."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ibstream.simulation.instruments import Listing
from ibstream.simulation.market import Market
from ibstream.simulation.quotes import Depth
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.outbox import Outbox
from ibstream_gateway_emulator.desks.slots import Slots
from ibstream_gateway_emulator.desks.subscriptions import Subscriptions
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.depth_rows import RowChange, changes
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import MarketDepth, MarketDepthL2, Message
from ibstream_gateway_emulator.settings import EmulatorSettings

ROWS_MAX = 50
"""More rows than these are not given."""
_SMART = "SMART"


@dataclass(slots=True, eq=False)
class Book:
    """One subscription: `rows` of a book, and what of it was told."""

    listing: Listing
    rows: int
    is_smart: bool
    told: Depth | None = None


class DepthDesk:
    """All books that clients follow."""

    def __init__(self, market: Market, settings: Callable[[], EmulatorSettings], faults: Faults) -> None:
        self._market = market
        self._faults = faults
        self._slots = Slots(lambda: settings().limits.depth_lines, codes.too_many_depths)
        self._books: Subscriptions[Book] = Subscriptions(lambda client, req_id, _: self._slots.free((client, req_id)))
        self._outbox = Outbox(settings)

    def subscribe(
        self, client: Client, req_id: int, listing: Listing, exchange: str, rows: int, *, is_smart: bool, now_ns: int
    ) -> list[Message]:
        """The rows as they stand; their changes follow with each step.

        Of a single exchange's book rows are told by message 12; of all exchanges in one, which must be asked for with
        `is_smart`, by message 13 with the exchange of each. Raises `RequestError` where there is no such book.
        """
        self._books.check(client, req_id)
        is_smart_exchange = (exchange or listing.exchange) == _SMART
        if not listing.has_book or (is_smart_exchange and not is_smart):
            raise RequestError(codes.NO_DEPTH_HERE)
        if rows < 1:
            raise RequestError(codes.invalid("The number of rows must be at least 1"))
        objection = self._faults.objection_to_quotes(client.client_id, listing.symbol)
        if objection is not None:
            raise RequestError(objection)
        self._slots.take((client, req_id))
        book = Book(listing, min(rows, ROWS_MAX), is_smart_exchange)
        self._books.add(client, req_id, book)
        return self._news(client, req_id, book, now_ns)

    def count(self, client: Client) -> int:
        """How many books the client follows."""
        return self._books.count(client)

    def cancel(self, client: Client, req_id: int) -> None:
        """No more of that book. Raises `RequestError` with 310 if it is not followed."""
        self._books.cancel(client, req_id, codes.no_such_depth)

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._books.leave(client)
        self._outbox.leave(client)

    def step(self, now_ns: int) -> None:
        """Tell what has changed in the books."""
        self._outbox.open(now_ns)
        for client, req_id, book in self._books:
            if self._outbox.takes(client):
                messages = self._news(client, req_id, book, now_ns)
                if messages:
                    client.outlet.send(messages)

    def _news(self, client: Client, req_id: int, book: Book, now_ns: int) -> list[Message]:
        key, told = book.listing.symbol, book.told
        if not self._faults.quotes_flow(key) or self._faults.objection_to_quotes(client.client_id, key) is not None:
            return []
        if told is not None and self._market.quote(key, now_ns).sequence == told.sequence:
            return []
        book.told = self._market.depth(key, now_ns, book.rows)
        return [_message(req_id, book, change) for change in changes(book.told, told)]


def _message(req_id: int, book: Book, change: RowChange) -> Message:
    level = change.level
    if not book.is_smart:
        return MarketDepth(req_id, change.position, change.operation, change.side, level.price, level.size)
    row = (change.position, level.market_maker, change.operation, change.side, level.price, level.size)
    return MarketDepthL2(req_id, *row, is_smart_depth=True)
