"""What one emulator is told at its start."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from ibstream_gateway_emulator.domain.limits import Limits


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A position that the account holds from the start."""

    symbol: str
    """The instrument's key: `AAPL`, `EUR.USD`, `MESM2026`, an option in OCC form."""
    quantity: Decimal
    """Negative for a short position."""
    average_cost: Decimal
    """USD for one unit, multiplier included, as IBKR counts it."""


class EmulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one stand-in Gateway."""

    symbols: tuple[str, ...]
    """The stocks that can be traded, in canonical form; FX, futures, options and indices are always there."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 4002
    """0 takes any free port."""
    seed: int = 7
    """Of the market and of all that is left to chance: the same seed shows the same prices in every process."""
    account: str = "DU9000001"
    cash: int = 1_000_000
    """USD in the account at the start."""
    holdings: tuple[Holding, ...] = ()
    """What the account holds at the start."""
    first_order_id: int = 1
    """The lowest order id of a client that has not placed an order yet."""
    market_hours: Literal["always", "exchange"] = "always"
    """Whether orders fill at any hour, or wait for the exchange to open as IBKR's do. Quotes flow at any hour."""
    tick_interval_ms: int = 250
    """How often quotes are sent and resting orders looked at; a Gateway sends stocks every 250 ms, too."""
    ticks_per_second: int | None = None
    """How many tick messages are sent in a second to all clients together; None: as many as the market makes."""
    slow_clients: Literal["drop", "disconnect"] = "drop"
    """What becomes of a client that reads more slowly than it is written to: its ticks are left out, or it is cut off."""
    partial_fills: bool = False
    """Whether a fill is no larger than the size the touch shows; else orders fill whole."""
    limits: Limits = Limits()
    """What clients are allowed."""
