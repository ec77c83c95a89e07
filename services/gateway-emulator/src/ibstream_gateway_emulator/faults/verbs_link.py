"""Verbs about what lies behind the Gateway: the link to IBKR, its farms, its data and who may have them."""

from __future__ import annotations

from typing import Literal

from ibstream_gateway_emulator.faults.verb import ClientId, Count, Event, State

Farm = Literal["market_data", "history", "security_definitions"]


class LoseLink(State, frozen=True, kw_only=True):
    """The Gateway loses IBKR (1100 or 2110). No ticks and no data; orders go on at IBKR, unseen.

    With `for_s` the link comes back by itself as by `restore_link` with its defaults.
    """

    code: Literal[1100, 2110] = 1100
    """What clients are told: 1100, or 2110 for the connection between TWS and server."""
    keeps_orders: bool = True
    """Whether orders, changes and cancels sent meanwhile are kept and go out when the link is back, which is what
    "Maintain and resubmit orders when connection is restored" does, on by default since 10.28; else they are lost."""


class RestoreLink(Event, frozen=True, kw_only=True):
    """The link to IBKR is back: 1102, or 1101 if data was lost."""

    data_lost: bool = False
    """Whether all subscriptions of market data are gone, and clients must ask anew (1101)."""
    tells_missed: bool = True
    """Whether clients hear now what happened to their orders meanwhile; else only who asks finds out."""


class FarmDown(State, frozen=True, kw_only=True):
    """A data farm is lost.

    Quotes stop without market data; history is refused and contracts are not answered without theirs.
    2103, 2105 or 2157 is told now, and 2104, 2106 or 2158 when it ends.
    """

    farm: Farm = "market_data"
    farm_name: str | None = None
    """As the message says it; None: usfarm, ushmds or secdefnj."""


class FarmUp(Event, frozen=True, kw_only=True):
    """A data farm is back: 2104, 2106 or 2158."""

    farm: Farm = "market_data"
    farm_name: str | None = None
    """As the message says it; None: usfarm, ushmds or secdefnj."""


class CompetingSession(State, frozen=True, kw_only=True):
    """The same user is logged in elsewhere and has the data: 10197 for quotes, which stop, and 162 for history."""


class MarketDataPermission(State, frozen=True, kw_only=True):
    """Live market data is not subscribed."""

    code: Literal[354, 10089, 10167, 10168] = 354
    """354: nothing comes. 10089 and 10167: delayed ticks come. 10168: delayed data is not enabled, nothing comes."""
    symbol: str | None = None
    """Of the instrument with this key (`AAPL`, `EUR.USD`, `ESZ2026`); None: of all."""
    client_id: ClientId | None = None
    """For this client alone; None: for all."""


class Halt(State, frozen=True, kw_only=True):
    """Trading is halted: tick 49 says 1 and quotes stand still; when it is over it says 0, and quotes go on.

    Who asks meanwhile is told a quote all the same. It is a halt of data alone: orders are matched as ever.
    """

    symbol: str | None = None
    """In the instrument with this key (`AAPL`, `EUR.USD`, `ESZ2026`); None: in all."""


class ForgetSubscriptions(Event, frozen=True, kw_only=True):
    """IBKR forgets subscriptions to quotes: their ticks stop and nothing is said; asked for again, they come.

    The lines are free again, and a cancel is answered with 300, as for an id that was never used.
    """

    client_id: ClientId | None = None
    """Those of this client; None: of every client."""
    symbol: str | None = None
    """Those to the instrument with this key; None: to any."""
    count: Count | None = None
    """So many of them, the oldest first; None: all."""


class FailLiveUpdates(Event, frozen=True, kw_only=True):
    """Bars that were kept up to date no longer are: 10182."""

    client_id: ClientId | None = None
    """Those of this client; None: of all."""


class FailHistory(State, frozen=True, kw_only=True):
    """Requests for historical data end in an error."""

    code: Literal[162, 200, 321, 322, 366] = 162
    text: str | None = None
    """What is said; None: the code's own text, a pacing violation for 162."""
    symbol: str | None = None
    """Of the instrument with this key; None: of all."""
    client_id: ClientId | None = None
    """For this client alone; None: for all."""
    count: Count | None = 1
    """The next so many requests; None: all while it lasts."""
