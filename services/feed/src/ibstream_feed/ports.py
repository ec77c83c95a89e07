"""What the feed needs from whoever has the market data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from ibstream.contracts.base import UtcDatetime
from ibstream.contracts.feed import DataKind
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.ticks import BidAskTick, Depth, FiveSecondBar, TradeTick
from ibstream.runtime.connection import Connection
from ibstream_feed.domain.line import Line

Item = TradeTick | BidAskTick | FiveSecondBar | Depth
"""What a stream of single ticks, bars or books carries."""

OnTicks = Callable[[Iterable[Line], int], None]
"""Called synchronously with the lines into which new values were written, each once, and the time in nanoseconds since 1970 at
which they were received. It must be quick: the socket waits."""

OnCode = Callable[[Line, int, str], None]
"""Called with the line, IBKR's code and its text when IBKR says something about a line's subscription or snapshot."""

OnFarm = Callable[[str, bool], None]
"""Called with the name of a market data farm (`usfarm`) and whether it is connected, when IBKR says that it is or is not."""

OnItem = Callable[[Item], None]
"""Called synchronously with what a stream of ticks, bars or books brings, in order."""

OnStreamCode = Callable[[int, str], None]
"""Called with IBKR's code and text when IBKR says something about such a stream."""


class Qualified(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument with what IBKR says of it: all that is needed to ask for its data without looking it up again."""

    instrument: Instrument
    con_id: int
    exchange: str
    """Where it is to be asked for."""
    primary_exchange: str
    local_symbol: str = ""
    expiry: str = ""
    """Of a future or option: the day, where the instrument names the month alone."""
    multiplier: str = ""
    trading_class: str = ""
    time_zone: str = ""
    """Of the hours below; a name of the tz database, or IBKR's (`US/Eastern`). Empty where none is told."""
    trading_hours: str = ""
    """All hours of the next days in IBKR's form: `20261127:0400-20261127:1700;20261128:CLOSED`."""
    liquid_hours: str = ""
    """The regular ones, in the same form."""
    qualified_at: UtcDatetime


class MarketDataPort(Connection, Protocol):
    """A source of market data.

    Subscriptions end with the session: after a new `connect`, and after a link restored without its data (1101), everything
    is asked for again. Every method that asks for something waits until the message limit has room, and raises
    `GatewayUnavailable` when there is no session, or it ends meanwhile.

    Order: values are written into a line in the order in which IBKR sends them. `line.data_type` and `line.halted` are
    kept up by the port, as IBKR tells them. Codes about a line come through `on_code`, in order with its ticks.
    """

    def listen(self, on_ticks: OnTicks, on_code: OnCode, on_farm: OnFarm) -> None:
        """Tell where ticks, codes and farms go; called once, before the first `connect`."""
        ...

    def limit(self, requests_per_s: int) -> None:
        """Send no more than so many messages a second from now on."""
        ...

    def free(self) -> int:
        """How many messages may go out now without waiting."""
        ...

    async def qualify(self, instrument: Instrument) -> Qualified:
        """Look an instrument up. Raises `UnknownInstrument`, `AmbiguousInstrument`, `RequestFailed`, `TimeoutError`."""
        ...

    async def subscribe(self, line: Line, contract: Qualified) -> None:
        """Ask for quotes of a line, which `begin`s. Returns when the request is sent; a refusal comes through `on_code`."""
        ...

    async def unsubscribe(self, line: Line) -> None:
        """End a line's subscription; nothing where it has none. Nothing is written into the line after this returns."""
        ...

    async def snapshot(self, line: Line, contract: Qualified) -> None:
        """Ask for one quote of a line that has no subscription, and return when it is whole: `on_ticks` was called then.

        Meanwhile the line is `is_gathering`. Raises `RequestFailed` with IBKR's code, and `TimeoutError` where IBKR neither
        ends nor refuses it in time; the values that came are dropped then.
        """
        ...

    async def open_stream(self, kind: DataKind, contract: Qualified, on_item: OnItem, on_code: OnStreamCode) -> int:
        """Ask for single ticks, bars of five seconds or the book, and return a number by which to close it."""
        ...

    async def close_stream(self, number: int) -> None:
        """End such a stream; nothing where the session it was opened in is over. No item comes after this returns."""
        ...
